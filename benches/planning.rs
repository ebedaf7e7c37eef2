//! The planning overhead of our rules on queries they do not apply to: `cargo bench -p ocelli-benches --bench planning`

mod compare;

use compare::compare;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

const TABLES: [&str; 2] = [
    "CREATE TABLE orders (o_orderkey BIGINT, o_custkey BIGINT, o_orderdate DATE, o_comment VARCHAR)",
    "CREATE TABLE lineitem (l_orderkey BIGINT, l_quantity DOUBLE, l_price DOUBLE, l_flag VARCHAR, l_shipdate DATE)",
];

const QUERY: &str = "
    SELECT l_flag, o_custkey, sum(l_price * l_quantity) AS revenue, avg(l_quantity), count(*)
    FROM lineitem JOIN orders ON l_orderkey = o_orderkey
    WHERE l_shipdate > DATE '1995-01-01' AND o_orderdate < DATE '1996-01-01' AND o_comment LIKE '%special%'
      AND o_custkey IN (SELECT o_custkey FROM orders GROUP BY o_custkey HAVING count(*) > 5)
    GROUP BY l_flag, o_custkey HAVING sum(l_price) > 100 ORDER BY revenue DESC LIMIT 10";

/// Plans per sample.
const PLANS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let builder = || {
        let config = SessionConfig::new().with_target_partitions(2);
        SessionStateBuilder::new().with_default_features().with_config(config)
    };
    let plain = SessionContext::new_with_state(builder().build());
    let ours = SessionContext::new_with_state(ocelli::extend(builder())?.build());
    for context in [&plain, &ours] {
        for table in TABLES {
            runtime.block_on(async { context.sql(table).await?.collect().await })?;
        }
    }
    let plan = |context: &SessionContext| {
        for _ in 0..PLANS {
            let plan = runtime.block_on(async { context.sql(QUERY).await?.create_physical_plan().await });
            plan.expect("the query can be planned");
        }
    };
    compare(
        "plan a join of two tables",
        "plans",
        PLANS,
        ("DataFusion", || plan(&plain)),
        ("with our rules", || plan(&ours)),
    );
    Ok(())
}
