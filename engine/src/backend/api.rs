//! [`Backend`]: the trait of the backends, and the tensors they take and return.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;

use crate::runtime::WorkerPool;

/// A loaded model. Runs concurrently from any number of threads.
pub(crate) trait Backend: Send + Sync {
    /// Runs the model once and returns the requested outputs in row-major order.
    ///
    /// # Errors
    /// The message of the backend.
    fn run(&self, inputs: &[NamedTensor], outputs: &[OutputRef], workers: &WorkerPool) -> Result<Vec<Tensor>, String>;

    /// The asynchronous queue of a device, for backends that do not run on the worker pool.
    fn queue(&self) -> Option<&dyn DeviceQueue> {
        None
    }
}

/// Runs images of many micro-batches on a device, while the workers preprocess the next ones.
pub(crate) trait DeviceQueue {
    /// Enqueues image tensors of shape `[images, …]`. `done` is called with the requested outputs, on a thread of the device. Cancelled
    /// requests may be dropped, and `done` with them.
    fn push(
        &self,
        values: Vec<f32>,
        shape: &[usize],
        outputs: &[OutputRef],
        is_cancelled: CancelCheck,
        done: RunCompletion,
    );

    /// The number of images that keeps the device busy: those it runs, and the next batch.
    fn depth(&self) -> usize;
}

/// Whether the results are no longer needed.
pub(crate) type CancelCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// Called with the results, or with the message of the backend.
pub(crate) type RunCompletion = Box<dyn FnOnce(Result<Vec<Vec<f32>>, String>) + Send>;

/// A tensor for an input of the graph, of the input's element type.
#[derive(Debug)]
pub(crate) struct NamedTensor {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
}

/// A row-major tensor. Clones share the values.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: ArrayRef,
}

/// Selects a tensor of the graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputRef<'a> {
    /// The graph output with this index.
    Index(usize),
    /// Any tensor, by name.
    Name(&'a str),
}

/// The contents of an ONNX file and its external data.
#[derive(Debug, Clone)]
pub(crate) struct ModelBytes {
    pub(crate) graph: Bytes,
    /// External data files, by their names in the graph.
    pub(crate) external: Vec<(String, Vec<u8>)>,
}

/// The contents of a file, built in or read at run time.
#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Static(&'static [u8]),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A GPU and the precision on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuTarget {
    /// The name of the adapter.
    pub(crate) name: String,
    /// Whether the model runs in 16-bit precision.
    pub(crate) is_float16: bool,
    /// Whether the CPU may be used instead, because the GPU was preferred and not requested.
    pub(crate) allows_fallback: bool,
}

/// A cast that fails on overflow, where Arrow's default returns NULL.
///
/// # Errors
/// When a value does not fit the type, or the types cannot be cast.
pub(crate) fn cast_checked(values: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// [`cast_checked`] for the inputs of models, which also fails where a finite value becomes infinite.
///
/// # Errors
/// When a value does not fit the type, or the types cannot be cast.
pub(crate) fn cast_to_input(values: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let cast = cast_checked(values, to)?;
    let infinite = if values.data_type() == to { 0 } else { num_infinite(&cast) };
    if infinite > 0 && infinite > num_infinite(values) {
        return Err(ArrowError::CastError(format!("a value is out of range for {to}")));
    }
    Ok(cast)
}

fn num_infinite(values: &dyn Array) -> usize {
    match values.data_type() {
        DataType::Float16 => {
            values.as_primitive::<Float16Type>().values().iter().filter(|value| value.is_infinite()).count()
        }
        DataType::Float32 => {
            values.as_primitive::<Float32Type>().values().iter().filter(|value| value.is_infinite()).count()
        }
        DataType::Float64 => {
            values.as_primitive::<Float64Type>().values().iter().filter(|value| value.is_infinite()).count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int32Array};

    use super::*;

    #[test]
    fn finite_values_stay_finite() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::INFINITY, f64::NAN]));
        assert!(cast_to_input(&values, &DataType::Float32).is_ok());
        let large: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
        assert!(cast_to_input(&large, &DataType::Float32).is_err());
        assert!(cast_to_input(&large, &DataType::Float64).is_ok());
        let integers: ArrayRef = Arc::new(Int32Array::from(vec![100_000]));
        assert!(cast_to_input(&integers, &DataType::Float16).is_err());
        assert!(cast_to_input(&integers, &DataType::Float32).is_ok());
    }
}
