//! Sentences with similar words: `cargo run -p ocelli-examples --example document_similarity`
//!
//! A word that occurs `tf` times in a document and in `df` of `n` documents has the weight
//! `tf * (1 + ln((1 + n) / (1 + df)))`. With rows normalized to length 1, these are the weights of scikit-learn's
//! `TfidfVectorizer`. The cosine similarities of all documents are this sparse matrix times its transpose. It prints the most
//! similar pairs:
//!
//! ```text
//! +-----+-------+------------+
//! | doc | other | similarity |
//! +-----+-------+------------+
//! | 3   | 4     | 0.4145     |
//! | 3   | 8     | 0.3902     |
//! | 1   | 8     | 0.3714     |
//! | 1   | 3     | 0.362      |
//! | 1   | 2     | 0.3532     |
//! +-----+-------+------------+
//! ```

use datafusion::prelude::DataFrame;
use ocelli::Ocelli;

const PAIRS: &str = "
    WITH words AS (
        SELECT doc, COUNT(*) OVER () AS n,
            unnest(string_to_array(regexp_replace(lower(text), '[^a-z]+', ' ', 'g'), ' ')) AS word
        FROM 'examples/data/sentences.csv'
    ),
    weights AS (
        SELECT doc, word, COUNT(*) * (1 + ln((1.0 + n) / (1 + COUNT(*) OVER (PARTITION BY word)))) AS weight
        FROM words WHERE length(word) > 1 GROUP BY doc, word, n
    ),
    documents AS (
        SELECT doc, word, weight / SQRT(SUM(weight * weight) OVER (PARTITION BY doc)) AS value FROM weights
    )
    SELECT a.doc, b.doc AS other, SUM(a.value * b.value) AS similarity
    FROM documents a JOIN documents b ON a.word = b.word
    WHERE a.doc < b.doc
    GROUP BY a.doc, b.doc ORDER BY similarity DESC";

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let pairs = document_similarity(&ocelli).await?;
    pairs.limit(0, Some(5))?.select_exprs(&["doc", "other", "round(similarity, 4) AS similarity"])?.show().await
}

/// Also run by a test.
pub(crate) async fn document_similarity(ocelli: &Ocelli) -> datafusion::error::Result<DataFrame> {
    ocelli.sql(PAIRS).await
}
