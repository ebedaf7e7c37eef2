//! Runs ONNX graphs on the GPU through wgpu: Vulkan, Metal or DirectX 12 from one build. Inputs and outputs are slices.
//!
//! ```no_run
//! use ocelli_gpu::{Device, Graph, Input, Model, Precision};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = Graph::parse(&std::fs::read("resnet50.onnx")?, &[])?;
//! let logits = graph.outputs().to_vec();
//! let model = Model::new(Device::shared(None)?, graph.into(), Precision::F32)?;
//! let image = vec![0.0; 3 * 224 * 224];
//! let input = Input { shape: vec![1, 3, 224, 224], chunks: vec![&image] };
//! let results = model.run(&[input], &logits)?;
//! assert_eq!(results[0].shape, [1, 1000]);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! Graph (ONNX) ──plan──▶ Plan (steps) ──Program──▶ pipelines and buffers of a Device ──Model──▶ runs, for several shapes
//!                                                                             DynamicBatcher ─▶ requests from many threads
//! ```
//! - `graph/`: the ONNX graph. `plan/`: lowering, fusion and memory planning, without a device. `kernel/`: one file per kernel, its
//!   `.wgsl` next to its `.rs`.
//! - [`SparseMatrix`]: products of a sparse matrix and a dense one.
//! - Inputs and outputs are 32-bit floats; tensors on the device may be 16-bit floats ([`Precision`]).

mod device;
mod error;
mod graph;
mod kernel;
mod plan;
mod precision;
mod runtime;
mod sparse;

pub use device::{Adapter, Device, adapters, may_have_gpu};
pub use error::Error;
pub use graph::Graph;
pub use precision::Precision;
pub use runtime::{BatchRequest, Completion, DynamicBatcher, Input, Model, OutputTensor, Run, WorkEstimate};
pub use sparse::SparseMatrix;
