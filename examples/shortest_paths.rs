//! Shortest paths between all places of a map: `cargo run -p ocelli-examples --example shortest_paths`
//!
//! The travel times of edges are a sparse matrix. Its square over the min-plus semiring has the shortest paths of up to two
//! edges, and the square of that those of up to four. A recursive query may reference itself only once, so repeated squaring is a
//! loop. It prints the paths from one place:
//!
//! ```text
//! +---------+------------+---------+
//! | source  | target     | minutes |
//! +---------+------------+---------+
//! | Harbour | Harbour    | 0       |
//! | Harbour | Market     | 7       |
//! | Harbour | Mill       | 11      |
//! | Harbour | Lighthouse | 12      |
//! | Harbour | Abbey      | 16      |
//! | Harbour | Quarry     | 17      |
//! | Harbour | Castle     | 31      |
//! | Harbour | Vineyard   | 36      |
//! | Harbour | Island     | 37      |
//! +---------+------------+---------+
//! ```

use datafusion::prelude::*;
use ocelli::Ocelli;

/// The diagonal is 0, so that each square keeps the shorter paths.
const WAYS: &str = "
    CREATE TABLE ways AS
    WITH roads AS (SELECT source, target, minutes FROM 'examples/data/roads.csv')
    SELECT source, target, minutes FROM roads UNION ALL
    SELECT place AS source, place AS target, 0 FROM (SELECT source AS place FROM roads UNION SELECT target FROM roads)";

pub(crate) const SQUARE: &str = "
    SELECT a.source, b.target, MIN(a.minutes + b.minutes) AS minutes
    FROM ways a JOIN ways b ON a.target = b.source
    GROUP BY a.source, b.target";

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let ways = shortest_paths(&ocelli).await?;
    ways.filter(col("source").eq(lit("Harbour")))?.show().await
}

/// Also run by a test.
pub(crate) async fn shortest_paths(ocelli: &Ocelli) -> datafusion::error::Result<DataFrame> {
    ocelli.sql(WAYS).await?.collect().await?;
    // A path between nine places has at most eight edges.
    for _max_edges in [2, 4, 8] {
        ocelli.sql(&format!("CREATE OR REPLACE TABLE ways AS {SQUARE}")).await?.collect().await?;
    }
    ocelli.sql("SELECT source, target, minutes FROM ways ORDER BY source, minutes, target").await
}
