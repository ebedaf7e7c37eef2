//! [`Model`]: runs a compiled graph on a [`Device`](crate::Device), for several input shapes and for many threads.
//!
//! ```text
//! Model ── Program (one per input shape: pipelines, weights, buffers) ── Run (a batch that is in flight)
//!   └─ Batcher: groups the requests of many threads into batches
//! ```

mod batcher;
mod measure;
mod model;
mod program;

pub use batcher::{Batcher, Done, Items};
pub use measure::Work;
pub use model::{Input, Model, Run, Tensor};
