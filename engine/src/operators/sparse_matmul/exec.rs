//! [`SparseMatMulExec`]: the physical form of [`SparseMatMulNode`](super::SparseMatMulNode).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
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
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::SparseMatMul;
use super::input::Input;
use super::rows::{Matrices, RowsWorker};
use super::vector::{Resting, VectorWorker};
use crate::kernels::sparse_matmul::Moving;
use crate::workers::Workers;

/// How a product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Both inputs are in memory; the partitions make the rows of the product between them.
    Rows,
    /// One input is in memory and the other comes by.
    Vector(Moving),
}

/// Multiplies two tables as sparse matrices.
///
/// - Rows are those of the join and its aggregation, in any order; each group is in one partition.
/// - NULL keys meet nothing, NULL groups are groups, NULL values are passed over as the aggregates do.
/// - Memory: what is said at [`Method`], and the sums.
/// - A dropped stream stops the work at the next batch.
#[derive(Debug)]
pub(crate) struct SparseMatMulExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matmul: Arc<SparseMatMul>,
    method: Method,
    workers: Arc<Workers>,
    /// Made by the first partition that is executed.
    matrices: Mutex<Option<Shared<BoxFuture<'static, Prepared>>>>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

/// Matrices that all partitions share, with the memory that they hold.
type Prepared = Result<Arc<(Arc<Matrices>, Arc<MemoryReservation>)>, Arc<DataFusionError>>;

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
            matrices: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        }
    }

    fn memory(&self, context: &TaskContext, partition: usize) -> MemoryReservation {
        MemoryConsumer::new(format!("{}[{partition}]", self.name())).register(context.memory_pool())
    }

    /// Both inputs as matrices: whoever asks first has them read.
    fn prepared(&self, context: &Arc<TaskContext>) -> Shared<BoxFuture<'static, Prepared>> {
        let mut matrices = self.matrices.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = matrices.get_or_insert_with(|| {
            let (left, right) = (Arc::clone(&self.left), Arc::clone(&self.right));
            let (matmul, workers) = (Arc::clone(&self.matmul), Arc::clone(&self.workers));
            let (context, memory) = (Arc::clone(context), Arc::new(self.memory(context, 0)));
            let time = MetricBuilder::new(&self.metrics).subset_time("build_time", 0);
            let prepare = async move {
                let (left, right) =
                    futures::try_join!(Input::read(&left, &context, &memory), Input::read(&right, &context, &memory))?;
                memory.try_grow(Matrices::bytes(&matmul, left.rows) + Matrices::bytes(&matmul, right.rows))?;
                let inputs = left.bytes + right.bytes;
                let build = SpawnedTask::spawn_blocking(move || {
                    let _timer = time.timer();
                    workers.pool().run(|| Matrices::new(&matmul, left, right))
                });
                let matrices = join(build).await??;
                memory.shrink(inputs);
                Ok((Arc::new(matrices), memory))
            };
            async move { prepare.await.map(Arc::new).map_err(Arc::new) }.boxed().shared()
        });
        prepared.clone()
    }

    fn rows(&self, partition: usize, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let prepared = self.prepared(context);
        let (schema, batch_rows) = (self.schema(), context.session_config().batch_size());
        let memory = self.memory(context, partition);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = async move {
            let prepared = prepared.await.map_err(DataFusionError::Shared)?;
            let worker = RowsWorker::new(Arc::clone(&prepared.0), schema, batch_rows);
            let state = (worker, memory, metrics, prepared);
            Ok::<_, DataFusionError>(stream::try_unfold(state, async |(mut worker, memory, metrics, prepared)| {
                let timer = metrics.elapsed_compute().timer();
                let batch = worker.next()?;
                timer.done();
                memory.try_resize(worker.bytes())?;
                let batch = batch.map(|batch| batch.record_output(&metrics));
                Ok::<_, DataFusionError>(batch.map(|batch| (batch, (worker, memory, metrics, prepared))))
            }))
        };
        let batches = stream::once(batches).try_flatten();
        let batches = batches.map_ok(move |batch| stream::iter(slices(batch, batch_rows).map(Ok))).try_flatten();
        Box::pin(cooperative(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn vector(&self, moving: Moving, context: &Arc<TaskContext>) -> SendableRecordBatchStream {
        let (resting, input) = match moving {
            Moving::Left => (Arc::clone(&self.right), Arc::clone(&self.left)),
            Moving::Right => (Arc::clone(&self.left), Arc::clone(&self.right)),
        };
        let (matmul, workers) = (Arc::clone(&self.matmul), Arc::clone(&self.workers));
        let (schema, batch_rows) = (self.schema(), context.session_config().batch_size());
        let (context, memory) = (Arc::clone(context), Arc::new(self.memory(context, 0)));
        let metrics = BaselineMetrics::new(&self.metrics, 0);
        let result = async move {
            let rows = Input::read(&resting, &context, &memory).await?;
            memory.try_grow(Matrices::bytes(&matmul, rows.rows))?;
            let bytes = rows.bytes;
            let build =
                SpawnedTask::spawn_blocking(move || workers.pool().run(|| Resting::new(&matmul, moving, &rows)));
            let resting = Arc::new(join(build).await??);
            memory.shrink(bytes);
            let sums = sum(&resting, &input, &context, &memory, &metrics).await?;
            let batch = RecordBatch::try_new(schema, sums.finish()?)?.record_output(&metrics);
            Ok::<_, DataFusionError>(stream::iter(slices(batch, batch_rows).map(Ok)))
        };
        let batches = stream::once(result).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches))
    }
}

/// The sums over all partitions of the input that comes by.
async fn sum(
    resting: &Arc<Resting>,
    input: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    memory: &Arc<MemoryReservation>,
    metrics: &BaselineMetrics,
) -> Result<VectorWorker> {
    let task = |partition| {
        let (input, context, resting) = (Arc::clone(input), Arc::clone(context), Arc::clone(resting));
        let (memory, time) = (memory.new_empty(), metrics.elapsed_compute().clone());
        SpawnedTask::spawn(async move {
            let mut worker = VectorWorker::new(resting, &input.schema())?;
            let mut batches = input.execute(partition, context)?;
            while let Some(batch) = batches.next().await.transpose()? {
                let timer = time.timer();
                worker.add(&batch)?;
                timer.done();
                memory.try_resize(worker.bytes())?;
            }
            Ok::<_, DataFusionError>((worker, memory))
        })
    };
    let tasks: Vec<_> = (0..input.output_partitioning().partition_count()).map(task).collect();
    let mut all: Option<VectorWorker> = None;
    for task in tasks {
        let (worker, _memory) = join(task).await??;
        match &mut all {
            Some(all) => all.merge(worker)?,
            None => all = Some(worker),
        }
    }
    match all {
        Some(all) => Ok(all),
        None => VectorWorker::new(Arc::clone(resting), &input.schema()),
    }
}

/// What a task gives; its panic is ours.
pub(super) async fn join<T: 'static>(task: SpawnedTask<T>) -> Result<T> {
    task.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))
}

/// A batch in parts of so many rows.
fn slices(batch: RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    (0..batch.num_rows()).step_by(rows).map(move |from| batch.slice(from, rows.min(batch.num_rows() - from)))
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
