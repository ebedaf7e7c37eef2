//! [`FloatMinMax`]: MIN and MAX of floats become functions of ours.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::min_max::{float_max_udaf, float_min_udaf};

/// Replaces DataFusion's MIN and MAX where their argument is a float, in aggregations and in windows.
///
/// The names of columns stay. There is no switch: the results of the replaced functions depend on the order of rows.
#[derive(Debug)]
pub(crate) struct FloatMinMax;

impl OptimizerRule for FloatMinMax {
    fn name(&self) -> &str {
        "float_min_max"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let input = match &plan {
            LogicalPlan::Aggregate(aggregate) => Arc::clone(aggregate.input.schema()),
            LogicalPlan::Window(window) => Arc::clone(window.input.schema()),
            _ => return Ok(Transformed::no(plan)),
        };
        plan.map_expressions(|expr| expr.transform_up(|expr| Ok(replace(expr, &input))))
    }
}

fn replace(expr: Expr, input: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(mut call) => match float_function(&call.func, &call.params.args, input) {
            Some(function) => {
                call.func = function;
                Transformed::yes(Expr::AggregateFunction(call))
            }
            None => Transformed::no(Expr::AggregateFunction(call)),
        },
        Expr::WindowFunction(call) => {
            let function = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => float_function(function, &call.params.args, input),
                WindowFunctionDefinition::WindowUDF(_) => None,
            };
            match function {
                Some(function) => {
                    let fun = WindowFunctionDefinition::AggregateUDF(function);
                    Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, ..*call })))
                }
                None => Transformed::no(Expr::WindowFunction(call)),
            }
        }
        other => Transformed::no(other),
    }
}

/// Our function for a MIN or MAX of a float.
fn float_function(function: &AggregateUDF, arguments: &[Expr], input: &DFSchema) -> Option<Arc<AggregateUDF>> {
    let ours: fn() -> Arc<AggregateUDF> = if *function == *min_udaf() {
        float_min_udaf
    } else if *function == *max_udaf() {
        float_max_udaf
    } else {
        return None;
    };
    let [argument] = arguments else { return None };
    argument.get_type(input).is_ok_and(|data_type| data_type.is_floating()).then(ours)
}

#[cfg(test)]
mod tests {
    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// The names of the aggregate functions in the optimized plan of a query over `t` of `g, v, f, n`.
    async fn functions(sql: &str) -> Vec<String> {
        let state = crate::extend(SessionStateBuilder::new().with_default_features()).unwrap().build();
        let context = SessionContext::new_with_state(state);
        let create = "CREATE TABLE t (g BIGINT, v DOUBLE, f REAL, n BIGINT) AS VALUES (1, 1.0, 1.0, 1)";
        context.sql(create).await.unwrap();
        let state = context.state();
        let plan = state.create_logical_plan(sql).await.unwrap();
        let columns = plan.schema().columns();
        let plan = state.optimize(&plan).unwrap();
        assert_eq!(plan.schema().columns(), columns, "{sql}");
        let mut names = Vec::new();
        plan.apply_with_subqueries(|plan| {
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    match expr {
                        Expr::AggregateFunction(call) => names.push(call.func.name().to_owned()),
                        Expr::WindowFunction(call) => names.push(call.fun.name().to_owned()),
                        _ => {}
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })
        .unwrap();
        names
    }

    #[tokio::test]
    async fn floats_only() {
        for (sql, expected) in [
            ("SELECT g, MIN(v), MAX(f) FROM t GROUP BY g", &["float_min", "float_max"][..]),
            ("SELECT MIN(v + 1), MIN(n), MAX(n) FROM t", &["float_min", "min", "max"]),
            ("SELECT MAX(v) FILTER (WHERE n > 0) AS x FROM t", &["float_max"]),
            ("SELECT MIN(arrow_cast(v, 'Float16')) FROM t", &["float_min"]),
            ("SELECT g, MIN(v) OVER (PARTITION BY g), MAX(n) OVER (PARTITION BY g) FROM t", &["float_min", "max"]),
            ("SELECT * FROM t WHERE v > (SELECT MIN(v) FROM t)", &["float_min"]),
            ("SELECT g, SUM(v), COUNT(v) FROM t GROUP BY g", &["sum", "count"]),
            ("SELECT g, MIN(CAST(n AS VARCHAR)) FROM t GROUP BY g", &["min"]),
        ] {
            assert_eq!(functions(sql).await, expected, "{sql}");
        }
    }
}
