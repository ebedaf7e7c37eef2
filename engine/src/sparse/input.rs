//! [`CooInput`]: one operand of a product as a table of entries (COO), and how it is collected.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::SpillMetrics;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;

use super::spill::{SpillPartitions, SpillWriter};
use crate::runtime::join_task;

/// An operand in memory, in COO format. Its columns are keys, groups and values, in this order.
#[derive(Debug)]
pub(super) struct CooInput {
    schema: SchemaRef,
    /// `[columns][batches]`
    columns: Vec<Vec<ArrayRef>>,
    pub(super) num_rows: usize,
    /// The bytes that were reserved for the columns.
    pub(super) bytes: usize,
}

/// A collected operand.
pub(super) enum OperandSource {
    InMemory(CooInput),
    Spilled(SpillPartitions),
}

impl CooInput {
    pub(super) fn new(schema: SchemaRef, batches: Vec<RecordBatch>, bytes: usize) -> Self {
        let mut columns = vec![Vec::new(); schema.fields().len()];
        let mut num_rows = 0;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            num_rows += batch.num_rows();
            columns.iter_mut().zip(batch.columns()).for_each(|(arrays, array)| arrays.push(Arc::clone(array)));
        }
        Self { schema, columns, num_rows, bytes }
    }

    pub(super) fn fields(&self, columns: Range<usize>) -> &[FieldRef] {
        &self.schema.fields()[columns]
    }

    pub(super) fn types(&self, columns: Range<usize>) -> Vec<DataType> {
        self.fields(columns).iter().map(|field| field.data_type().clone()).collect()
    }

    pub(super) fn columns(&self, columns: Range<usize>) -> &[Vec<ArrayRef>] {
        &self.columns[columns]
    }

    pub(super) fn column(&self, column: usize) -> Vec<ArrayRef> {
        self.columns[column].clone()
    }

    /// These columns of each batch.
    pub(super) fn batches(&self, columns: Range<usize>) -> impl Iterator<Item = Vec<ArrayRef>> {
        let count = self.columns.first().map_or(0, Vec::len);
        let columns = &self.columns[columns];
        (0..count).map(move |batch| columns.iter().map(|column| Arc::clone(&column[batch])).collect())
    }
}

/// The inputs of a product.
#[derive(Debug, Clone)]
pub(super) struct ProductInputs {
    pub(super) left: Arc<dyn ExecutionPlan>,
    pub(super) right: Arc<dyn ExecutionPlan>,
    pub(super) mask: Option<Arc<dyn ExecutionPlan>>,
}

impl ProductInputs {
    /// The inputs, in this order: left, right and, if there is one, the mask.
    pub(super) fn try_new(inputs: &[Arc<dyn ExecutionPlan>], has_mask: bool) -> Result<Self> {
        let (left, right, mask) = match inputs {
            [left, right] if !has_mask => (left, right, None),
            [left, right, mask] if has_mask => (left, right, Some(mask)),
            _ => return internal_err!("SparseMatMul has two inputs, and a third one for a mask"),
        };
        Ok(Self { left: Arc::clone(left), right: Arc::clone(right), mask: mask.map(Arc::clone) })
    }

    /// The inputs in the order of [`try_new`](Self::try_new).
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn ExecutionPlan>> {
        [&self.left, &self.right].into_iter().chain(&self.mask)
    }
}

/// Collects an operand from all partitions of a plan.
pub(super) struct OperandCollector {
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) context: Arc<TaskContext>,
    pub(super) reservation: Arc<MemoryReservation>,
    /// For rows that do not fit into memory: the columns to partition them by, and the metrics. Without it, they are an
    /// error.
    pub(super) spill: Option<(Range<usize>, SpillMetrics)>,
}

/// The batches collected so far.
enum CollectState {
    /// With the bytes reserved for them.
    InMemory(Vec<RecordBatch>, usize),
    Spilled(SpillWriter),
}

