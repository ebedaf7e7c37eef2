//! PageRank of the pages of a small web site: `cargo run -p ocelli-examples --example pagerank`
//!
//! A page distributes its rank evenly to the pages it links to. Each iteration multiplies the transition matrix, which is sparse,
//! by the vector of ranks: EXPLAIN shows a `SparseMatMulExec` inside the recursive query. It prints:
//!
//! ```text
//! +---------------+--------+
//! | page          | rank   |
//! +---------------+--------+
//! | docs          | 0.1894 |
//! | reference     | 0.1324 |
//! | home          | 0.1267 |
//! | licence       | 0.1236 |
//! | tutorial      | 0.1116 |
//! | download      | 0.0984 |
//! | blog          | 0.0891 |
//! | about         | 0.0524 |
//! | release-notes | 0.0508 |
//! | forum         | 0.0255 |
//! +---------------+--------+
//! ```

use datafusion::prelude::DataFrame;
use ocelli::Ocelli;

const SHARES: &str = "
    CREATE TABLE shares AS WITH
        links AS (SELECT source, target FROM 'examples/data/links.csv'),
        pages AS (SELECT source AS page FROM links UNION SELECT target FROM links),
        -- A page without outgoing links distributes its rank to all pages.
        transitions AS (
            SELECT source, target FROM links UNION ALL
            SELECT a.page, b.page FROM pages a CROSS JOIN pages b WHERE a.page NOT IN (SELECT source FROM links)
        )
    SELECT source, target, 1.0 / COUNT(*) OVER (PARTITION BY source) AS share FROM transitions UNION ALL
    -- A zero on the diagonal keeps pages without incoming links.
    SELECT page, page AS itself, 0.0 FROM pages";

/// The error after 150 iterations is below 0.85^150 < 1e-10.
const RANKS: &str = "
    WITH RECURSIVE ranks AS (
        SELECT DISTINCT source AS page, 1.0 AS rank, 0 AS step FROM shares
        UNION ALL
        SELECT shares.target, 0.15 + 0.85 * SUM(ranks.rank * shares.share), ranks.step + 1
        FROM ranks JOIN shares ON ranks.page = shares.source
        WHERE ranks.step < 150
        GROUP BY ranks.step, shares.target
    )
    SELECT page, rank / SUM(rank) OVER () AS rank FROM ranks WHERE step = 150 ORDER BY rank DESC";

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let ranks = pagerank(&ocelli).await?;
    ranks.select_exprs(&["page", "round(rank, 4) AS rank"])?.show().await
}

/// Also run by a test.
pub(crate) async fn pagerank(ocelli: &Ocelli) -> datafusion::error::Result<DataFrame> {
    ocelli.sql(SHARES).await?.collect().await?;
    ocelli.sql(RANKS).await
}
