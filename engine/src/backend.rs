//! Backends: what runs a model. One file a backend, one trait for all of them ([`Backend`]).

mod api;
#[cfg(feature = "gpu")]
mod gpu;
mod ort;
mod rten;
mod selection;

pub(crate) use api::{Backend, Bytes, CancelCheck, GraphFile, Input, Output, Queue, Tensor};
#[cfg(test)]
pub(crate) use selection::GpuTarget;
pub(crate) use selection::{BackendOptions, Decided, Kind};

/// The library of ONNX Runtime that models run on: its version and where it is.
///
/// # Errors
/// Why there is none, for a sentence.
pub fn onnx_runtime() -> Result<String, String> {
    ort::library().as_ref().map(ToString::to_string).map_err(Clone::clone)
}

/// The GPUs that models can run on, and what computes in their place: each in a line.
///
/// # Errors
/// Why there are none, for a sentence.
pub fn gpus() -> Result<Vec<String>, String> {
    #[cfg(feature = "gpu")]
    return gpu::lines();
    #[cfg(not(feature = "gpu"))]
    Err(kind::NOT_BUILT.to_owned())
}
