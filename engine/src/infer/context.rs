//! [`Engine`]: what the queries of a session share, models and workers.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

use crate::error::Error;
use crate::model::Models;
use crate::runtime::WorkerPool;

/// A handle; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) models: Arc<Models>,
    pub(crate) workers: Arc<WorkerPool>,
    /// The object stores of the session, when there is one.
    pub(crate) runtime: Option<Arc<RuntimeEnv>>,
}

impl Engine {
    /// The bundled model, and so many threads.
    ///
    /// # Errors
    /// When the bundled model's configuration cannot be read.
    pub(crate) fn with_builtin_model(threads: usize) -> Result<Self, Error> {
        Ok(Self { models: Arc::new(Models::bundled()?), workers: Arc::new(WorkerPool::new(threads)), runtime: None })
    }
}
