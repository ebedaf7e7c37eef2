//! [`rewrite`]: the plan of a query after one rule.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::prelude::SessionContext;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Plans `sql` over the tables `t` and `u`, both with the columns `uri, image, year`, applies the rule, and returns the plan.
///
/// # Panics
/// When the rule changes the schema, or is not idempotent.
pub(crate) async fn rewrite(rule: Rule, sql: &str) -> Result<String> {
    rewrite_after(Vec::new(), rule, sql).await
}

/// [`rewrite`] after other rules.
pub(crate) async fn rewrite_after(before: Vec<Rule>, rule: Rule, sql: &str) -> Result<String> {
    let state = crate::extend(SessionStateBuilder::new().with_default_features())?.build();
    let context = SessionContext::new_with_state(state);
    let schema = Arc::new(Schema::new(vec![
        Field::new("uri", DataType::Utf8, false),
        Field::new("image", DataType::Binary, true),
        Field::new("year", DataType::Int64, true),
    ]));
    for table in ["t", "u"] {
        let empty = datafusion::catalog::MemTable::try_new(Arc::clone(&schema), vec![vec![]])?;
        context.register_table(table, Arc::new(empty))?;
    }
    let config = OptimizerContext::new().with_max_passes(1);
    let before =
        Optimizer::with_rules(before).optimize(context.state().create_logical_plan(sql).await?, &config, |_, _| {})?;
    let optimizer = Optimizer::with_rules(vec![rule]);
    let after = optimizer.optimize(before.clone(), &config, |_, _| {})?;
    assert_eq!(before.schema(), after.schema(), "a rule preserves the schema");
    let again = optimizer.optimize(after.clone(), &config, |_, _| {})?;
    assert_eq!(after.to_string(), again.to_string(), "a rule is idempotent");
    Ok(after.to_string())
}
