//! [`Model`]: runs a compiled graph on a [`Device`](crate::Device), for several input shapes and from many threads.
//!
//! ```text
//! Model ── Program (one per input shape: pipelines, weights, buffers) ── Run (a batch in flight)
//!   └─ DynamicBatcher: groups the requests of many threads into batches
//! ```

mod batcher;
mod measure;
mod model;
mod program;

pub use batcher::{BatchRequest, Completion, DynamicBatcher};
pub use measure::WorkEstimate;
pub use model::{Input, Model, OutputTensor, Run};
