//! [`SparseMatMulExec`]: the physical form of [`SparseMatMulNode`](super::node::SparseMatMulNode).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
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

use super::build::{Held, Next, Preparation};
use super::kernels::Moving;
use super::spec::SparseMatMul;
use super::spgemm::RowsWorker;
use super::spmv_stream::VectorProduct;
use crate::runtime::Workers;

/// How a product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Both inputs become matrices, whole or panel by panel; the partitions make the rows of the product between them.
    Rows,
    /// One input is in memory and the other comes by; only the sums stay.
    Vector(Moving),
}

/// Multiplies two tables as sparse matrices.
///
/// - Rows are those of the join and its aggregation, in any order; each group is in one partition.
/// - NULL keys meet nothing, NULL groups are groups, NULL values are passed over as the aggregates do.
/// - Memory: the inputs of [`Method::Rows`] and the sums of [`Method::Vector`] go to the disk when they do not fit.
/// - A dropped stream stops the work at the next batch.
pub(crate) struct SparseMatMulExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matmul: Arc<SparseMatMul>,
    method: Method,
    workers: Arc<Workers>,
    run: Mutex<Option<Run>>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

/// What the partitions of one run share, until each of them has been executed. A plan may be run again: some joins do that with
/// their inputs when memory is short.
struct Run {
    preparation: Arc<Preparation>,
    executed: Vec<bool>,
}

impl SparseMatMulExec {
    pub(crate) fn new(
        (left, right): (Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>),
        matmul: Arc<SparseMatMul>,
        method: Method,
        workers: Arc<Workers>,
        schema: SchemaRef,
    ) -> Self {
        let partitions = match method {
            Method::Rows => workers.threads(),
            Method::Vector(_) => 1,
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            left,
            right,
            matmul,
            method,
            workers,
            run: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        }
    }

    fn memory(&self, context: &TaskContext, partition: usize) -> MemoryReservation {
        MemoryConsumer::new(format!("{}[{partition}]", self.name())).register(context.memory_pool())
    }

    /// That of the run which this partition is the next of.
    fn preparation(&self, partition: usize, context: &Arc<TaskContext>) -> Arc<Preparation> {
        let mut slot = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let mut run = match slot.take() {
            Some(run) if !run.executed[partition] => run,
            _ => {
                let inputs = (Arc::clone(&self.left), Arc::clone(&self.right));
                let preparation = Preparation::new(inputs, &self.matmul, &self.workers, context, &self.metrics);
                let partitions = self.properties.output_partitioning().partition_count();
                Run { preparation: Arc::new(preparation), executed: vec![false; partitions] }
            }
        };
        run.executed[partition] = true;
        let preparation = Arc::clone(&run.preparation);
        // After the last one, what was read is kept by those who read from it.
        if run.executed.contains(&false) {
            *slot = Some(run);
        }
        preparation
    }

    fn rows(&self, partition: usize, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let preparation = self.preparation(partition, context);
        let batch_rows = context.session_config().batch_size();
        let rows = Rows {
            preparation,
            pair: 0,
            now: None,
            schema: self.schema(),
            batch_rows,
            memory: self.memory(context, partition),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::try_unfold(rows, async |mut rows: Rows| {
            let batch = rows.next().await?;
            Ok::<_, DataFusionError>(batch.map(|batch| (batch, rows)))
        });
        let slices = batches.map_ok(move |batch| stream::iter(slices(batch, batch_rows).map(Ok)));
        Box::pin(cooperative(RecordBatchStreamAdapter::new(self.schema(), slices.try_flatten().boxed())))
    }

    fn vector(&self, moving: Moving, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let (resting, input) = match moving {
            Moving::Left => (Arc::clone(&self.right), Arc::clone(&self.left)),
            Moving::Right => (Arc::clone(&self.left), Arc::clone(&self.right)),
        };
        let batch_rows = context.session_config().batch_size();
        let product = VectorProduct {
            resting,
            input,
            moving,
            matmul: Arc::clone(&self.matmul),
            workers: Arc::clone(&self.workers),
            schema: self.schema(),
            context: Arc::clone(context),
            metrics: BaselineMetrics::new(&self.metrics, 0),
            spill: SpillMetrics::new(&self.metrics, 0),
        };
        let slices = product.batches().map_ok(move |batch| stream::iter(slices(batch, batch_rows).map(Ok)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema(), slices.try_flatten()))
    }
}

/// One partition of the rows of a product.
struct Rows {
    preparation: Arc<Preparation>,
    /// The number of the matrices that are multiplied.
    pair: usize,
    now: Option<(RowsWorker, Arc<Held>)>,
    schema: SchemaRef,
    batch_rows: usize,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((worker, _)) = &mut self.now {
                let timer = self.metrics.elapsed_compute().timer();
                let batch = worker.next()?;
                timer.done();
                self.memory.try_resize(worker.bytes())?;
                if let Some(batch) = batch {
                    return Ok(Some(batch.record_output(&self.metrics)));
                }
                self.now = None;
                self.memory.free();
                self.pair += 1;
            }
            match self.preparation.next(self.pair).await? {
                Next::Matrices(held) => {
                    let (schema, batch_rows) = (Arc::clone(&self.schema), self.batch_rows);
                    self.now = Some((RowsWorker::new(Arc::clone(&held.matrices), schema, batch_rows), held));
                }
                Next::Over => self.pair += 1,
                Next::End => return Ok(None),
            }
        }
    }
}

/// A batch in parts of so many rows.
fn slices(batch: RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    (0..batch.num_rows()).step_by(rows).map(move |from| batch.slice(from, rows.min(batch.num_rows() - from)))
}

impl fmt::Debug for SparseMatMulExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Verbose, f)
    }
}

impl DisplayAs for SparseMatMulExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let method = match self.method {
            Method::Rows => "rows",
            Method::Vector(Moving::Left) => "stream_left",
            Method::Vector(Moving::Right) => "stream_right",
        };
        let semirings = self.matmul.semirings();
        match format {
            DisplayFormatType::TreeRender => {
                writeln!(f, "semiring={semirings}")?;
                writeln!(f, "method={method}")
            }
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let names = |plan: &Arc<dyn ExecutionPlan>, from: usize, count: usize| -> Vec<String> {
                    plan.schema().fields().iter().skip(from).take(count).map(|field| field.name().clone()).collect()
                };
                let SparseMatMul { keys, left_groups, right_groups, .. } = *self.matmul;
                let on = names(&self.left, 0, keys).into_iter().zip(names(&self.right, 0, keys));
                let on: Vec<String> = on.map(|(left, right)| format!("{left} = {right}")).collect();
                let left = names(&self.left, keys, left_groups).join(", ");
                let right = names(&self.right, keys, right_groups).join(", ");
                let on = on.join(", ");
                write!(
                    f,
                    "{}: semiring={semirings}, on=[{on}], groups=[{left}] x [{right}], method={method}",
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
        vec![&self.left, &self.right]
    }

    /// All of their partitions are read at a time, whatever their number.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// With nothing read yet, also when a recursive query runs the plan again.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("SparseMatMulExec has two inputs");
        };
        let (matmul, workers) = (Arc::clone(&self.matmul), Arc::clone(&self.workers));
        Ok(Arc::new(Self::new((left, right), matmul, self.method, workers, self.schema())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(match self.method {
            Method::Rows => self.rows(partition, &context),
            Method::Vector(moving) => self.vector(moving, &context),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
