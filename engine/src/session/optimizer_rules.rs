//! [`add_to`]: the ordered list of our optimizer rules.

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

use crate::infer::{DeferInfer, LiftInfer, PruneInfer, ShareInfer};
use crate::model::Models;
use crate::sparse::FuseSparseMatMul;

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// DataFusion's last rule that makes joins of subqueries.
const SUBQUERIES_ARE_JOINS: &str = "decorrelate_lateral_join";

/// Puts our rules among DataFusion's, each with the reason for its place.
pub(crate) fn add_to(rules: &mut Rules, models: Arc<Models>) {
    let lift_infer = Arc::new(LiftInfer::new(models));
    // What a subquery that looks at its outer query calls, before filters with such calls are pushed into table scans.
    if let Some(at) = rules.iter().position(|rule| rule.name() == SUBQUERIES_ARE_JOINS) {
        rules.insert(at + 1, Arc::clone(&lift_infer) as _);
    }
    // All other calls, before anything else: later rules fold calls with constant arguments, and copy calls into filters
    // that they push down.
    rules.insert(0, lift_infer);
    // When projections have been merged, and name just what is read.
    rules.push(Arc::new(PruneInfer));
    // When what nobody reads is gone: sharing would bring it back to life.
    rules.push(Arc::new(ShareInfer));
    // When limits have become part of sorts.
    rules.push(Arc::new(DeferInfer));
    // When filters are where they belong and projections are merged; what it leaves is for nobody to rewrite.
    rules.push(Arc::new(FuseSparseMatMul));
}

#[cfg(test)]
mod tests {
    use datafusion::optimizer::Optimizer;

    use super::*;

    fn names(rules: &Rules) -> Vec<&str> {
        rules.iter().map(|rule| rule.name()).collect()
    }

    #[test]
    fn our_rules_are_in_their_places_and_the_others_stay() {
        let theirs = Optimizer::new().rules;
        let mut rules = Optimizer::new().rules;
        add_to(&mut rules, Arc::new(Models::bundled().unwrap()));
        let (ours, others): (Vec<&str>, Vec<&str>) =
            names(&rules).into_iter().partition(|name| name.ends_with("_infer") || *name == "sparse_matmul");
        assert_eq!(ours, ["lift_infer", "lift_infer", "prune_infer", "share_infer", "defer_infer", "sparse_matmul"]);
        assert_eq!(others, names(&theirs));
        let place = |name: &str| names(&rules).iter().rposition(|found| *found == name);
        assert_eq!(names(&rules)[0], "lift_infer");
        assert!(place(SUBQUERIES_ARE_JOINS) < place("lift_infer"), "after subqueries are joins");
        assert!(place("lift_infer") < place("push_down_filter"), "before filters are pushed");
        assert!(place("push_down_limit") < place("defer_infer"), "after limits are pushed");
        assert!(place("optimize_projections") < place("prune_infer"), "after projections are merged");
        assert!(place("optimize_projections") < place("sparse_matmul"), "after projections are merged");
    }
}
