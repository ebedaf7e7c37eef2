//! [`Engine`]: what the queries of a session share, models and workers.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

use crate::error::Error;
use crate::model::Models;
use crate::runtime::Workers;

/// A handle; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) models: Arc<Models>,
    pub(crate) workers: Arc<Workers>,
    /// The object stores of the session, when there is one.
    pub(crate) runtime: Option<Arc<RuntimeEnv>>,
}

impl Engine {
    /// The bundled model, and so many threads.
    ///
    /// # Errors
    /// When the bundled model's configuration cannot be read.
    pub(crate) fn bundled(threads: usize) -> Result<Self, Error> {
        Ok(Self { models: Arc::new(Models::bundled()?), workers: Arc::new(Workers::new(threads)), runtime: None })
    }
}
