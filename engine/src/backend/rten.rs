//! [`Rten`]: ONNX models in pure Rust, always there.

use std::sync::Arc;

use rten::{Model, RunOptions, TryFromValueError};
use rten_tensor::{NdTensorView, Tensor};

use super::{Backend, Output};
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

    /// The same, for a file that was read at run time.
    pub(crate) fn load_owned(graph: Vec<u8>) -> Result<Self, String> {
        let model = Model::load(graph).map_err(|error| error.to_string())?;
        Ok(Self { model })
    }
}

impl Backend for Rten {
    fn run(
        &self,
        tensor: &[f32],
        shape: [usize; 4],
        outputs: &[Output],
        workers: &Workers,
    ) -> Result<Vec<Vec<f32>>, String> {
        let ([input, ..], [first, ..]) = (self.model.input_ids(), self.model.output_ids()) else {
            return Err("it has no input or no output".to_owned());
        };
        let outputs = outputs.iter().map(|output| match output {
            Output::First => Ok(*first),
            Output::Named(name) => self.model.node_id(name).map_err(|error| error.to_string()),
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let inputs = vec![(*input, NdTensorView::from_data(shape, tensor).into())];
        // A worker that calls this goes on working in its own pool: one set of threads for everything.
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(workers.pool())));
        let results = self.model.run(inputs, &outputs, Some(options)).map_err(|error| error.to_string())?;
        let numbers = results.into_iter().map(|result| {
            let result: Tensor<f32> = result.try_into().map_err(|error: TryFromValueError| error.to_string())?;
            Ok(result.into_data())
        });
        numbers.collect()
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
