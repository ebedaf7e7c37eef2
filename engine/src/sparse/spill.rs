//! [`SpillPartitions`]: hash-partitioned spill of an operand or of accumulators.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::SpillMetrics;
use futures::TryStreamExt;

/// The fan-out of the hash partitioning. Small partitions are read several at a time, as a panel.
const NUM_SPILL_PARTITIONS: usize = 64;

/// Rows that are partitioned at a time, so that each partition gets a batch of reasonable size.
const FLUSH_ROWS: usize = 1 << 16;

/// Rows on disk, partitioned by the hash of their groups.
///
/// A panel is a set of partitions that fits into memory. Rows with equal groups are in one partition, so that a panel
/// of the left operand has whole rows of the matrix and one of the right operand has whole columns: the product of two
/// panels is a final part of the result and is never added to another one.
pub(super) struct SpillPartitions {
    manager: SpillManager,
    partitions: Vec<SpillPartition>,
}

struct SpillPartition {
    file: Option<Arc<dyn SpillFile>>,
    rows: usize,
    bytes: usize,
}

type Append = dyn FnMut(Option<&RecordBatch>) -> Result<(usize, Option<Arc<dyn SpillFile>>)> + Send;

/// A partition that is being written.
struct OpenSpillPartition {
    /// Appends a batch and returns its bytes; without a batch, finishes the file and returns it. A closure, because
    /// DataFusion does not export the type of an open spill file.
    append: Box<Append>,
    rows: usize,
    bytes: usize,
}

/// Writes rows to hash partitions on disk.
pub(super) struct SpillWriter {
    manager: SpillManager,
    schema: SchemaRef,
    /// The columns to hash.
    columns: Range<usize>,
    partitions: Vec<OpenSpillPartition>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
}

impl SpillWriter {
    pub(super) fn new(
        runtime: Arc<RuntimeEnv>,
        metrics: SpillMetrics,
        schema: SchemaRef,
        columns: Range<usize>,
    ) -> Result<Self> {
        let manager = SpillManager::new(runtime, metrics, Arc::clone(&schema));
        let open = |_| {
            let mut file = manager.create_in_progress_file("SparseMatMulExec")?;
            let append = move |batch: Option<&RecordBatch>| match batch {
                Some(batch) => Ok((file.append_batch(batch)?, None)),
                None => Ok((0, file.finish()?)),
            };
            Ok(OpenSpillPartition { append: Box::new(append), rows: 0, bytes: 0 })
        };
        let partitions = (0..NUM_SPILL_PARTITIONS).map(open);
        let partitions = partitions.collect::<Result<_>>()?;
        Ok(Self { manager, schema, columns, partitions, pending: Vec::new(), pending_rows: 0 })
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        if self.pending_rows >= FLUSH_ROWS { self.partition_pending() } else { Ok(()) }
    }

    /// Partitions the pending rows and writes them.
    fn partition_pending(&mut self) -> Result<()> {
        let batch = concat_batches(&self.schema, &std::mem::take(&mut self.pending))?;
        self.pending_rows = 0;
        let mut hashes = vec![0; batch.num_rows()];
        let columns: Vec<ArrayRef> = batch.columns()[self.columns.clone()].to_vec();
        create_hashes(&columns, &RandomState::with_seed(0), &mut hashes)?;
        let mut rows = vec![Vec::new(); NUM_SPILL_PARTITIONS];
        for (row, hash) in (0..).zip(&hashes) {
            // The upper bits, because hash tables use the lower ones.
            rows[(hash >> 32) as usize % NUM_SPILL_PARTITIONS].push(row);
        }
        for (partition, rows) in self.partitions.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            partition.rows += rows.len();
            let batch = take_record_batch(&batch, &UInt32Array::from(rows))?;
            partition.bytes += (partition.append)(Some(&batch))?.0;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<SpillPartitions> {
        if self.pending_rows > 0 {
            self.partition_pending()?;
        }
        let close = |mut partition: OpenSpillPartition| {
            Ok(SpillPartition { file: (partition.append)(None)?.1, rows: partition.rows, bytes: partition.bytes })
        };
        let partitions = self.partitions.into_iter().map(close);
        Ok(SpillPartitions { manager: self.manager, partitions: partitions.collect::<Result<_>>()? })
    }
}

impl SpillPartitions {
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.manager.schema())
    }

    /// Groups the partitions into panels, given by the indices of their partitions. A panel takes at most this
    /// fraction of the pool, unless a single partition takes more. `estimate_bytes` is the memory that a panel of the
    /// given partition needs.
    pub(super) fn panels(
        &self,
        pool: &Arc<dyn MemoryPool>,
        fraction: f64,
        estimate_bytes: impl Fn(&[usize]) -> usize,
    ) -> Vec<Vec<usize>> {
        let max_bytes = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => (limit as f64 * fraction) as usize,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        let mut panels: Vec<Vec<usize>> = Vec::new();
        let mut panel_bytes = usize::MAX;
        for (index, _) in self.partitions.iter().enumerate().filter(|(_, partition)| partition.rows > 0) {
            let bytes = estimate_bytes(&[index]);
            panel_bytes = panel_bytes.saturating_add(bytes);
            match panels.last_mut() {
                Some(panel) if panel_bytes <= max_bytes => panel.push(index),
                _ => {
                    panels.push(vec![index]);
                    panel_bytes = bytes;
                }
            }
        }
        panels
    }

    /// The number of rows and bytes of a panel.
    pub(super) fn panel_size(&self, panel: &[usize]) -> (usize, usize) {
        let partitions = panel.iter().map(|&index| &self.partitions[index]);
        partitions.fold((0, 0), |(rows, bytes), partition| (rows + partition.rows, bytes + partition.bytes))
    }

    /// Reads the rows of a panel.
    pub(super) async fn read_panel(&self, panel: &[usize]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for &index in panel {
            if let Some(file) = &self.partitions[index].file {
                let stream = self.manager.read_spill_as_stream(Arc::clone(file), None)?;
                batches.extend(stream.try_collect::<Vec<_>>().await?);
            }
        }
        Ok(batches)
    }
}
