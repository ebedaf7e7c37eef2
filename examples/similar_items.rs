//! Collaborative filtering: films liked by the same people: `cargo run -p ocelli-examples --example similar_items`
//!
//! A film is the vector of its ratings, normalized to length 1. The cosine similarities of all films are this sparse matrix times
//! its transpose. Each film is listed with its ten most similar ones. It prints those of one film:
//!
//! ```text
//! +-------+---------------------+------------+
//! | place | other               | similarity |
//! +-------+---------------------+------------+
//! | 1     | Ticket to Nowhere   | 0.8865     |
//! | 2     | The Locked Platform | 0.7888     |
//! | 3     | Harbour Lights      | 0.5595     |
//! | 4     | The Ninth Robot     | 0.4726     |
//! | 5     | Orbit of Glass      | 0.4071     |
//! | 6     | Salt and Fog        | 0.3684     |
//! | 7     | A Jar of Summer     | 0.3564     |
//! | 8     | Copper Hearts       | 0.3102     |
//! | 9     | The Last Lamp       | 0.2567     |
//! | 10    | Bees                | 0.1698     |
//! +-------+---------------------+------------+
//! ```

use datafusion::prelude::*;
use ocelli::Ocelli;

const SIMILAR: &str = "
    WITH films AS (
        SELECT film, person, rating / SQRT(SUM(rating * rating) OVER (PARTITION BY film)) AS value
        FROM 'examples/data/ratings.csv'
    ),
    pairs AS (
        SELECT a.film, b.film AS other, SUM(a.value * b.value) AS similarity
        FROM films a JOIN films b ON a.person = b.person
        WHERE a.film <> b.film
        GROUP BY a.film, b.film
    ),
    ranked AS (
        SELECT film, ROW_NUMBER() OVER (PARTITION BY film ORDER BY similarity DESC, other) AS place, other, similarity
        FROM pairs
    )
    SELECT * FROM ranked WHERE place <= 10 ORDER BY film, place";

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let similar = similar_items(&ocelli).await?;
    // The filter is pushed down to the ratings: the left matrix then has one row.
    let like_one = similar.filter(col("film").eq(lit("Midnight Tram")))?;
    like_one.select_exprs(&["place", "other", "round(similarity, 4) AS similarity"])?.show().await
}

/// Also run by a test.
pub(crate) async fn similar_items(ocelli: &Ocelli) -> datafusion::error::Result<DataFrame> {
    ocelli.sql(SIMILAR).await
}
