//! [`Preparation`]: from two inputs to matrices, all at once or panel by panel.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, SpillMetrics, Time};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::csr_operand::index_bytes;
use super::input::{Input, Reader, Side, batch_bytes};
use super::spec::SparseMatMul;
use super::spgemm::Matrices;
use super::spill::Panels;
use crate::runtime::Workers;
use crate::runtime::join;

/// Reads both inputs once, and makes matrices of them for all partitions.
///
/// Inputs that do not fit into memory become panels on the disk, and each panel of the left one meets each panel of the right
/// one. One pair is in memory at a time, two while the partitions go over from one to the next.
pub(super) struct Preparation {
    read: Later<Inputs>,
    matmul: Arc<SparseMatMul>,
    workers: Arc<Workers>,
    context: Arc<TaskContext>,
    time: Time,
    /// The pair that is multiplied now, and its number.
    now: Mutex<(usize, Option<Later<Held>>)>,
}

/// What several partitions wait for.
type Later<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<DataFusionError>>>>;

/// Matrices, and the memory that they hold.
pub(super) struct Held {
    pub(super) matrices: Arc<Matrices>,
    _memory: MemoryReservation,
}

enum Inputs {
    /// Nothing was put onto the disk.
    Memory(Arc<Held>),
    Disk {
        left: Panels,
        right: Panels,
        left_parts: Vec<Vec<usize>>,
        right_parts: Vec<Vec<usize>>,
    },
}

/// What to multiply next.
pub(super) enum Next {
    Matrices(Arc<Held>),
    /// The others have multiplied that already.
    Over,
    /// There is no more.
    End,
}

/// The part of the memory that a panel of the left input may take, and one of the right input: two pairs of them are in memory
/// for a moment.
const LEFT_SHARE: f64 = 0.15;
const RIGHT_SHARE: f64 = 0.25;

impl Preparation {
    pub(super) fn new(
        (left, right): (Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>),
        matmul: &Arc<SparseMatMul>,
        workers: &Arc<Workers>,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let time = MetricBuilder::new(metrics).subset_time("build_time", 0);
        let spill = SpillMetrics::new(metrics, 0);
        let keys = matmul.keys;
        let reader = |input, name: &str, groups: usize| {
            // Both spill before either fails.
            let consumer = MemoryConsumer::new(format!("SparseMatMulExec[{name}]")).with_can_spill(true);
            Arc::new(Reader {
                input,
                context: Arc::clone(context),
                memory: Arc::new(consumer.register(context.memory_pool())),
                spill: Some((keys..keys + groups, spill.clone())),
            })
        };
        let left = reader(left, "left", matmul.left_groups);
        let right = reader(right, "right", matmul.right_groups);
        let (for_read, build_time) = ((Arc::clone(matmul), Arc::clone(workers), Arc::clone(context)), time.clone());
        let read = async move {
            let (matmul, workers, context) = for_read;
            read(left, right, &matmul, &workers, &context, build_time).await.map(Arc::new).map_err(Arc::new)
        };
        Self {
            read: read.boxed().shared(),
            matmul: Arc::clone(matmul),
            workers: Arc::clone(workers),
            context: Arc::clone(context),
            time,
            now: Mutex::default(),
        }
    }

    /// The pair of this number.
    pub(super) async fn next(&self, pair: usize) -> Result<Next> {
        let inputs = self.read.clone().await.map_err(DataFusionError::Shared)?;
        let later = match inputs.as_ref() {
            Inputs::Memory(held) if pair == 0 => return Ok(Next::Matrices(Arc::clone(held))),
            Inputs::Memory(_) => return Ok(Next::End),
            Inputs::Disk { left_parts, right_parts, .. } if pair >= left_parts.len() * right_parts.len() => {
                return Ok(Next::End);
            }
            Inputs::Disk { .. } => {
                let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
                match &*now {
                    (number, Some(_)) if pair < *number => return Ok(Next::Over),
                    (number, Some(later)) if pair == *number => later.clone(),
                    _ => {
                        let later = self.pair(&inputs, pair);
                        *now = (pair, Some(later.clone()));
                        later
                    }
                }
            }
        };
        Ok(Next::Matrices(later.await.map_err(DataFusionError::Shared)?))
    }

