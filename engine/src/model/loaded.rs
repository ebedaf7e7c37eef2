//! [`Loaded`]: a graph in a backend, and how it runs on prepared images.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Float32Type};

use super::Vision;
use crate::backend::{Backend, Input, Output, Tensor};
use crate::onnx::Graph;
use crate::runtime::WorkerPool;

/// A graph in a backend.
pub(crate) struct Loaded {
    pub(crate) graph: Graph,
    pub(crate) backend: Box<dyn Backend>,
}

impl Loaded {
    /// The outputs for prepared images, in as many passes as the graph's batch size makes necessary.
    pub(super) fn run_images(
        &self,
        vision: &Vision,
        tensor: Vec<f32>,
        images: usize,
        outputs: &[Output],
        workers: &WorkerPool,
    ) -> Result<Vec<Vec<f32>>, String> {
        let Some(input) = self.graph.inputs.first() else { return Err("it has no input".to_owned()) };
        let numbers: ArrayRef = Arc::new(Float32Array::from(tensor));
        let data_type = input.element.data_type().unwrap_or(DataType::Float32);
        let numbers = cast(&numbers, &data_type).map_err(|error| error.to_string())?;
        let size = vision.preprocess.len();
        let batch = input.fixed_batch().unwrap_or(images);
        let mut results = vec![Vec::new(); outputs.len()];
        for first in (0..images).step_by(batch) {
            let count = batch.min(images - first);
            let mut values = numbers.slice(first * size, count * size);
            if count < batch {
                let black: ArrayRef = Arc::new(Float32Array::from(vec![0.0; (batch - count) * size]));
                let black = cast(&black, &data_type).map_err(|error| error.to_string())?;
                values = concat(&[&values, &black]).map_err(|error| error.to_string())?;
            }
            let shape = vision.preprocess.shape(batch).to_vec();
            let input = Input { name: input.name.clone(), tensor: Tensor { shape, values } };
            for (result, output) in results.iter_mut().zip(self.backend.run(&[input], outputs, workers)?) {
                let numbers = floats(&output.values)?;
                // What came of black is left out.
                result.extend_from_slice(&numbers[..numbers.len() / batch * count]);
            }
        }
        Ok(results)
    }
}

/// Any numbers as 32-bit floats.
fn floats(values: &ArrayRef) -> Result<Vec<f32>, String> {
    let values = cast(values, &DataType::Float32).map_err(|error| error.to_string())?;
    Ok(values.as_primitive::<Float32Type>().values().to_vec())
}
