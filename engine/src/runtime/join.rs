//! [`join`]: the result of a task.

use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};

/// What a task gives; its panic is ours.
pub(crate) async fn join<T: 'static>(task: SpawnedTask<T>) -> Result<T> {
    task.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))
}
