//! [`Rten`]: ONNX models in pure Rust, always there.

use std::sync::Arc;

use rten::{Model, RunOptions, TryFromValueError};
use rten_tensor::{NdTensor, NdTensorView};

use super::Backend;
use crate::workers::Workers;

/// An ONNX graph with one input and at least one output, loaded by rten.
pub(crate) struct Rten {
    model: Model,
}

impl Rten {
    /// In plans and messages.
    pub(crate) const NAME: &str = "rten";

    /// Parses and optimizes an ONNX file. The weights stay where they are.
    pub(crate) fn load(graph: &'static [u8]) -> Result<Self, String> {
        let model = Model::load_static_slice(graph).map_err(|error| error.to_string())?;
        Ok(Self { model })
    }
}

impl Backend for Rten {
    fn run(&self, tensor: &[f32], shape: [usize; 4], workers: &Workers) -> Result<Vec<f32>, String> {
        let input = NdTensorView::from_data(shape, tensor);
        // A worker that calls this goes on working in its own pool: one set of threads for everything.
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(workers.pool())));
        let output = self.model.run_one(input.into(), Some(options)).map_err(|error| error.to_string())?;
        let output: NdTensor<f32, 2> = output.try_into().map_err(|error: TryFromValueError| error.to_string())?;
        Ok(output.into_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_graph_is_refused() {
        assert!(Rten::load(b"not a graph").is_err());
    }
}
