//! [`PruneInfer`] removes unread outputs of `Infer` nodes.

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::infer::InferNode;
use crate::options::OcelliOptions;

/// Projection pruning for `Infer` nodes: removes unread outputs, and the node if none is left.
///
/// ```text
/// before                                            after
/// Projection: t.uri                                 Projection: t.uri
///   Infer: …, outputs=[classify AS __infer_1]         TableScan: t
///     TableScan: t
/// ```
///
/// Applies to nodes directly below a projection or an aggregate: other plan nodes pass all input columns on.
#[derive(Debug)]
pub(crate) struct PruneInfer;

impl OptimizerRule for PruneInfer {
    fn name(&self) -> &str {
        "prune_infer"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        if !OcelliOptions::from_config(&config.options()).prune_infer {
            return Ok(Transformed::no(plan));
        }
        let inputs = plan.inputs();
        let [input] = inputs.as_slice() else {
            return Ok(Transformed::no(plan));
        };
        let Some(infer) = InferNode::from_plan(input) else {
            return Ok(Transformed::no(plan));
        };
        let expressions = plan.expressions();
        let is_read = |name: &str| {
            let column = Column::new_unqualified(name);
            expressions.iter().any(|expr| expr.column_refs().contains(&column))
        };
        let Some(pruned) = infer.prune(&is_read)? else {
            return Ok(Transformed::no(plan));
        };
        let pruned = plan.with_new_exprs(expressions, vec![pruned])?;
        Ok(Transformed::yes(pruned))
    }
}
