//! [`SparseMatMulExec`]: the physical form of [`SparseMatMulNode`](super::node::SparseMatMulNode).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput, SpillMetrics,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::build::{BuildPhase, BuiltOperands, PanelStep};
use super::input::ProductInputs;
use super::kernels::{MaskKind, StreamedSide};
use super::spec::SparseMatMulSpec;
use super::spgemm::SpGemmWorker;
use super::spmv_stream::SpMvExecution;
use crate::runtime::WorkerPool;

/// The algorithm of a product, named as in EXPLAIN by its `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Gustavson's row-wise SpGEMM. Both inputs are built as CSR operands, whole or panel by panel, and the output
    /// partitions share the rows.
    SpGemm,
    /// Push-style SpMV. One input is resident, the other one is streamed, and only accumulators are kept.
    SpMv { streamed: StreamedSide },
}

/// Multiplies two tables as sparse matrices.
///
/// - Output rows are those of the join and its aggregation, in any order. Each group is in one partition.
/// - NULL keys match nothing, NULL groups are groups, and NULL values are skipped as by the aggregates.
/// - A mask keeps the groups of its rows, or all others if it is complemented, as a semi-join or an anti-join. The
///   accumulators of other groups do not exist.
/// - Memory: the inputs of [`Algorithm::SpGemm`] and the accumulators of [`Algorithm::SpMv`] for streamed groups are
///   spilled if they do not fit.
/// - Dropping a stream stops the work at the next batch.
pub(crate) struct SparseMatMulExec {
    inputs: ProductInputs,
    spec: Arc<SparseMatMulSpec>,
    algorithm: Algorithm,
    workers: Arc<WorkerPool>,
    execution: Mutex<Option<SharedExecution>>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

/// The state that the partitions of one execution share, until each of them has been executed. A plan may be executed
/// several times: some joins re-execute their inputs when memory is short.
struct SharedExecution {
    build: Arc<BuildPhase>,
    executed: Vec<bool>,
}

impl SparseMatMulExec {
    pub(super) fn new(
        inputs: ProductInputs,
        spec: Arc<SparseMatMulSpec>,
        algorithm: Algorithm,
        workers: Arc<WorkerPool>,
        schema: SchemaRef,
    ) -> Self {
        let partitions = match algorithm {
            Algorithm::SpGemm => workers.threads(),
            Algorithm::SpMv { .. } => 1,
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            inputs,
            spec,
            algorithm,
            workers,
            execution: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        }
    }

    fn reservation(&self, context: &TaskContext, partition: usize) -> MemoryReservation {
        MemoryConsumer::new(format!("{}[{partition}]", self.name())).register(context.memory_pool())
    }

    /// The build phase of the execution that this partition belongs to: a new one if the current execution has executed
    /// the partition already.
    fn build_phase(&self, partition: usize, context: &Arc<TaskContext>) -> Arc<BuildPhase> {
        let mut current = self.execution.lock().unwrap_or_else(PoisonError::into_inner);
        let mut execution = match current.take() {
            Some(execution) if !execution.executed[partition] => execution,
            _ => {
                let inputs = self.inputs.clone();
                let build = BuildPhase::new(inputs, &self.spec, &self.workers, context, &self.metrics);
                let partitions = self.properties.output_partitioning().partition_count();
                SharedExecution { build: Arc::new(build), executed: vec![false; partitions] }
            }
        };
        execution.executed[partition] = true;
        let build = Arc::clone(&execution.build);
        // After the last partition, only the streams keep the operands alive.
        if execution.executed.contains(&false) {
            *current = Some(execution);
        }
        build
    }

