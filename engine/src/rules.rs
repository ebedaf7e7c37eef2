//! Our optimizer rules, one a file.

mod lift_infer;
#[cfg(test)]
mod rule_test;

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

use crate::model::Models;

pub(crate) use lift_infer::LiftInfer;

/// Puts our rules in front of DataFusion's, each with the reason for its place.
pub(crate) fn add_to(rules: &mut Vec<Arc<dyn OptimizerRule + Send + Sync>>, models: Arc<Models>) {
    // First of all: later rules fold calls with constant arguments, and copy calls into filters that they push down.
    rules.insert(0, Arc::new(LiftInfer::new(models)));
}
