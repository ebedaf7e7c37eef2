//! Analysis of DataFusion expressions that optimizer rules share.

mod infallible;
mod pull_up;

pub(crate) use infallible::cannot_fail;
pub(crate) use pull_up::{in_alias, in_projection, made_of};
