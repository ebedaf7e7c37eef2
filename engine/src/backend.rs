//! Backends: libraries that run ONNX models. One file per backend, and one trait for all of them ([`Backend`]).

mod api;
#[cfg(feature = "gpu")]
mod gpu;
mod ort;
mod rten;
mod selection;

#[cfg(test)]
pub(crate) use api::GpuTarget;
pub(crate) use api::{
    Backend, Bytes, CancelCheck, DeviceQueue, ModelBytes, NamedTensor, OutputRef, Tensor, cast_to_input,
};
pub(crate) use selection::{BackendSelection, ModelBackendOptions};

/// The version and path of the ONNX Runtime library in use.
///
/// # Errors
/// The reason why there is none.
pub fn onnx_runtime_library() -> Result<String, String> {
    ort::library().as_ref().map(ToString::to_string).map_err(Clone::clone)
}

/// The GPU adapters of this machine, including software adapters, one description each.
///
/// # Errors
/// The reason why there are none.
pub fn gpu_adapters() -> Result<Vec<String>, String> {
    #[cfg(feature = "gpu")]
    return gpu::adapter_descriptions();
    #[cfg(not(feature = "gpu"))]
    Err(selection::GPU_NOT_BUILT.to_owned())
}
