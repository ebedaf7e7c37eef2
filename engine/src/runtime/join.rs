//! [`join_task`]: awaits a spawned task.

use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};

/// The result of a task; a panic of the task is resumed here.
pub(crate) async fn join_task<T: 'static>(task: SpawnedTask<T>) -> Result<T> {
    task.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))
}
