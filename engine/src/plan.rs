//! Analysis and rewriting of DataFusion plans and expressions, shared by optimizer rules.

mod infallible;
mod pull_up;
mod rebuild;

pub(crate) use infallible::is_infallible;
pub(crate) use pull_up::{
    alias_input_expr, projected_expr, projection_input_expr, rewrite_to_input, substitute_columns,
};
pub(crate) use rebuild::join_with_inputs;