impl OperandCollector {
    /// Reads all partitions concurrently.
    ///
    /// # Errors
    /// Those of the input, and when the operand does not fit into memory and cannot be spilled.
    pub(super) async fn collect(self: Arc<Self>) -> Result<OperandSource> {
        let state = Arc::new(Mutex::new(CollectState::InMemory(Vec::new(), 0)));
        let task = |partition| {
            let (collector, state) = (Arc::clone(&self), Arc::clone(&state));
            SpawnedTask::spawn(async move {
                let mut stream = collector.input.execute(partition, Arc::clone(&collector.context))?;
                while let Some(batch) = stream.next().await.transpose()? {
                    collector.push(&mut state.lock().unwrap_or_else(PoisonError::into_inner), batch)?;
                }
                Ok::<_, DataFusionError>(())
            })
        };
        let tasks: Vec<_> = (0..self.input.output_partitioning().partition_count()).map(task).collect();
        for task in tasks {
            join_task(task).await??;
        }
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, CollectState::InMemory(Vec::new(), 0)) {
            CollectState::InMemory(batches, bytes) => {
                Ok(OperandSource::InMemory(CooInput::new(self.input.schema(), batches, bytes)))
            }
            CollectState::Spilled(writer) => Ok(OperandSource::Spilled(writer.finish()?)),
        }
    }

    fn push(&self, state: &mut CollectState, batch: RecordBatch) -> Result<()> {
        if let CollectState::InMemory(batches, bytes) = state {
            let more = batch_bytes(&batch)?;
            let Err(error) = self.reservation.try_grow(more) else {
                batches.push(batch);
                *bytes += more;
                return Ok(());
            };
            *state = CollectState::Spilled(self.spill(std::mem::take(batches), *bytes, Some(error))?);
        }
        match state {
            CollectState::Spilled(writer) => writer.write(batch),
            CollectState::InMemory(..) => internal_err!("SparseMatMul: the operand is not spilled"),
        }
    }

    /// Writes batches to disk and frees the `bytes` reserved for them.
    ///
    /// # Errors
    /// With the error that caused the spill if rows may not be spilled.
    fn spill(&self, batches: Vec<RecordBatch>, bytes: usize, cause: Option<DataFusionError>) -> Result<SpillWriter> {
        let Some((columns, metrics)) = &self.spill else {
            return Err(cause.unwrap_or_else(|| DataFusionError::ResourcesExhausted(self.input.name().to_owned())));
        };
        let (runtime, schema) = (self.context.runtime_env(), self.input.schema());
        let mut writer = SpillWriter::new(runtime, metrics.clone(), schema, columns.clone())?;
        for batch in batches {
            writer.write(batch)?;
        }
        self.reservation.shrink(bytes);
        Ok(writer)
    }

    /// The operand on disk. Spills it if it is in memory.
    pub(super) fn ensure_spilled(&self, source: OperandSource) -> Result<SpillPartitions> {
        match source {
            OperandSource::Spilled(partitions) => Ok(partitions),
            OperandSource::InMemory(input) => {
                let all = 0..input.columns.len();
                let batches = input.batches(all).map(|columns| Ok(RecordBatch::try_new(self.input.schema(), columns)?));
                self.spill(batches.collect::<Result<_>>()?, input.bytes, None)?.finish()
            }
        }
    }
}

/// The bytes of the rows of a batch, without the rest of the buffers that it is a slice of.
pub(super) fn batch_bytes(batch: &RecordBatch) -> Result<usize> {
    batch.columns().iter().try_fold(0, |sum, column| {
        let data = column.to_data();
        // The slice size of a view array counts 16 bytes per row and not the data buffers.
        let view_data: usize = match column.data_type() {
            DataType::Utf8View | DataType::BinaryView => data.buffers().iter().skip(1).map(|buffer| buffer.len()).sum(),
            _ => 0,
        };
        Ok(sum + data.get_slice_memory_size()? + view_data)
    })
}
