//! [`Infer`]: how to compute the outputs of one [`InferNode`](super::InferNode).

use super::compute::Compute;
use super::output::InferOutput;

/// How to compute the outputs of one [`InferNode`](super::InferNode), the same for all partitions.
#[derive(Debug, Clone)]
pub(crate) struct Infer {
    pub(crate) compute: Compute,
    /// The number of the column of images, or of their URIs.
    pub(crate) image: usize,
    pub(crate) is_uri: bool,
    /// The number of the column that says which images are wanted.
    pub(crate) guard: Option<usize>,
    /// The number of the column that names them.
    pub(crate) place: Option<usize>,
    pub(crate) outputs: Vec<InferOutput>,
    /// Images that a worker takes at a time.
    pub(crate) batch_rows: usize,
}
