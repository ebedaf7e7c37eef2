//! Analysis and rewriting of DataFusion plans and expressions, shared by optimizer rules.

mod infallible;
mod pull_up;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

pub(crate) use infallible::is_infallible;
pub(crate) use pull_up::{
    alias_input_expr, projected_expr, projection_input_expr, rewrite_to_input, substitute_columns,
};

/// Rebuilds `join` on new inputs, with equality keys and a filter over their columns. The join type, the constraint and the treatment of
/// NULL keys are kept.
pub(crate) fn join_with_inputs(
    join: &Join,
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
) -> Result<Join> {
    Join::try_new(left, right, on, filter, join.join_type, join.join_constraint, join.null_equality, join.null_aware)
}
