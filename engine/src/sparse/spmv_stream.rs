//! [`SpMvExecution`]: the output stream of an SpMV.

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

use super::csr_operand::csr_build_bytes;
use super::input::{OperandCollector, OperandSource};
use super::kernels::StreamedSide;
use super::spec::SparseMatMulSpec;
use super::spill::{SpillPartitions, SpillWriter};
use super::spmv::{ResidentOperand, SpMvWorker};
use crate::runtime::WorkerPool;
use crate::runtime::join_task;

/// Builds the resident operand, streams the other one past it, and emits the accumulators.
///
/// Accumulators that do not fit into memory are spilled as partial aggregates, partitioned by their groups, and merged
/// panel by panel at the end.
pub(super) struct SpMvExecution {
    pub(super) resident: Arc<dyn ExecutionPlan>,
    pub(super) streamed: Arc<dyn ExecutionPlan>,
    pub(super) streamed_side: StreamedSide,
    pub(super) spec: Arc<SparseMatMulSpec>,
    pub(super) workers: Arc<WorkerPool>,
    pub(super) schema: SchemaRef,
    pub(super) context: Arc<TaskContext>,
    pub(super) metrics: BaselineMetrics,
    pub(super) spill: SpillMetrics,
}

/// The accumulators of all partitions of the streamed input.
enum Accumulated {
    InMemory(SpMvWorker, MemoryReservation),
    Spilled(SpillPartitions),
}

/// The spill files of all partitions, opened at the first spill.
type SharedSpillWriter = Arc<Mutex<Option<SpillWriter>>>;

/// The fraction of the memory pool that merging a panel of spilled accumulators may take.
const MERGE_MEMORY_FRACTION: f64 = 0.25;

/// Memory for merging a panel, per byte of it: the batches, the accumulators and the group table.
const MERGE_BYTES_FACTOR: usize = 3;

impl SpMvExecution {
    /// The output, in batches of any size.
    pub(super) fn batches(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let execution = Arc::new(self);
        let batches = async move {
            let consumer = MemoryConsumer::new("SparseMatMulExec");
            let reservation = Arc::new(consumer.register(execution.context.memory_pool()));
            let resident = execution.build_resident(&reservation).await?;
            let accumulated = execution.accumulate(&resident).await?;
            let (partitions, panels) = match accumulated {
                Accumulated::InMemory(worker, _reservation) => {
                    let batch = execution.output_batch(worker)?;
                    return Ok::<_, DataFusionError>(stream::iter([Ok(batch)]).boxed());
                }
                Accumulated::Spilled(partitions) => {
                    let pool = execution.context.memory_pool();
                    let merge_bytes = |panel: &[usize]| MERGE_BYTES_FACTOR * partitions.panel_size(panel).1;
                    let panels = partitions.panels(pool, MERGE_MEMORY_FRACTION, merge_bytes);
                    (partitions, panels)
                }
            };
            let state = (execution, resident, partitions, panels.into_iter(), reservation);
            let batches =
                stream::try_unfold(state, async |(execution, resident, partitions, mut panels, reservation)| {
                    let Some(panel) = panels.next() else {
                        return Ok::<_, DataFusionError>(None);
                    };
                    let panel_reservation = reservation.new_empty();
                    panel_reservation.try_grow(MERGE_BYTES_FACTOR * partitions.panel_size(&panel).1)?;
                    let mut worker = SpMvWorker::new(Arc::clone(&resident), &execution.streamed.schema())?;
                    for batch in partitions.read_panel(&panel).await? {
                        worker.merge_partial(batch.columns())?;
                    }
                    let batch = execution.output_batch(worker)?;
                    Ok(Some((batch, (execution, resident, partitions, panels, reservation))))
                });
            Ok(batches.boxed())
        };
        stream::once(batches).try_flatten()
    }

