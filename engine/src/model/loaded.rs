//! [`LoadedModel`]: a graph loaded by a backend.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Float32Type};

use super::ImageTask;
use crate::backend::{Backend, NamedTensor, OutputRef, Tensor};
use crate::onnx::GraphInfo;
use crate::runtime::WorkerPool;

/// A graph loaded by a backend.
pub(crate) struct LoadedModel {
    pub(crate) graph: GraphInfo,
    pub(crate) backend: Box<dyn Backend>,
}

impl LoadedModel {
    /// Runs preprocessed images. If the graph has a fixed batch size, splits them into batches and pads the last one with zeros.
    ///
    /// `slice_padded` of `predict` repeats rows instead: a zero is a valid pixel, but may be invalid in a column, for example as an id.
    pub(super) fn run_images(
        &self,
        image_task: &ImageTask,
        tensor: Vec<f32>,
        images: usize,
        outputs: &[OutputRef],
        workers: &WorkerPool,
    ) -> Result<Vec<Vec<f32>>, String> {
        let Some(input) = self.graph.inputs.first() else { return Err("it has no inputs".to_owned()) };
        let values: ArrayRef = Arc::new(Float32Array::from(tensor));
        let data_type = input.element_type.data_type().unwrap_or(DataType::Float32);
        let values = cast(&values, &data_type).map_err(|error| error.to_string())?;
        let image_len = image_task.processor.len();
        let batch = input.fixed_batch().unwrap_or(images);
        let mut results = vec![Vec::new(); outputs.len()];
        for first in (0..images).step_by(batch) {
            let count = batch.min(images - first);
            let mut batch_values = values.slice(first * image_len, count * image_len);
            if count < batch {
                let padding: ArrayRef = Arc::new(Float32Array::from(vec![0.0; (batch - count) * image_len]));
                let padding = cast(&padding, &data_type).map_err(|error| error.to_string())?;
                batch_values = concat(&[&batch_values, &padding]).map_err(|error| error.to_string())?;
            }
            let shape = image_task.processor.shape(batch).to_vec();
            let input = NamedTensor { name: input.name.clone(), tensor: Tensor { shape, values: batch_values } };
            for (result, output) in results.iter_mut().zip(self.backend.run(&[input], outputs, workers)?) {
                let output = to_f32(&output.values)?;
                // Without the outputs of the padding.
                result.extend_from_slice(&output[..output.len() / batch * count]);
            }
        }
        Ok(results)
    }
}

/// Casts an output to f32.
fn to_f32(values: &ArrayRef) -> Result<Vec<f32>, String> {
    let values = cast(values, &DataType::Float32).map_err(|error| error.to_string())?;
    Ok(values.as_primitive::<Float32Type>().values().to_vec())
}
