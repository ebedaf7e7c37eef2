//! ONNX graphs on the GPU through wgpu: Vulkan, Metal or DirectX 12 from one build. Slices in, slices out.
//!
//! ```no_run
//! use ocelli_gpu::{Device, Graph, Input, Model, Precision};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = Graph::parse(&std::fs::read("resnet50.onnx")?, &[])?;
//! let logits = graph.outputs().to_vec();
//! let model = Model::new(Device::shared(None)?, graph.into(), Precision::F32)?;
//! let image = vec![0.0; 3 * 224 * 224];
//! let input = Input { shape: vec![1, 3, 224, 224], parts: vec![&image] };
//! let results = model.run(&[input], &logits)?;
//! assert_eq!(results[0].shape, [1, 1000]);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! Graph (ONNX) ──plan──▶ Plan (steps) ──Program──▶ pipelines and buffers of a Device ──Model──▶ passes, several shapes
//!                                                                                    Batcher ─▶ items from many threads
//! ```
//! - `graph/`: ONNX as it is in the file. `plan/`: what is to be done, without a device. `kernel/`: how, one file a kernel, its
//!   `.wgsl` beside its `.rs`.
//! - [`SparseMatrix`]: products of a sparse matrix and a dense one.
//! - Numbers are 32-bit floats on the way in and out; on the device they may have 16 bits ([`Precision`]).

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
pub use runtime::{Batcher, Done, Input, Items, Model, Run, Tensor, Work};
pub use sparse::SparseMatrix;