    /// Reads a pair of panels back.
    fn pair(&self, inputs: &Arc<Inputs>, pair: usize) -> Later<Held> {
        let (inputs, matmul, workers) = (Arc::clone(inputs), Arc::clone(&self.matmul), Arc::clone(&self.workers));
        let (context, time) = (Arc::clone(&self.context), self.time.clone());
        let load = async move {
            let Inputs::Disk { left, right, left_parts, right_parts } = inputs.as_ref() else {
                return internal_err!("SparseMatMul: there are panels here");
            };
            let memory = MemoryConsumer::new("SparseMatMulExec[panels]").register(context.memory_pool());
            let (left_part, right_part) = (&left_parts[pair % left_parts.len()], &right_parts[pair / left_parts.len()]);
            for (panels, part) in [(left, left_part), (right, right_part)] {
                let (rows, bytes) = panels.size(part);
                memory.try_grow(bytes + index_bytes(&matmul, rows))?;
            }
            let (left, right) = (input(left, left_part).await?, input(right, right_part).await?);
            build(left, right, matmul, workers, memory, time).await
        };
        load.map(|held| held.map(Arc::new).map_err(Arc::new)).boxed().shared()
    }
}

async fn input(panels: &Panels, part: &[usize]) -> Result<Input> {
    let batches = panels.read(part).await?;
    let bytes = batches.iter().map(batch_bytes).sum::<Result<usize>>()?;
    Ok(Input::new(panels.schema(), batches, bytes))
}

/// Both inputs as matrices when they fit into memory, as panels when they do not.
async fn read(
    left: Arc<Reader>,
    right: Arc<Reader>,
    matmul: &Arc<SparseMatMul>,
    workers: &Arc<Workers>,
    context: &Arc<TaskContext>,
    time: Time,
) -> Result<Inputs> {
    let pool = context.memory_pool();
    let (left_side, right_side) = futures::try_join!(Arc::clone(&left).read(), Arc::clone(&right).read())?;
    let (left_side, right_side) = match (left_side, right_side) {
        (Side::Memory(left_input), Side::Memory(right_input)) => {
            let memory = MemoryConsumer::new("SparseMatMulExec").register(pool);
            let bytes = index_bytes(matmul, left_input.rows) + index_bytes(matmul, right_input.rows);
            if memory.try_grow(bytes).is_ok() {
                let held =
                    build(left_input, right_input, Arc::clone(matmul), Arc::clone(workers), memory, time).await?;
                left.memory.free();
                right.memory.free();
                return Ok(Inputs::Memory(Arc::new(held)));
            }
            (Side::Memory(left_input), Side::Memory(right_input))
        }
        sides => sides,
    };
    let (left, right) = (left.to_disk(left_side)?, right.to_disk(right_side)?);
    let parts =
        |panels: &Panels, share: f64| panels.parts(pool, share, |rows, bytes| bytes + index_bytes(matmul, rows));
    let (left_parts, right_parts) = (parts(&left, LEFT_SHARE), parts(&right, RIGHT_SHARE));
    Ok(Inputs::Disk { left, right, left_parts, right_parts })
}

/// Matrices of inputs; what the inputs took is given back.
async fn build(
    left: Input,
    right: Input,
    matmul: Arc<SparseMatMul>,
    workers: Arc<Workers>,
    memory: MemoryReservation,
    time: Time,
) -> Result<Held> {
    let task = SpawnedTask::spawn_blocking(move || {
        let _timer = time.timer();
        workers.pool().run(|| Matrices::new(&matmul, left, right))
    });
    let matrices = Arc::new(join(task).await??);
    memory.try_resize(matrices.held_bytes())?;
    Ok(Held { matrices, _memory: memory })
}
