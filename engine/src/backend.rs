//! [`Backend`]: something that runs a model. One file a backend.

mod rten;

use crate::workers::Workers;

pub(crate) use rten::Rten;

/// Runs one loaded model on the CPU's workers, from any thread, any number of times at once.
pub(crate) trait Backend: Send + Sync {
    /// `[images, 3, height, width] -> [images, …]` for each of the outputs, in row-major order, in one pass.
    ///
    /// # Errors
    /// The backend's own words.
    fn run(
        &self,
        tensor: &[f32],
        shape: [usize; 4],
        outputs: &[Output],
        workers: &Workers,
    ) -> Result<Vec<Vec<f32>>, String>;
}

/// A tensor of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output<'a> {
    /// The first of the graph's outputs.
    First,
    /// Any tensor by its name.
    Named(&'a str),
}
