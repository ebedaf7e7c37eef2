//! Threads for CPU-bound work, shared by all queries of a session, and joining of spawned tasks.

mod worker_pool;

use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};

pub(crate) use worker_pool::{WorkerPermit, WorkerPool};

/// The result of a task; a panic of the task is resumed here.
pub(crate) async fn join_task<T: 'static>(task: SpawnedTask<T>) -> Result<T> {
    task.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))
}
