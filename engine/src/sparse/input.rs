//! [`Input`]: one side of a product, all its rows read.

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

use super::spill::{PanelWriter, Panels};
use crate::runtime::join;

/// The rows of one side in memory: the columns are keys, groups and values, in this order.
#[derive(Debug)]
pub(super) struct Input {
    schema: SchemaRef,
    /// `[columns][batches]`
    columns: Vec<Vec<ArrayRef>>,
    pub(super) rows: usize,
    /// Of the columns, as they were reserved.
    pub(super) bytes: usize,
}

/// One side where it is.
pub(super) enum Side {
    Memory(Input),
    Disk(Panels),
}

impl Input {
    pub(super) fn new(schema: SchemaRef, batches: Vec<RecordBatch>, bytes: usize) -> Self {
        let mut columns = vec![Vec::new(); schema.fields().len()];
        let mut rows = 0;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            rows += batch.num_rows();
            columns.iter_mut().zip(batch.columns()).for_each(|(all, column)| all.push(Arc::clone(column)));
        }
        Self { schema, columns, rows, bytes }
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

    /// The batches that it is made of, without some of its columns.
    pub(super) fn batches(&self, columns: Range<usize>) -> impl Iterator<Item = Vec<ArrayRef>> {
        let count = self.columns.first().map_or(0, Vec::len);
        let columns = &self.columns[columns];
        (0..count).map(move |batch| columns.iter().map(|column| Arc::clone(&column[batch])).collect())
    }
}

/// Reads one side.
pub(super) struct Reader {
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) context: Arc<TaskContext>,
    pub(super) memory: Arc<MemoryReservation>,
    /// Of the file where rows go that do not fit into memory: the columns by which they are parted. Rows have to fit without.
    pub(super) spill: Option<(Range<usize>, SpillMetrics)>,
}

/// What was read until now.
enum Read {
    Memory(Vec<RecordBatch>, usize),
    Disk(PanelWriter),
}

impl Reader {
    /// Reads all partitions at a time.
    ///
    /// # Errors
    /// Those of the input, and when it fits neither into memory nor onto the disk.
    pub(super) async fn read(self: Arc<Self>) -> Result<Side> {
        let read = Arc::new(Mutex::new(Read::Memory(Vec::new(), 0)));
        let task = |partition| {
            let (reader, read) = (Arc::clone(&self), Arc::clone(&read));
            SpawnedTask::spawn(async move {
                let mut stream = reader.input.execute(partition, Arc::clone(&reader.context))?;
                while let Some(batch) = stream.next().await.transpose()? {
                    reader.push(&mut read.lock().unwrap_or_else(PoisonError::into_inner), batch)?;
                }
                Ok::<_, DataFusionError>(())
            })
        };
        let tasks: Vec<_> = (0..self.input.output_partitioning().partition_count()).map(task).collect();
        for task in tasks {
            join(task).await??;
        }
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *read, Read::Memory(Vec::new(), 0)) {
            Read::Memory(batches, bytes) => Ok(Side::Memory(Input::new(self.input.schema(), batches, bytes))),
            Read::Disk(writer) => Ok(Side::Disk(writer.finish()?)),
        }
    }

    fn push(&self, read: &mut Read, batch: RecordBatch) -> Result<()> {
        if let Read::Memory(batches, bytes) = read {
            let more = batch_bytes(&batch)?;
            let Err(full) = self.memory.try_grow(more) else {
                batches.push(batch);
                *bytes += more;
                return Ok(());
            };
            *read = Read::Disk(self.write(std::mem::take(batches), *bytes, Some(full))?);
        }
        match read {
            Read::Disk(writer) => writer.write(batch),
            Read::Memory(..) => internal_err!("SparseMatMul: rows go to the disk here"),
        }
    }

    /// Puts what is in memory onto the disk, or fails with the reason why it has to go.
    fn write(&self, batches: Vec<RecordBatch>, bytes: usize, full: Option<DataFusionError>) -> Result<PanelWriter> {
        let Some((columns, metrics)) = &self.spill else {
            return Err(full.unwrap_or_else(|| DataFusionError::ResourcesExhausted(self.input.name().to_owned())));
        };
        let (runtime, schema) = (self.context.runtime_env(), self.input.schema());
        let mut writer = PanelWriter::new(runtime, metrics.clone(), schema, columns.clone())?;
        for batch in batches {
            writer.write(batch)?;
        }
        self.memory.shrink(bytes);
        Ok(writer)
    }

    /// One side on the disk, whatever it was.
    pub(super) fn to_disk(&self, side: Side) -> Result<Panels> {
        match side {
            Side::Disk(panels) => Ok(panels),
            Side::Memory(input) => {
                let all = 0..input.columns.len();
                let batches = input.batches(all).map(|columns| Ok(RecordBatch::try_new(self.input.schema(), columns)?));
                self.write(batches.collect::<Result<_>>()?, input.bytes, None)?.finish()
            }
        }
    }
}

/// Bytes of the rows of a batch; what else is in its buffers belongs to others.
pub(super) fn batch_bytes(batch: &RecordBatch) -> Result<usize> {
    batch.columns().iter().try_fold(0, |sum, column| {
        let data = column.to_data();
        // Views are 16 bytes a row, and what they look at is not in that size.
        let viewed: usize = match column.data_type() {
            DataType::Utf8View | DataType::BinaryView => data.buffers().iter().skip(1).map(|buffer| buffer.len()).sum(),
            _ => 0,
        };
        Ok(sum + data.get_slice_memory_size()? + viewed)
    })
}
