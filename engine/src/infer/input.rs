//! [`Input`]: the rows of one partition, with their images or with the URIs of them.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;

use super::fetch::{Fetch, Fetched, Uris};
use super::reservation::Memory;
use super::spec::Infer;

/// Where rows come from.
pub(super) enum Input {
    /// With their images.
    There(SendableRecordBatchStream),
    /// With the names of their images.
    Named(Fetch),
}

impl Input {
    /// The next rows, as [`Fetch::next`] gives them.
    pub(super) async fn next(&mut self) -> Option<Result<Fetched>> {
        match self {
            Self::There(rows) => Some(rows.next().await?.map(|rows| Fetched { rows, held: None })),
            Self::Named(fetch) => fetch.next().await,
        }
    }
}

impl Infer {
    pub(super) fn input(
        &self,
        rows: SendableRecordBatchStream,
        memory: &Arc<Memory>,
        runtime: Arc<RuntimeEnv>,
        partitions: usize,
    ) -> Input {
        if !self.is_uri {
            return Input::There(rows);
        }
        let workers = &self.compute.workers;
        let uris = Uris {
            runtime,
            memory: Arc::clone(memory),
            workers: Arc::clone(workers),
            column: self.image,
            guard: self.guard,
            rows: self.batch_rows * workers.threads(),
            partitions: partitions.max(1),
            is_bounded: true,
        };
        Input::Named(Fetch::new(rows, uris))
    }
}
