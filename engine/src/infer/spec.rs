//! [`Infer`]: how to compute the outputs of one [`InferNode`](super::InferNode).

use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

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

impl Infer {
    /// Has the model loaded, on a thread that may wait.
    pub(super) async fn load(&self) -> Result<()> {
        let (model, backend) = (&self.compute.model, &self.compute.backend);
        if model.is_loaded(backend) {
            return Ok(());
        }
        let (model, backend) = (Arc::clone(model), backend.clone());
        let loading = tokio::task::spawn_blocking(move || model.load(&backend).map(|_| ()));
        let loaded = loading.await.map_err(|error| internal_datafusion_err!("loading a model stopped: {error}"))?;
        Ok(loaded?)
    }
}
