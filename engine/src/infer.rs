//! Inference in a query: SQL functions, optimizer rules, logical node, physical operator, stream and kernels.

pub(crate) mod call;
mod compute;
mod context;
mod error_budget;
mod exec;
mod fetch;
pub(crate) mod function;
pub mod functions;
mod image_rows;
mod input;
mod kernels;
mod metrics;
mod micro_batch;
mod node;
mod output;
mod output_columns;
mod planner;
mod predict;
mod reservation;
mod rules;
mod scalar_eval;
mod spec;
mod stream;
mod udf;

pub(crate) use context::InferContext;
pub(crate) use exec::InferExec;
pub(crate) use node::InferNode;
pub(crate) use output::{InferOutput, OutputSpec};
pub(crate) use planner::InferExtensionPlanner;
pub(crate) use rules::{DeferInfer, LiftInfer, PruneInfer, ShareInfer, limit_image_batch_size};
