//! [`InferSpec`]: what an [`InferExec`](super::InferExec) computes, and from which columns.

use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use super::compute::ImagePipeline;
use super::output::InferOutput;

/// The specification of an [`InferExec`](super::InferExec), the same for all partitions. Columns are indices into its input schema.
#[derive(Debug, Clone)]
pub(crate) struct InferSpec {
    pub(crate) pipeline: ImagePipeline,
    /// The column of encoded images or URIs.
    pub(crate) image: usize,
    /// Whether the images are URIs, to be fetched from object stores.
    pub(crate) names_files: bool,
    /// The boolean column with the selection mask.
    pub(crate) guard: Option<usize>,
    /// The column that names images in messages.
    pub(crate) label_column: Option<usize>,
    pub(crate) outputs: Vec<InferOutput>,
    /// The largest number of images in a micro-batch.
    pub(crate) batch_rows: usize,
}

impl InferSpec {
    /// Loads the model, on a blocking thread of Tokio.
    pub(super) async fn load(&self) -> Result<()> {
        let (model, backend) = (&self.pipeline.model, &self.pipeline.backend);
        if model.is_loaded(backend) {
            return Ok(());
        }
        let (model, backend) = (Arc::clone(model), backend.clone());
        let loading = tokio::task::spawn_blocking(move || model.load(&backend).map(|_| ()));
        let loaded = loading.await.map_err(|error| internal_datafusion_err!("loading a model stopped: {error}"))?;
        Ok(loaded?)
    }
}
