//! [`DeferInfer`] sorts and cuts off rows before a model looks at the rest.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::infer::InferNode;
use crate::options::OcelliOptions;
use crate::plan::{in_alias, in_projection, made_of};

/// Sorts and cuts off (`ORDER BY … LIMIT n`) below `Infer` when no sort key is a result of the model.
///
/// ```text
/// before                                                  after
/// Sort: t.taken, fetch=10                                 Sort: t.taken, fetch=10
///   Projection: t.taken, __infer_1                          Projection: t.taken, __infer_1
///     Infer: image=t.image, outputs=[…]                       Infer: image=t.image, outputs=[classify AS __infer_1]
///       TableScan: t                                            Sort: t.taken, fetch=10
///                                                                 TableScan: t
/// ```
///
/// The sort above keeps the order a promise of the plan, and costs nothing where the nodes between keep it.
/// A sort without a limit leaves no rows out, and one with a large limit would hold so many images in memory: they are let be.
///
/// Where the keys are plain columns, DataFusion does the same in the physical plan (`enforce_sorting`); this also takes
/// computed keys, and every planner that starts from the logical plan.
#[derive(Debug)]
pub(crate) struct DeferInfer;

/// The largest limit for which rows with images are sorted.
const MOST_ROWS: usize = 1_000;

impl OptimizerRule for DeferInfer {
    fn name(&self) -> &str {
        "defer_infer"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(sort) = &plan else {
            return Ok(Transformed::no(plan));
        };
        let fetch = sort.fetch.filter(|&fetch| fetch <= MOST_ROWS);
        let (Some(fetch), true) = (fetch, OcelliOptions::from_config(&config.options()).defer_infer) else {
            return Ok(Transformed::no(plan));
        };
        Ok(match sorted_below(&sort.expr, fetch, &sort.input)? {
            Some(input) => Transformed::yes(LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort.clone() })),
            None => Transformed::no(plan),
        })
    }
}

/// `plan` with the sort below its lowest `Infer` node; `None` when there is none, or its results are sorted by.
fn sorted_below(keys: &[SortExpr], fetch: usize, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(keys) = mapped(keys, |column| in_projection(projection, column)) else { return Ok(None) };
            let Some(input) = sorted_below(&keys, fetch, &projection.input)? else { return Ok(None) };
            let exprs = projection.expr.clone();
            Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(keys) = mapped(keys, |column| in_alias(alias, column)) else { return Ok(None) };
            let Some(input) = sorted_below(&keys, fetch, &alias.input)? else { return Ok(None) };
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some(LogicalPlan::SubqueryAlias(alias)))
        }
        plan => {
            let Some(node) = InferNode::from_plan(plan) else { return Ok(None) };
            let columns: Vec<&Column> = keys.iter().flat_map(|key| key.expr.column_refs()).collect();
            if !columns.iter().all(|column| node.input().schema().has_column(column)) {
                return Ok(None);
            }
            let input = match sorted_below(keys, fetch, node.input())? {
                Some(input) => input,
                None if is_sorted(node.input(), keys, fetch) => return Ok(None),
                None => {
                    let input = Arc::new(node.input().clone());
                    LogicalPlan::Sort(Sort { expr: keys.to_vec(), input, fetch: Some(fetch) })
                }
            };
            Ok(Some(node.with_input(input)?.into_plan()))
        }
    }
}

/// Whether that has been done already. Projections may have come between since then.
fn is_sorted(plan: &LogicalPlan, keys: &[SortExpr], fetch: usize) -> bool {
    match plan {
        LogicalPlan::Sort(sort) => sort.fetch == Some(fetch) && sort.expr == keys,
        LogicalPlan::Projection(projection) => mapped(keys, |column| in_projection(projection, column))
            .is_some_and(|keys| is_sorted(&projection.input, &keys, fetch)),
        plan => InferNode::from_plan(plan).is_some_and(|node| is_sorted(node.input(), keys, fetch)),
    }
}

/// The keys in terms of what their columns are made of.
fn mapped(keys: &[SortExpr], below: impl Fn(&Column) -> Option<Expr>) -> Option<Vec<SortExpr>> {
    keys.iter().map(|key| Some(SortExpr { expr: made_of(&key.expr, &below)?, ..key.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::optimizer::push_down_limit::PushDownLimit;
    use insta::assert_snapshot;

    use super::*;
    use crate::infer::rules::LiftInfer;
    use crate::model::ModelRegistry;
    use crate::session::rule_test::rewrite_after;

    async fn defer(sql: &str) -> String {
        let lift: Arc<dyn OptimizerRule + Send + Sync> =
            Arc::new(LiftInfer::new(Arc::new(ModelRegistry::with_builtin_model().unwrap())));
        let before = vec![lift, Arc::new(PushDownLimit::new())];
        rewrite_after(before, Arc::new(DeferInfer), sql).await.unwrap_or_else(|error| crate::user_message(&error))
    }

    /// Whether the model comes last.
    async fn is_deferred(sql: &str) -> bool {
        let plan = defer(sql).await;
        plan.find("Infer:") < plan.rfind("Sort:")
    }

    #[tokio::test]
    async fn a_sort_with_a_limit_comes_first() {
        assert_snapshot!(defer("SELECT uri, classify(image) FROM t ORDER BY year DESC LIMIT 10").await, @r#"
        Projection: t.uri, classify(t.image)
          Limit: skip=0, fetch=10
            Sort: t.year DESC NULLS FIRST, fetch=10
              Projection: t.uri, __infer_1 AS classify(t.image), t.year
                Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                  Sort: t.year DESC NULLS FIRST, fetch=10
                    TableScan: t
        "#);
    }

    #[tokio::test]
    async fn aliases_and_computed_keys_are_looked_through() {
        let labelled = "SELECT uri, year + 1 AS next, classify(image) AS label FROM t";
        assert_snapshot!(
            defer(&format!("SELECT label FROM ({labelled}) AS s ORDER BY s.next, uri LIMIT 3 OFFSET 2")).await, @r#"
        Projection: s.label
          Limit: skip=2, fetch=3
            Sort: s.next ASC NULLS LAST, s.uri ASC NULLS LAST, fetch=5
              Projection: s.label, s.next, s.uri
                SubqueryAlias: s
                  Projection: t.uri, t.year + Int64(1) AS next, __infer_1 AS label
                    Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                      Sort: t.year + Int64(1) ASC NULLS LAST, t.uri ASC NULLS LAST, fetch=5
                        TableScan: t
        "#
        );
    }

    #[tokio::test]
    async fn a_sort_by_a_result_or_without_a_limit_stays() {
        assert!(is_deferred("SELECT classify(image) FROM t ORDER BY uri LIMIT 1").await);
        assert!(!is_deferred("SELECT classify(image) AS label FROM t ORDER BY label LIMIT 1").await);
        assert!(!is_deferred("SELECT classify(image) FROM t ORDER BY uri").await);
        assert!(!is_deferred("SELECT classify(image) FROM t ORDER BY uri LIMIT 1001").await);
        assert!(!is_deferred("SELECT uri FROM t WHERE classify(image) = 'cat' ORDER BY uri LIMIT 1").await);
    }

    #[tokio::test]
    async fn a_random_key_is_not_drawn_twice() {
        assert!(is_deferred("SELECT uri, classify(image) FROM t ORDER BY random() LIMIT 1").await);
        assert!(!is_deferred("SELECT random() AS r, classify(image) FROM t ORDER BY r LIMIT 1").await);
    }
}
