//! [`VectorProduct`]: the stream of a product with a vector.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput, SpillMetrics};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::csr_operand::index_bytes;
use super::input::{Reader, Side};
use super::kernels::Moving;
use super::spec::SparseMatMul;
use super::spill::{PanelWriter, Panels};
use super::spmv::{Resting, VectorWorker};
use crate::runtime::Workers;
use crate::runtime::join;

/// One input in memory, the other one streamed past it, and the sums.
///
/// Sums that do not fit into memory go onto the disk as they are, parted by their groups, and are put together at the end.
pub(super) struct VectorProduct {
    pub(super) resting: Arc<dyn ExecutionPlan>,
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) moving: Moving,
    pub(super) matmul: Arc<SparseMatMul>,
    pub(super) workers: Arc<Workers>,
    pub(super) schema: SchemaRef,
    pub(super) context: Arc<TaskContext>,
    pub(super) metrics: BaselineMetrics,
    pub(super) spill: SpillMetrics,
}

/// The sums of a whole input.
enum AllSums {
    Memory(VectorWorker, MemoryReservation),
    Disk(Panels),
}

/// Where sums go that do not fit into memory.
type Spilled = Arc<Mutex<Option<PanelWriter>>>;

/// The part of the memory that sums may take which are put together at a time.
const SHARE: f64 = 0.25;

impl VectorProduct {
    /// The rows of the product, in batches of any size.
    pub(super) fn batches(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let product = Arc::new(self);
        let batches = async move {
            let memory = Arc::new(MemoryConsumer::new("SparseMatMulExec").register(product.context.memory_pool()));
            let resting = product.resting(&memory).await?;
            let sums = product.sums(&resting).await?;
            let (panels, parts) = match sums {
                AllSums::Memory(worker, _memory) => {
                    let batch = product.batch(worker)?;
                    return Ok::<_, DataFusionError>(stream::iter([Ok(batch)]).boxed());
                }
                AllSums::Disk(panels) => {
                    // Once as it is read, once as sums, and the table of the groups.
                    let parts = panels.parts(product.context.memory_pool(), SHARE, |_, bytes| 3 * bytes);
                    (panels, parts)
                }
            };
            let state = (product, resting, panels, parts.into_iter(), memory);
            let batches = stream::try_unfold(state, async |(product, resting, panels, mut parts, memory)| {
                let Some(part) = parts.next() else {
                    return Ok::<_, DataFusionError>(None);
                };
                let held = memory.new_empty();
                held.try_grow(3 * panels.size(&part).1)?;
                let mut worker = VectorWorker::new(Arc::clone(&resting), &product.input.schema())?;
                for batch in panels.read(&part).await? {
                    worker.add_sums(batch.columns())?;
                }
                let batch = product.batch(worker)?;
                Ok(Some((batch, (product, resting, panels, parts, memory))))
            });
            Ok(batches.boxed())
        };
        stream::once(batches).try_flatten()
    }

