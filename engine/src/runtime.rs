//! Threads for CPU-bound work, shared by all queries of a session, and the tasks of DataFusion's runtime.

mod join;
mod worker_pool;

pub(crate) use join::join_task;
pub(crate) use worker_pool::{WorkerPermit, WorkerPool};
