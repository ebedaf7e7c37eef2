//! [`InferContext`]: the state shared by the queries of a session: models, worker pool and object stores.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

use crate::error::Error;
use crate::model::ModelRegistry;
use crate::runtime::WorkerPool;

/// Cheap to clone; clones share the state.
#[derive(Debug, Clone)]
pub(crate) struct InferContext {
    pub(crate) models: Arc<ModelRegistry>,
    pub(crate) workers: Arc<WorkerPool>,
    /// The runtime environment with the object stores. `None` outside a session.
    pub(crate) runtime: Option<Arc<RuntimeEnv>>,
}

impl InferContext {
    /// A context with the built-in model and a pool of `threads` threads.
    ///
    /// # Errors
    /// When the configuration of the built-in model cannot be read.
    pub(crate) fn with_builtin_model(threads: usize) -> Result<Self, Error> {
        Ok(Self {
            models: Arc::new(ModelRegistry::with_builtin_model()?),
            workers: Arc::new(WorkerPool::new(threads)),
            runtime: None,
        })
    }
}