    fn batch(&self, worker: VectorWorker) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), worker.finish()?)?.record_output(&self.metrics))
    }

    /// The input that is in memory.
    async fn resting(&self, memory: &Arc<MemoryReservation>) -> Result<Arc<Resting>> {
        let (input, context) = (Arc::clone(&self.resting), Arc::clone(&self.context));
        let reader = Reader { input, context, memory: Arc::clone(memory), spill: None };
        let Side::Memory(rows) = Arc::new(reader).read().await? else {
            return internal_err!("SparseMatMul: a vector is in memory");
        };
        memory.try_grow(index_bytes(&self.matmul, rows.rows))?;
        let moving = self.moving;
        let (matmul, workers) = (Arc::clone(&self.matmul), Arc::clone(&self.workers));
        let build = SpawnedTask::spawn_blocking(move || workers.pool().run(|| Resting::new(&matmul, moving, &rows)));
        let resting = Arc::new(join(build).await??);
        memory.try_resize(resting.held_bytes())?;
        Ok(resting)
    }

    /// The sums over all partitions of the input that comes by.
    async fn sums(self: &Arc<Self>, resting: &Arc<Resting>) -> Result<AllSums> {
        let spilled: Spilled = Arc::default();
        let task = |partition| {
            let (product, resting) = (Arc::clone(self), Arc::clone(resting));
            let consumer = MemoryConsumer::new(format!("SparseMatMulExec[{partition}]")).with_can_spill(true);
            let (spilled, memory) = (Arc::clone(&spilled), consumer.register(self.context.memory_pool()));
            SpawnedTask::spawn(async move { product.partition(partition, &resting, memory, &spilled).await })
        };
        let tasks: Vec<_> = (0..self.input.output_partitioning().partition_count()).map(task).collect();
        let mut workers = Vec::new();
        for task in tasks {
            workers.push(join(task).await??);
        }
        let mut spilled = spilled.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut all: Option<(VectorWorker, MemoryReservation)> = None;
        for (worker, memory) in workers {
            let (first, held) = match (&mut spilled, &mut all) {
                (Some(writer), _) => {
                    writer.write(self.state(worker)?)?;
                    continue;
                }
                (None, None) => {
                    all = Some((worker, memory));
                    continue;
                }
                (None, Some((first, held))) => (first, held),
            };
            match held.try_grow(worker.bytes()) {
                Ok(()) => first.merge(worker)?,
                Err(full) if !worker.can_spill() => return Err(full),
                // Both, and what comes after them.
                Err(_) => {
                    let sums = self.state(worker)?;
                    let mut writer = self.writer(&sums)?;
                    writer.write(sums)?;
                    if let Some((first, held)) = all.take() {
                        writer.write(self.state(first)?)?;
                        held.free();
                    }
                    spilled = Some(writer);
                }
            }
        }
        match (spilled, all) {
            (Some(writer), _) => Ok(AllSums::Disk(writer.finish()?)),
            (None, Some((all, memory))) => Ok(AllSums::Memory(all, memory)),
            (None, None) => {
                let worker = VectorWorker::new(Arc::clone(resting), &self.input.schema())?;
                let memory = MemoryConsumer::new("SparseMatMulExec").register(self.context.memory_pool());
                Ok(AllSums::Memory(worker, memory))
            }
        }
    }

    async fn partition(
        &self,
        partition: usize,
        resting: &Arc<Resting>,
        memory: MemoryReservation,
        spilled: &Spilled,
    ) -> Result<(VectorWorker, MemoryReservation)> {
        let new_worker = || VectorWorker::new(Arc::clone(resting), &self.input.schema());
        let mut worker = new_worker()?;
        let mut batches = self.input.execute(partition, Arc::clone(&self.context))?;
        while let Some(batch) = batches.next().await.transpose()? {
            let timer = self.metrics.elapsed_compute().timer();
            worker.add(&batch)?;
            timer.done();
            if let Err(full) = memory.try_resize(worker.bytes()) {
                if !worker.can_spill() {
                    return Err(full);
                }
                let sums = self.state(std::mem::replace(&mut worker, new_worker()?))?;
                let mut spilled = spilled.lock().unwrap_or_else(PoisonError::into_inner);
                let writer = match spilled.take() {
                    Some(writer) => writer,
                    None => self.writer(&sums)?,
                };
                spilled.insert(writer).write(sums)?;
                memory.free();
            }
        }
        Ok((worker, memory))
    }

    /// Groups and sums, as rows.
    fn state(&self, worker: VectorWorker) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), worker.finish()?)?)
    }

    fn writer(&self, sums: &RecordBatch) -> Result<PanelWriter> {
        let groups = 0..self.matmul.left_groups + self.matmul.right_groups;
        PanelWriter::new(self.context.runtime_env(), self.spill.clone(), sums.schema(), groups)
    }
}
