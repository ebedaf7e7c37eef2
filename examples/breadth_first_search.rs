//! Breadth-first search: the distance of the members of a club from one of them: `cargo run -p ocelli-examples --example breadth_first_search`
//!
//! Each step goes from the frontier to its neighbours: a vector times a sparse matrix over the min-plus semiring. A recursive
//! query sees only its last step and reaches some members again; at the end each member keeps its smallest level. It prints:
//!
//! ```text
//! +-------+--------+---------------------------------------------+
//! | level | people | members                                     |
//! +-------+--------+---------------------------------------------+
//! | 0     | 1      | [16]                                        |
//! | 1     | 2      | [5, 6]                                      |
//! | 2     | 3      | [0, 4, 10]                                  |
//! | 3     | 12     | [1, 2, 3, 7, 8, 11, 12, 13, 17, 19, 21, 31] |
//! | 4     | 8      | [9, 24, 25, 27, 28, 30, 32, 33]             |
//! | 5     | 8      | [14, 15, 18, 20, 22, 23, 26, 29]            |
//! +-------+--------+---------------------------------------------+
//! ```

use datafusion::prelude::DataFrame;
use ocelli::Ocelli;

/// From member 16. Among 34 members no distance exceeds 33.
const LEVELS: &str = "
    WITH RECURSIVE friends AS (
        -- Each friendship is one step.
        SELECT row, col, 1 AS steps FROM 'examples/data/karate.mtx'
    ),
    frontier AS (
        SELECT 16 AS member, 0 AS level
        UNION ALL
        SELECT friends.col, MIN(frontier.level + friends.steps)
        FROM frontier JOIN friends ON frontier.member = friends.row
        WHERE frontier.level < 33
        GROUP BY friends.col
    ),
    levels AS (
        SELECT member, MIN(level) AS level FROM frontier GROUP BY member
    )
    SELECT level, COUNT(*) AS people, array_agg(member ORDER BY member) AS members
    FROM levels GROUP BY level ORDER BY level";

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let levels = breadth_first_search(&ocelli).await?;
    levels.show().await
}

/// Also run by a test.
pub(crate) async fn breadth_first_search(ocelli: &Ocelli) -> datafusion::error::Result<DataFrame> {
    ocelli.sql(LEVELS).await
}