    fn output_batch(&self, worker: SpMvWorker) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), worker.finish()?)?.record_output(&self.metrics))
    }

    /// Collects the resident input and builds its operand on the worker pool.
    async fn build_resident(&self, reservation: &Arc<MemoryReservation>) -> Result<Arc<ResidentOperand>> {
        let (input, context) = (Arc::clone(&self.resident), Arc::clone(&self.context));
        let collector = OperandCollector { input, context, reservation: Arc::clone(reservation), spill: None };
        let OperandSource::InMemory(input) = Arc::new(collector).collect().await? else {
            return internal_err!("SparseMatMul: the resident operand is not in memory");
        };
        reservation.try_grow(csr_build_bytes(&self.spec, input.num_rows))?;
        let streamed = self.streamed_side;
        let (spec, workers) = (Arc::clone(&self.spec), Arc::clone(&self.workers));
        let build =
            SpawnedTask::spawn_blocking(move || workers.pool().run(|| ResidentOperand::new(&spec, streamed, &input)));
        let resident = Arc::new(join_task(build).await??);
        reservation.try_resize(resident.memory_size())?;
        Ok(resident)
    }

    /// Accumulates over all partitions of the streamed input.
    async fn accumulate(self: &Arc<Self>, resident: &Arc<ResidentOperand>) -> Result<Accumulated> {
        let spilled = SharedSpillWriter::default();
        let task = |partition| {
            let (execution, resident) = (Arc::clone(self), Arc::clone(resident));
            let consumer = MemoryConsumer::new(format!("SparseMatMulExec[{partition}]")).with_can_spill(true);
            let (spilled, reservation) = (Arc::clone(&spilled), consumer.register(self.context.memory_pool()));
            SpawnedTask::spawn(async move {
                execution.accumulate_partition(partition, &resident, reservation, &spilled).await
            })
        };
        let tasks: Vec<_> = (0..self.streamed.output_partitioning().partition_count()).map(task).collect();
        let mut workers = Vec::new();
        for task in tasks {
            workers.push(join_task(task).await??);
        }
        let mut spilled = spilled.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut merged: Option<(SpMvWorker, MemoryReservation)> = None;
        for (worker, worker_reservation) in workers {
            let (first, reservation) = match (&mut spilled, &mut merged) {
                (Some(writer), _) => {
                    writer.write(self.spill_state(worker)?)?;
                    continue;
                }
                (None, None) => {
                    merged = Some((worker, worker_reservation));
                    continue;
                }
                (None, Some((first, reservation))) => (first, reservation),
            };
            match reservation.try_grow(worker.memory_size()) {
                Ok(()) => first.merge(worker)?,
                Err(error) if !worker.can_spill() => return Err(error),
                // Spill both, and all that follow.
                Err(_) => {
                    let state = self.spill_state(worker)?;
                    let mut writer = self.new_spill_writer(&state)?;
                    writer.write(state)?;
                    if let Some((first, reservation)) = merged.take() {
                        writer.write(self.spill_state(first)?)?;
                        reservation.free();
                    }
                    spilled = Some(writer);
                }
            }
        }
        match (spilled, merged) {
            (Some(writer), _) => Ok(Accumulated::Spilled(writer.finish()?)),
            (None, Some((worker, reservation))) => Ok(Accumulated::InMemory(worker, reservation)),
            (None, None) => {
                let worker = SpMvWorker::new(Arc::clone(resident), &self.streamed.schema())?;
                let reservation = MemoryConsumer::new("SparseMatMulExec").register(self.context.memory_pool());
                Ok(Accumulated::InMemory(worker, reservation))
            }
        }
    }

    async fn accumulate_partition(
        &self,
        partition: usize,
        resident: &Arc<ResidentOperand>,
        reservation: MemoryReservation,
        spilled: &SharedSpillWriter,
    ) -> Result<(SpMvWorker, MemoryReservation)> {
        let new_worker = || SpMvWorker::new(Arc::clone(resident), &self.streamed.schema());
        let mut worker = new_worker()?;
        let mut batches = self.streamed.execute(partition, Arc::clone(&self.context))?;
        while let Some(batch) = batches.next().await.transpose()? {
            let timer = self.metrics.elapsed_compute().timer();
            worker.add(&batch)?;
            timer.done();
            if let Err(error) = reservation.try_resize(worker.memory_size()) {
                if !worker.can_spill() {
                    return Err(error);
                }
                let state = self.spill_state(std::mem::replace(&mut worker, new_worker()?))?;
                let mut spilled = spilled.lock().unwrap_or_else(PoisonError::into_inner);
                let writer = match spilled.take() {
                    Some(writer) => writer,
                    None => self.new_spill_writer(&state)?,
                };
                spilled.insert(writer).write(state)?;
                reservation.free();
            }
        }
        Ok((worker, reservation))
    }

    /// The groups and partial aggregates of a worker.
    fn spill_state(&self, worker: SpMvWorker) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), worker.finish()?)?)
    }

    fn new_spill_writer(&self, state: &RecordBatch) -> Result<SpillWriter> {
        let groups = 0..self.spec.num_row_groups + self.spec.num_col_groups;
        SpillWriter::new(self.context.runtime_env(), self.spill.clone(), state.schema(), groups)
    }
}
