//! [`BuildPhase`]: from two inputs to the operands of an SpGEMM, in memory or panel by panel.

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

use super::csr_operand::csr_build_bytes;
use super::input::{CooInput, OperandCollector, OperandSource, batch_bytes};
use super::spec::SparseMatMulSpec;
use super::spgemm::SpGemmOperands;
use super::spill::SpillPartitions;
use crate::runtime::WorkerPool;
use crate::runtime::join_task;

/// Collects both inputs once and builds the operands that all output partitions share.
///
/// Inputs that do not fit into memory are spilled, and each panel of the left one is multiplied with each panel of the
/// right one. One pair of panels is in memory at a time, or two while the partitions advance from one to the next.
pub(super) struct BuildPhase {
    state: SharedFuture<BuildState>,
    spec: Arc<SparseMatMulSpec>,
    workers: Arc<WorkerPool>,
    context: Arc<TaskContext>,
    build_time: Time,
    /// The current pair of panels: its index and operands.
    current: Mutex<(usize, Option<SharedFuture<BuiltOperands>>)>,
}

/// A result that several partitions wait for, as DataFusion's `OnceFut`.
type SharedFuture<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<DataFusionError>>>>;

/// Operands and the reservation of their memory.
pub(super) struct BuiltOperands {
    pub(super) operands: Arc<SpGemmOperands>,
    _reservation: MemoryReservation,
}

enum BuildState {
    /// Nothing was spilled.
    InMemory(Arc<BuiltOperands>),
    /// Panels are lists of partition indices.
    Spilled {
        left: SpillPartitions,
        right: SpillPartitions,
        left_panels: Vec<Vec<usize>>,
        right_panels: Vec<Vec<usize>>,
    },
}

/// One step of the loop over pairs of panels.
pub(super) enum PanelStep {
    Operands(Arc<BuiltOperands>),
    /// The other partitions have finished this pair.
    Skipped,
    /// There are no more pairs.
    End,
}

/// The fractions of the memory pool that a panel of the left and one of the right operand may take: two pairs are in
/// memory while the partitions advance.
const LEFT_PANEL_FRACTION: f64 = 0.15;
const RIGHT_PANEL_FRACTION: f64 = 0.25;

impl BuildPhase {
    /// Starts nothing: the inputs are read when the first partition asks for operands.
    pub(super) fn new(
        (left, right): (Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>),
        spec: &Arc<SparseMatMulSpec>,
        workers: &Arc<WorkerPool>,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let build_time = MetricBuilder::new(metrics).subset_time("build_time", 0);
        let spill = SpillMetrics::new(metrics, 0);
        let keys = spec.num_keys;
        let collector = |input, name: &str, groups: usize| {
            // Both operands are registered as spillable, so each can spill before the other runs out of memory.
            let consumer = MemoryConsumer::new(format!("SparseMatMulExec[{name}]")).with_can_spill(true);
            Arc::new(OperandCollector {
                input,
                context: Arc::clone(context),
                reservation: Arc::new(consumer.register(context.memory_pool())),
                spill: Some((keys..keys + groups, spill.clone())),
            })
        };
        let left = collector(left, "left", spec.num_row_groups);
        let right = collector(right, "right", spec.num_col_groups);
        let (shared, time) = ((Arc::clone(spec), Arc::clone(workers), Arc::clone(context)), build_time.clone());
        let state = async move {
            let (spec, workers, context) = shared;
            collect_inputs(left, right, &spec, &workers, &context, time).await.map(Arc::new).map_err(Arc::new)
        };
        Self {
            state: state.boxed().shared(),
            spec: Arc::clone(spec),
            workers: Arc::clone(workers),
            context: Arc::clone(context),
            build_time,
            current: Mutex::default(),
        }
    }