    fn execute_spgemm(&self, partition: usize, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let build = self.build_phase(partition, context);
        let batch_size = context.session_config().batch_size();
        let stream = SpGemmStream {
            build,
            panel_pair: 0,
            current: None,
            schema: self.schema(),
            batch_size,
            reservation: self.reservation(context, partition),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::try_unfold(stream, async |mut stream: SpGemmStream| {
            let batch = stream.next().await?;
            Ok::<_, DataFusionError>(batch.map(|batch| (batch, stream)))
        });
        let batches = batches.map_ok(move |batch| stream::iter(split_batch(batch, batch_size).map(Ok)));
        Box::pin(cooperative(RecordBatchStreamAdapter::new(self.schema(), batches.try_flatten().boxed())))
    }

    fn execute_spmv(&self, streamed_side: StreamedSide, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let (left, right) = (Arc::clone(&self.inputs.left), Arc::clone(&self.inputs.right));
        let (resident, streamed) = match streamed_side {
            StreamedSide::Left => (right, left),
            StreamedSide::Right => (left, right),
        };
        let batch_size = context.session_config().batch_size();
        let execution = SpMvExecution {
            resident,
            streamed,
            streamed_side,
            spec: Arc::clone(&self.spec),
            workers: Arc::clone(&self.workers),
            schema: self.schema(),
            context: Arc::clone(context),
            metrics: BaselineMetrics::new(&self.metrics, 0),
            spill: SpillMetrics::new(&self.metrics, 0),
        };
        let batches = execution.batches().map_ok(move |batch| stream::iter(split_batch(batch, batch_size).map(Ok)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.try_flatten()))
    }
}

/// One output partition of an SpGEMM.
struct SpGemmStream {
    build: Arc<BuildPhase>,
    /// The index of the current pair of panels.
    panel_pair: usize,
    current: Option<(SpGemmWorker, Arc<BuiltOperands>)>,
    schema: SchemaRef,
    batch_size: usize,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
}

impl SpGemmStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((worker, _)) = &mut self.current {
                let timer = self.metrics.elapsed_compute().timer();
                let batch = worker.next()?;
                timer.done();
                self.reservation.try_resize(worker.memory_size())?;
                if let Some(batch) = batch {
                    return Ok(Some(batch.record_output(&self.metrics)));
                }
                self.current = None;
                self.reservation.free();
                self.panel_pair += 1;
            }
            match self.build.step(self.panel_pair).await? {
                PanelStep::Operands(built) => {
                    let (schema, batch_size) = (Arc::clone(&self.schema), self.batch_size);
                    self.current = Some((SpGemmWorker::new(Arc::clone(&built.operands), schema, batch_size), built));
                }
                PanelStep::Skipped => self.panel_pair += 1,
                PanelStep::End => return Ok(None),
            }
        }
    }
}

/// Slices a batch into batches of at most `batch_size` rows.
fn split_batch(batch: RecordBatch, batch_size: usize) -> impl Iterator<Item = RecordBatch> {
    (0..batch.num_rows())
        .step_by(batch_size)
        .map(move |offset| batch.slice(offset, batch_size.min(batch.num_rows() - offset)))
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpGemm => "spgemm",
            Self::SpMv { streamed: StreamedSide::Left } => "spmv(stream=left)",
            Self::SpMv { streamed: StreamedSide::Right } => "spmv(stream=right)",
        })
    }
}

impl fmt::Debug for SparseMatMulExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Verbose, f)
    }
}

impl DisplayAs for SparseMatMulExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (semirings, algorithm) = (self.spec.semirings(), self.algorithm);
        match format {
            DisplayFormatType::TreeRender => {
                writeln!(f, "semiring={semirings}")?;
                match self.spec.mask {
                    Some(MaskKind::Structural) => writeln!(f, "mask=structural")?,
                    Some(MaskKind::Complemented) => writeln!(f, "mask=complemented")?,
                    None => {}
                }
                writeln!(f, "method={algorithm}")
            }
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let names = |plan: &Arc<dyn ExecutionPlan>, from: usize, count: usize| -> Vec<String> {
                    plan.schema().fields().iter().skip(from).take(count).map(|field| field.name().clone()).collect()
                };
                let SparseMatMulSpec { num_keys, num_row_groups, num_col_groups, .. } = *self.spec;
                let ProductInputs { left, right, mask } = &self.inputs;
                let on = names(left, 0, num_keys).into_iter().zip(names(right, 0, num_keys));
                let on: Vec<String> = on.map(|(left, right)| format!("{left} = {right}")).collect();
                let left = names(left, num_keys, num_row_groups).join(", ");
                let right = names(right, num_keys, num_col_groups).join(", ");
                let mask = mask.as_ref().map(|mask| names(mask, 0, num_row_groups + num_col_groups));
                let mask: Vec<&str> = mask.iter().flatten().map(String::as_str).collect();
                let (on, mask) = (on.join(", "), self.spec.display_mask(&mask));
                write!(
                    f,
                    "{}: semiring={semirings}, on=[{on}], groups=[{left}] x [{right}]{mask}, method={algorithm}",
                    self.name()
                )
            }
        }
    }
}

impl ExecutionPlan for SparseMatMulExec {
    fn name(&self) -> &str {
        Self::static_name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    /// All partitions of an input are read concurrently, whatever their number.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.iter().count()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// The new plan has not read anything, also when a recursive query re-executes it.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inputs = ProductInputs::try_new(&children, self.spec.mask.is_some())?;
        let (spec, workers) = (Arc::clone(&self.spec), Arc::clone(&self.workers));
        Ok(Arc::new(Self::new(inputs, spec, self.algorithm, workers, self.schema())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(match self.algorithm {
            Algorithm::SpGemm => self.execute_spgemm(partition, &context),
            Algorithm::SpMv { streamed } => self.execute_spmv(streamed, &context),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
