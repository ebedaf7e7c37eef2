//! [`DeferInfer`] pushes TopK sorts below `Infer` nodes.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::infer::InferNode;
use crate::options::OcelliOptions;
use crate::plan::{alias_input_expr, projection_input_expr, rewrite_to_input};

/// TopK push-down: sorts and limits (`ORDER BY … LIMIT n`) below `Infer` if no sort key depends on its outputs, so that the model runs on
/// `n` rows only.
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
/// The upper sort stays, so that the plan still guarantees the order; DataFusion drops it if the nodes in between preserve the order.
///
/// The rule leaves sorts without a limit unchanged, because they drop no rows, and sorts with a large limit, because they would buffer as
/// many images.
///
/// For keys that are columns, DataFusion's physical rule `enforce_sorting` has the same effect. This rule also handles computed keys, and
/// planners that start from the logical plan.
#[derive(Debug)]
pub(crate) struct DeferInfer;

/// The largest limit for which rows with images are sorted: a TopK buffers that many images.
const MAX_TOPK_ROWS: usize = 1_000;

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
        let fetch = sort.fetch.filter(|&fetch| fetch <= MAX_TOPK_ROWS);
        let (Some(fetch), true) = (fetch, OcelliOptions::from_config(&config.options()).defer_infer) else {
            return Ok(Transformed::no(plan));
        };
        Ok(match push_down_topk(&sort.expr, fetch, &sort.input)? {
            Some(input) => Transformed::yes(LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort.clone() })),
            None => Transformed::no(plan),
        })
    }
}

/// Pushes the TopK below the lowest `Infer` node of `plan` whose outputs are not sort keys. `None` if there is none.
fn push_down_topk(keys: &[SortExpr], fetch: usize, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(keys) = rewrite_keys(keys, |column| projection_input_expr(projection, column)) else {
                return Ok(None);
            };
            let Some(input) = push_down_topk(&keys, fetch, &projection.input)? else { return Ok(None) };
            let exprs = projection.expr.clone();
            Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(keys) = rewrite_keys(keys, |column| alias_input_expr(alias, column)) else { return Ok(None) };
            let Some(input) = push_down_topk(&keys, fetch, &alias.input)? else { return Ok(None) };
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some(LogicalPlan::SubqueryAlias(alias)))
        }
        plan => {
            let Some(node) = InferNode::from_plan(plan) else { return Ok(None) };
            let columns: Vec<&Column> = keys.iter().flat_map(|key| key.expr.column_refs()).collect();
            if !columns.iter().all(|column| node.input().schema().has_column(column)) {
                return Ok(None);
            }
            let input = match push_down_topk(keys, fetch, node.input())? {
                Some(input) => input,
                None if is_sorted(node.input(), keys, fetch) => return Ok(None),
                None => {
                    let input = Arc::new(node.input().clone());
                    LogicalPlan::Sort(Sort { expr: keys.to_vec(), input, fetch: Some(fetch) })
                }
            };
            Ok(Some(node.with_input(input)?.into_logical_plan()))
        }
    }
}

/// Whether the TopK was pushed down before. Other rules can have inserted projections since.
fn is_sorted(plan: &LogicalPlan, keys: &[SortExpr], fetch: usize) -> bool {
    match plan {
        LogicalPlan::Sort(sort) => sort.fetch == Some(fetch) && sort.expr == keys,
        LogicalPlan::Projection(projection) => rewrite_keys(keys, |column| projection_input_expr(projection, column))
            .is_some_and(|keys| is_sorted(&projection.input, &keys, fetch)),
        plan => InferNode::from_plan(plan).is_some_and(|node| is_sorted(node.input(), keys, fetch)),
    }
}

/// Rewrites sort keys in terms of the input columns.
fn rewrite_keys(keys: &[SortExpr], definition: impl Fn(&Column) -> Option<Expr>) -> Option<Vec<SortExpr>> {
    keys.iter().map(|key| Some(SortExpr { expr: rewrite_to_input(&key.expr, &definition)?, ..key.clone() })).collect()
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

    /// Whether the lowest sort is below the `Infer` node.
    async fn is_deferred(sql: &str) -> bool {
        let plan = defer(sql).await;
        plan.find("Infer:") < plan.rfind("Sort:")
    }

    #[tokio::test]
    async fn topk_is_pushed_below_infer() {
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
    async fn topk_is_pushed_through_aliases_and_computed_keys() {
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
    async fn sorts_by_outputs_or_without_small_limit_stay() {
        assert!(is_deferred("SELECT classify(image) FROM t ORDER BY uri LIMIT 1").await);
        assert!(!is_deferred("SELECT classify(image) AS label FROM t ORDER BY label LIMIT 1").await);
        assert!(!is_deferred("SELECT classify(image) FROM t ORDER BY uri").await);
        assert!(!is_deferred("SELECT classify(image) FROM t ORDER BY uri LIMIT 1001").await);
        assert!(!is_deferred("SELECT uri FROM t WHERE classify(image) = 'cat' ORDER BY uri LIMIT 1").await);
    }

    #[tokio::test]
    async fn volatile_keys_are_not_evaluated_twice() {
        assert!(is_deferred("SELECT uri, classify(image) FROM t ORDER BY random() LIMIT 1").await);
        assert!(!is_deferred("SELECT random() AS r, classify(image) FROM t ORDER BY r LIMIT 1").await);
    }
}
