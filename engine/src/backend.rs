//! [`Backend`]: something that runs a model. One file a backend.

mod rten;

use crate::workers::Workers;

pub(crate) use rten::Rten;

/// Runs one loaded model on the CPU's workers, from any thread, any number of times at once.
pub(crate) trait Backend: Send + Sync {
    /// `[images, 3, height, width] -> [images, classes]`, both in row-major order.
    ///
    /// # Errors
    /// The backend's own words.
    fn run(&self, tensor: &[f32], shape: [usize; 4], workers: &Workers) -> Result<Vec<f32>, String>;
}
