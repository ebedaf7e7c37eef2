//! Optimizer rules for model calls; `session/optimizer_rules.rs` has their order.

mod defer_infer;
mod lift_infer;
pub(crate) mod limit_batch_size;
mod prune_infer;
mod share_infer;

pub(crate) use defer_infer::DeferInfer;
pub(crate) use lift_infer::LiftInfer;
pub(crate) use prune_infer::PruneInfer;
pub(crate) use share_infer::ShareInfer;
