//! [`InferInput`]: the input rows of a partition, with their images inline or by URI.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;

use super::fetch::{FetchSpec, FetchedBatch, ImageFetcher};
use super::reservation::PartitionMemory;
use super::spec::InferSpec;

/// The input of a partition.
pub(super) enum InferInput {
    /// The image column holds encoded images.
    Inline(SendableRecordBatchStream),
    /// The image column holds URIs; the images are fetched.
    ByUri(ImageFetcher),
}

impl InferInput {
    /// The next rows, as [`ImageFetcher::next`] returns them.
    pub(super) async fn next(&mut self) -> Option<Result<FetchedBatch>> {
        match self {
            Self::Inline(rows) => Some(rows.next().await?.map(|rows| FetchedBatch { rows, reservation: None })),
            Self::ByUri(fetcher) => fetcher.next().await,
        }
    }
}

impl InferSpec {
    pub(super) fn input(
        &self,
        rows: SendableRecordBatchStream,
        memory: &Arc<PartitionMemory>,
        runtime: Arc<RuntimeEnv>,
        partitions: usize,
    ) -> InferInput {
        if !self.names_files {
            return InferInput::Inline(rows);
        }
        let workers = &self.pipeline.workers;
        let spec = FetchSpec {
            runtime,
            memory: Arc::clone(memory),
            workers: Arc::clone(workers),
            column: self.image,
            guard: self.guard,
            max_rows: self.batch_rows * workers.threads(),
            partitions: partitions.max(1),
            is_bounded: true,
        };
        InferInput::ByUri(ImageFetcher::new(rows, spec))
    }
}
