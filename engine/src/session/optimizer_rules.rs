//! [`insert_rules`]: the ordered list of our optimizer rules.

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

use crate::aggregate::FloatMinMax;
use crate::infer::{DeferInfer, LiftInfer, PruneInfer, ShareInfer};
use crate::model::ModelRegistry;
use crate::sparse::FuseSparseMatMul;

type OptimizerRules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// DataFusion's last rule that decorrelates subqueries into joins.
const LAST_DECORRELATION_RULE: &str = "decorrelate_lateral_join";

/// Inserts our rules into DataFusion's list, each with the reason for its position.
pub(crate) fn insert_rules(rules: &mut OptimizerRules, models: Arc<ModelRegistry>) {
    let lift_infer = Arc::new(LiftInfer::new(models));
    // Calls in correlated subqueries: after decorrelation, and before filters with such calls are pushed into table scans.
    if let Some(at) = rules.iter().position(|rule| rule.name() == LAST_DECORRELATION_RULE) {
        rules.insert(at + 1, Arc::clone(&lift_infer) as _);
    }
    // All other calls, before anything else: later rules fold calls with constant arguments, and duplicate calls in filters
    // that they push down.
    rules.insert(0, lift_infer);
    // After projections are merged and name only what is read.
    rules.push(Arc::new(PruneInfer));
    // After unread outputs are pruned: sharing would revive them.
    rules.push(Arc::new(ShareInfer));
    // After limits have become part of sorts.
    rules.push(Arc::new(DeferInfer));
    // After the rules that know MIN and MAX by their names.
    rules.push(Arc::new(FloatMinMax));
    // After filters are pushed down and projections merged; no other rule rewrites its node.
    rules.push(Arc::new(FuseSparseMatMul));
}

#[cfg(test)]
mod tests {
    use datafusion::optimizer::Optimizer;

    use super::*;

    fn names(rules: &OptimizerRules) -> Vec<&str> {
        rules.iter().map(|rule| rule.name()).collect()
    }

    #[test]
    fn rules_are_in_order_and_datafusions_are_kept() {
        let theirs = Optimizer::new().rules;
        let mut rules = Optimizer::new().rules;
        insert_rules(&mut rules, Arc::new(ModelRegistry::with_builtin_model().unwrap()));
        let (ours, others): (Vec<&str>, Vec<&str>) = names(&rules)
            .into_iter()
            .partition(|name| name.ends_with("_infer") || ["float_min_max", "sparse_matmul"].contains(name));
        assert_eq!(
            ours,
            ["lift_infer", "lift_infer", "prune_infer", "share_infer", "defer_infer", "float_min_max", "sparse_matmul"]
        );
        assert_eq!(others, names(&theirs));
        let position = |name: &str| names(&rules).iter().rposition(|found| *found == name);
        assert_eq!(names(&rules)[0], "lift_infer");
        assert!(position(LAST_DECORRELATION_RULE) < position("lift_infer"), "after decorrelation");
        assert!(position("lift_infer") < position("push_down_filter"), "before filters are pushed");
        assert!(position("push_down_limit") < position("defer_infer"), "after limits are pushed");
        assert!(position("optimize_projections") < position("prune_infer"), "after projections are merged");
        assert!(position("optimize_projections") < position("sparse_matmul"), "after projections are merged");
        assert!(position("single_distinct_aggregation_to_group_by") < position("float_min_max"), "after rules by name");
        assert!(position("float_min_max") < position("sparse_matmul"), "the join that a product may fall back to");
    }
}
