//! Optimizer rules for model inference. `session/optimizer_rules.rs` defines their order.

mod defer_infer;
mod lift_infer;
mod limit_batch_size;
mod prune_infer;
mod share_infer;

pub(crate) use defer_infer::DeferInfer;
pub(crate) use lift_infer::LiftInfer;
pub(crate) use limit_batch_size::limit_image_batch_size;
pub(crate) use prune_infer::PruneInfer;
pub(crate) use share_infer::ShareInfer;