    /// The operands of the pair of panels with this index. Operands in memory are the only pair.
    pub(super) async fn step(&self, panel_pair: usize) -> Result<PanelStep> {
        let state = self.state.clone().await.map_err(DataFusionError::Shared)?;
        let operands = match state.as_ref() {
            BuildState::InMemory(operands) if panel_pair == 0 => return Ok(PanelStep::Operands(Arc::clone(operands))),
            BuildState::InMemory(_) => return Ok(PanelStep::End),
            BuildState::Spilled { left_panels, right_panels, .. }
                if panel_pair >= left_panels.len() * right_panels.len() =>
            {
                return Ok(PanelStep::End);
            }
            BuildState::Spilled { .. } => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                match &*current {
                    (index, Some(_)) if panel_pair < *index => return Ok(PanelStep::Skipped),
                    (index, Some(operands)) if panel_pair == *index => operands.clone(),
                    _ => {
                        let operands = self.load_panel_pair(&state, panel_pair);
                        *current = (panel_pair, Some(operands.clone()));
                        operands
                    }
                }
            }
        };
        Ok(PanelStep::Operands(operands.await.map_err(DataFusionError::Shared)?))
    }

    /// Reads a pair of panels back and builds its operands. The left panel varies fastest.
    fn load_panel_pair(&self, state: &Arc<BuildState>, panel_pair: usize) -> SharedFuture<BuiltOperands> {
        let (state, spec, workers) = (Arc::clone(state), Arc::clone(&self.spec), Arc::clone(&self.workers));
        let (context, build_time) = (Arc::clone(&self.context), self.build_time.clone());
        let load = async move {
            let BuildState::Spilled { left, right, left_panels, right_panels } = state.as_ref() else {
                return internal_err!("SparseMatMul: the operands are not spilled");
            };
            let reservation = MemoryConsumer::new("SparseMatMulExec[panels]").register(context.memory_pool());
            let left_panel = &left_panels[panel_pair % left_panels.len()];
            let right_panel = &right_panels[panel_pair / left_panels.len()];
            for (partitions, panel) in [(left, left_panel), (right, right_panel)] {
                let (rows, bytes) = partitions.panel_size(panel);
                reservation.try_grow(bytes + csr_build_bytes(&spec, rows))?;
            }
            let (left, right) = (read_panel(left, left_panel).await?, read_panel(right, right_panel).await?);
            build_operands(left, right, spec, workers, reservation, build_time).await
        };
        load.map(|operands| operands.map(Arc::new).map_err(Arc::new)).boxed().shared()
    }
}

async fn read_panel(partitions: &SpillPartitions, panel: &[usize]) -> Result<CooInput> {
    let batches = partitions.read_panel(panel).await?;
    let bytes = batches.iter().map(batch_bytes).sum::<Result<usize>>()?;
    Ok(CooInput::new(partitions.schema(), batches, bytes))
}

/// Collects both inputs. Builds the operands if they fit into memory, and spills both inputs otherwise.
async fn collect_inputs(
    left: Arc<OperandCollector>,
    right: Arc<OperandCollector>,
    spec: &Arc<SparseMatMulSpec>,
    workers: &Arc<WorkerPool>,
    context: &Arc<TaskContext>,
    build_time: Time,
) -> Result<BuildState> {
    let pool = context.memory_pool();
    let (left_source, right_source) = futures::try_join!(Arc::clone(&left).collect(), Arc::clone(&right).collect())?;
    let (left_source, right_source) = match (left_source, right_source) {
        (OperandSource::InMemory(left_input), OperandSource::InMemory(right_input)) => {
            let reservation = MemoryConsumer::new("SparseMatMulExec").register(pool);
            let bytes = csr_build_bytes(spec, left_input.num_rows) + csr_build_bytes(spec, right_input.num_rows);
            if reservation.try_grow(bytes).is_ok() {
                let (spec, workers) = (Arc::clone(spec), Arc::clone(workers));
                let operands = build_operands(left_input, right_input, spec, workers, reservation, build_time).await?;
                left.reservation.free();
                right.reservation.free();
                return Ok(BuildState::InMemory(Arc::new(operands)));
            }
            (OperandSource::InMemory(left_input), OperandSource::InMemory(right_input))
        }
        sources => sources,
    };
    let (left, right) = (left.ensure_spilled(left_source)?, right.ensure_spilled(right_source)?);
    let panels = |partitions: &SpillPartitions, fraction: f64| {
        partitions.panels(pool, fraction, |rows, bytes| bytes + csr_build_bytes(spec, rows))
    };
    let (left_panels, right_panels) = (panels(&left, LEFT_PANEL_FRACTION), panels(&right, RIGHT_PANEL_FRACTION));
    Ok(BuildState::Spilled { left, right, left_panels, right_panels })
}

/// Builds operands on the worker pool, drops the inputs, and shrinks the reservation to what remains.
async fn build_operands(
    left: CooInput,
    right: CooInput,
    spec: Arc<SparseMatMulSpec>,
    workers: Arc<WorkerPool>,
    reservation: MemoryReservation,
    build_time: Time,
) -> Result<BuiltOperands> {
    let task = SpawnedTask::spawn_blocking(move || {
        let _timer = build_time.timer();
        workers.pool().run(|| SpGemmOperands::new(&spec, left, right))
    });
    let operands = Arc::new(join_task(task).await??);
    reservation.try_resize(operands.memory_size())?;
    Ok(BuiltOperands { operands, _reservation: reservation })
}
