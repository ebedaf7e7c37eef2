//! [`BuildPhase`]: from the inputs to the operands of an SpGEMM, in memory or panel by panel.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, SpillMetrics, Time};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::csr_operand::{csr_build_bytes, mask_build_bytes};
use super::input::{CooInput, OperandCollector, OperandSource, ProductInputs, batch_bytes};
use super::spec::SparseMatMulSpec;
use super::spgemm::SpGemmOperands;
use super::spill::SpillPartitions;
use crate::runtime::WorkerPool;
use crate::runtime::join_task;

/// Collects the inputs once and builds the operands that all output partitions share.
///
/// Inputs that do not fit into memory are spilled, and each panel of the left one is multiplied with each panel of the
/// right one. One pair of panels is in memory at a time, or two while the partitions advance from one to the next. A
/// mask is partitioned as the left input is, so that a left panel has its rows of the mask.
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
    Spilled { inputs: Box<SpilledInputs>, left_panels: Vec<Vec<usize>>, right_panels: Vec<Vec<usize>> },
}

struct SpilledInputs {
    left: SpillPartitions,
    right: SpillPartitions,
    mask: Option<SpillPartitions>,
}

/// The inputs of one product in memory.
struct CooInputs {
    left: CooInput,
    right: CooInput,
    mask: Option<CooInput>,
}

/// The collectors of the inputs, which hold their reservations.
struct Collectors {
    left: Arc<OperandCollector>,
    right: Arc<OperandCollector>,
    mask: Option<Arc<OperandCollector>>,
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
        inputs: ProductInputs,
        spec: &Arc<SparseMatMulSpec>,
        workers: &Arc<WorkerPool>,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Self {
        let build_time = MetricBuilder::new(metrics).subset_time("build_time", 0);
        let spill = SpillMetrics::new(metrics, 0);
        let keys = spec.num_keys;
        let collector = |input, name: &str, groups: Range<usize>| {
            // All inputs are registered as spillable, so each can spill before another runs out of memory.
            let consumer = MemoryConsumer::new(format!("SparseMatMulExec[{name}]")).with_can_spill(true);
            Arc::new(OperandCollector {
                input,
                context: Arc::clone(context),
                reservation: Arc::new(consumer.register(context.memory_pool())),
                spill: Some((groups, spill.clone())),
            })
        };
        let collectors = Collectors {
            left: collector(inputs.left, "left", keys..keys + spec.num_row_groups),
            right: collector(inputs.right, "right", keys..keys + spec.num_col_groups),
            mask: inputs.mask.map(|mask| collector(mask, "mask", 0..spec.num_row_groups)),
        };
        let (shared, time) = ((Arc::clone(spec), Arc::clone(workers), Arc::clone(context)), build_time.clone());
        let state = async move {
            let (spec, workers, context) = shared;
            collect_inputs(collectors, &spec, &workers, &context, time).await.map(Arc::new).map_err(Arc::new)
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
            let BuildState::Spilled { inputs, left_panels, right_panels } = state.as_ref() else {
                return internal_err!("SparseMatMul: the operands are not spilled");
            };
            let reservation = MemoryConsumer::new("SparseMatMulExec[panels]").register(context.memory_pool());
            let left_panel = &left_panels[panel_pair % left_panels.len()];
            let right_panel = &right_panels[panel_pair / left_panels.len()];
            reservation.try_grow(inputs.left_bytes(left_panel, &spec))?;
            reservation.try_grow(inputs.right_bytes(right_panel, &spec))?;
            let mask = match &inputs.mask {
                Some(mask) => Some(read_panel(mask, left_panel).await?),
                None => None,
            };
            let left = read_panel(&inputs.left, left_panel).await?;
            let right = read_panel(&inputs.right, right_panel).await?;
            build_operands(CooInputs { left, right, mask }, spec, workers, reservation, build_time).await
        };
        load.map(|operands| operands.map(Arc::new).map_err(Arc::new)).boxed().shared()
    }
}

impl SpilledInputs {
    /// An estimate of the memory for a panel of the left input, with its rows of the mask.
    fn left_bytes(&self, panel: &[usize], spec: &SparseMatMulSpec) -> usize {
        let (rows, bytes) = self.left.panel_size(panel);
        let mask = self.mask.as_ref().map_or(0, |mask| {
            let (mask_rows, bytes) = mask.panel_size(panel);
            bytes + mask_build_bytes(rows, mask_rows)
        });
        bytes + csr_build_bytes(spec, rows) + mask
    }

