//! [`InferSpec`]: the specification of an [`InferExec`](super::InferExec).

use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use super::compute::ImagePipeline;
use super::output::InferOutput;

/// What an [`InferExec`](super::InferExec) computes, the same for all partitions.
#[derive(Debug, Clone)]
pub(crate) struct InferSpec {
    pub(crate) compute: ImagePipeline,
    /// The index of the column of images or URIs.
    pub(crate) image: usize,
    pub(crate) is_uri: bool,
    /// The index of the boolean column with the selection mask.
    pub(crate) guard: Option<usize>,
    /// The index of the column that names images in messages.
    pub(crate) label_column: Option<usize>,
    pub(crate) outputs: Vec<InferOutput>,
    /// ImageRows that a worker takes at a time.
    pub(crate) batch_rows: usize,
}

impl InferSpec {
    /// Loads the model, on a blocking thread.
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
