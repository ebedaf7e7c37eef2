//! [`Input`]: one side of a product, all its rows read into memory.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;

use super::exec::join;

/// The rows of one side: the columns are keys, groups and values, in this order.
#[derive(Debug)]
pub(super) struct Input {
    schema: SchemaRef,
    /// `[columns][batches]`
    columns: Vec<Vec<ArrayRef>>,
    pub(super) rows: usize,
    /// Of the columns, as they were reserved.
    pub(super) bytes: usize,
}

impl Input {
    /// Reads all partitions at a time.
    ///
    /// # Errors
    /// Those of the input, and when it does not fit into memory.
    pub(super) async fn read(
        input: &Arc<dyn ExecutionPlan>,
        context: &Arc<TaskContext>,
        memory: &Arc<MemoryReservation>,
    ) -> Result<Self> {
        let read = |partition| {
            let (input, context, memory) = (Arc::clone(input), Arc::clone(context), Arc::clone(memory));
            SpawnedTask::spawn(async move {
                let mut stream = input.execute(partition, context)?;
                let (mut batches, mut bytes) = (Vec::new(), 0);
                while let Some(batch) = stream.next().await.transpose()? {
                    let more = batch_bytes(&batch)?;
                    memory.try_grow(more)?;
                    bytes += more;
                    batches.push(batch);
                }
                Ok::<_, DataFusionError>((batches, bytes))
            })
        };
        let tasks: Vec<_> = (0..input.output_partitioning().partition_count()).map(read).collect();
        let mut read = Self { schema: input.schema(), columns: Vec::new(), rows: 0, bytes: 0 };
        read.columns = vec![Vec::new(); read.schema.fields().len()];
        for task in tasks {
            let (batches, bytes) = join(task).await??;
            read.bytes += bytes;
            for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
                read.rows += batch.num_rows();
                read.columns.iter_mut().zip(batch.columns()).for_each(|(all, column)| all.push(Arc::clone(column)));
            }
        }
        Ok(read)
    }

    pub(super) fn fields(&self, columns: std::ops::Range<usize>) -> &[FieldRef] {
        &self.schema.fields()[columns]
    }

    pub(super) fn columns(&self, columns: std::ops::Range<usize>) -> &[Vec<ArrayRef>] {
        &self.columns[columns]
    }

    /// The batches of a column, which are not there any more then.
    pub(super) fn column(&self, column: usize) -> Vec<ArrayRef> {
        self.columns[column].clone()
    }
}

/// Bytes of the rows of a batch; what else is in its buffers belongs to others.
pub(super) fn batch_bytes(batch: &RecordBatch) -> Result<usize> {
    batch.columns().iter().try_fold(0, |sum, column| {
        let data = column.to_data();
        // Views are 16 bytes a row, and what they look at is not in that size.
        let viewed: usize = match column.data_type() {
            datafusion::arrow::datatypes::DataType::Utf8View | datafusion::arrow::datatypes::DataType::BinaryView => {
                data.buffers().iter().skip(1).map(|buffer| buffer.len()).sum()
            }
            _ => 0,
        };
        Ok(sum + data.get_slice_memory_size()? + viewed)
    })
}