    /// An estimate of the memory for a panel of the right input.
    fn right_bytes(&self, panel: &[usize], spec: &SparseMatMulSpec) -> usize {
        let (rows, bytes) = self.right.panel_size(panel);
        bytes + csr_build_bytes(spec, rows)
    }
}

async fn read_panel(partitions: &SpillPartitions, panel: &[usize]) -> Result<CooInput> {
    let batches = partitions.read_panel(panel).await?;
    let bytes = batches.iter().map(batch_bytes).sum::<Result<usize>>()?;
    Ok(CooInput::new(partitions.schema(), batches, bytes))
}

/// Collects the inputs. Builds the operands if they fit into memory, and spills all inputs otherwise.
async fn collect_inputs(
    collectors: Collectors,
    spec: &Arc<SparseMatMulSpec>,
    workers: &Arc<WorkerPool>,
    context: &Arc<TaskContext>,
    build_time: Time,
) -> Result<BuildState> {
    let pool = context.memory_pool();
    let Collectors { left, right, mask } = collectors;
    let collect_mask = async {
        match &mask {
            Some(mask) => Arc::clone(mask).collect().await.map(Some),
            None => Ok(None),
        }
    };
    let sources = futures::try_join!(Arc::clone(&left).collect(), Arc::clone(&right).collect(), collect_mask)?;
    let sources = match sources {
        // Nothing was spilled.
        (OperandSource::InMemory(left_input), OperandSource::InMemory(right_input), mask_source)
            if !matches!(mask_source, Some(OperandSource::Spilled(_))) =>
        {
            let mask_input = match mask_source {
                Some(OperandSource::InMemory(mask)) => Some(mask),
                _ => None,
            };
            let inputs = CooInputs { left: left_input, right: right_input, mask: mask_input };
            let reservation = MemoryConsumer::new("SparseMatMulExec").register(pool);
            if reservation.try_grow(inputs.build_bytes(spec)).is_ok() {
                let (spec, workers) = (Arc::clone(spec), Arc::clone(workers));
                let operands = build_operands(inputs, spec, workers, reservation, build_time).await?;
                for collector in [&left, &right].into_iter().chain(&mask) {
                    collector.reservation.free();
                }
                return Ok(BuildState::InMemory(Arc::new(operands)));
            }
            let CooInputs { left, right, mask } = inputs;
            (OperandSource::InMemory(left), OperandSource::InMemory(right), mask.map(OperandSource::InMemory))
        }
        sources => sources,
    };
    let inputs = SpilledInputs {
        left: left.ensure_spilled(sources.0)?,
        right: right.ensure_spilled(sources.1)?,
        mask: match (mask, sources.2) {
            (Some(collector), Some(source)) => Some(collector.ensure_spilled(source)?),
            _ => None,
        },
    };
    let left_panels = inputs.left.panels(pool, LEFT_PANEL_FRACTION, |panel| inputs.left_bytes(panel, spec));
    let right_panels = inputs.right.panels(pool, RIGHT_PANEL_FRACTION, |panel| inputs.right_bytes(panel, spec));
    Ok(BuildState::Spilled { inputs: Box::new(inputs), left_panels, right_panels })
}

impl CooInputs {
    /// An estimate of the memory for building the operands, in addition to the inputs.
    fn build_bytes(&self, spec: &SparseMatMulSpec) -> usize {
        let Self { left, right, mask } = self;
        let mask = mask.as_ref().map_or(0, |mask| mask_build_bytes(left.num_rows, mask.num_rows));
        csr_build_bytes(spec, left.num_rows) + csr_build_bytes(spec, right.num_rows) + mask
    }
}

/// Builds operands on the worker pool, drops the inputs, and shrinks the reservation to what remains.
async fn build_operands(
    inputs: CooInputs,
    spec: Arc<SparseMatMulSpec>,
    workers: Arc<WorkerPool>,
    reservation: MemoryReservation,
    build_time: Time,
) -> Result<BuiltOperands> {
    let task = SpawnedTask::spawn_blocking(move || {
        let _timer = build_time.timer();
        workers.pool().run(|| SpGemmOperands::new(&spec, inputs.left, inputs.right, inputs.mask))
    });
    let operands = Arc::new(join_task(task).await??);
    reservation.try_resize(operands.memory_size())?;
    Ok(BuiltOperands { operands, _reservation: reservation })
}
