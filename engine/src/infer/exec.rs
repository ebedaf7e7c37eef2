//! [`InferExec`]: the physical operator of [`InferNode`](super::InferNode).

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, EvaluationType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use super::error_budget::ErrorBudget;
use super::metrics::InferMetrics;
use super::reservation::PartitionMemory;
use super::spec::InferSpec;

/// Runs a model on a column of images and appends one column per output.
///
/// - Preserves the rows, their order and the partitioning of the input.
/// - A NULL image gives NULL outputs; the model does not run on it.
/// - Dropping the stream cancels the work at the next image.
#[derive(Debug, Clone)]
pub(crate) struct InferExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<InferSpec>,
    max_error_ratio: f64,
    budget: Arc<ErrorBudget>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl InferExec {
    pub(crate) fn try_new(input: Arc<dyn ExecutionPlan>, spec: InferSpec, max_error_ratio: f64) -> Result<Self> {
        let columns = input.schema().fields().len();
        if [Some(spec.image), spec.guard, spec.label_column].into_iter().flatten().any(|column| column >= columns) {
            return internal_err!("InferExec was planned on columns beyond the {columns} of its input: {spec:?}");
        }
        let properties = Self::compute_properties(&input, &spec)?;
        let budget = Arc::new(ErrorBudget::new(properties.output_partitioning().partition_count(), max_error_ratio));
        Ok(Self {
            input,
            spec: Arc::new(spec),
            max_error_ratio,
            budget,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        })
    }

    /// The properties of the input. Its columns keep their indices, so its orderings and equivalences remain valid.
    fn compute_properties(input: &Arc<dyn ExecutionPlan>, spec: &InferSpec) -> Result<PlanProperties> {
        let input_schema = input.schema();
        let outputs = spec.outputs.iter().map(|output| Field::new(&output.name, output.value.data_type.clone(), true));
        let fields = input_schema.fields().iter().cloned().chain(outputs.map(Arc::new));
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), input_schema.metadata().clone()));
        let columns: Vec<usize> = (0..input_schema.fields().len()).collect();
        let mapping = ProjectionMapping::from_indices(&columns, &input_schema)?;
        Ok(PlanProperties::new(
            input.equivalence_properties().project(&mapping, schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_evaluation_type(EvaluationType::Eager)
        .with_scheduling_type(SchedulingType::Cooperative))
    }
}

impl DisplayAs for InferExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let spec = &self.spec;
        let (model, backend) = (spec.pipeline.model.name(), &spec.pipeline.backend);
        match format {
            DisplayFormatType::TreeRender => {
                writeln!(f, "model={model}")?;
                writeln!(f, "backend={}", backend.kind.name())
            }
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let image = self.input.schema().field(spec.image).name().clone();
                let outputs: Vec<String> = spec.outputs.iter().map(ToString::to_string).collect();
                let is_verbose = format == DisplayFormatType::Verbose;
                let reason = if is_verbose { &backend.reason } else { &backend.summary };
                write!(f, "InferExec: model={model}, backend={} ({reason}), image={image}", backend.kind.name())?;
                if let Some(guard) = spec.guard {
                    write!(f, ", guard={}", self.input.schema().field(guard).name())?;
                }
                write!(f, ", outputs=[{}], batch_rows={}", outputs.join(", "), spec.batch_rows)
            }
        }
    }
}

impl ExecutionPlan for InferExec {
    fn name(&self) -> &str {
        Self::static_name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// All partitions share the worker pool, so repartitioning would only lose the row order.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) else {
            return internal_err!("InferExec has one input");
        };
        Ok(Arc::new(Self::try_new(input, InferSpec::clone(&self.spec), self.max_error_ratio)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (pool, runtime) = (Arc::clone(context.memory_pool()), context.runtime_env());
        let reservation = MemoryConsumer::new(format!("{}[{partition}]", self.name())).register(&pool);
        let memory = PartitionMemory::new(reservation, pool);
        let input = self.input.execute(partition, context)?;
        let metrics = InferMetrics::new(&self.metrics, partition);
        let budget = (Arc::clone(&self.budget), partition);
        let rows = Arc::clone(&self.spec).stream(input, self.schema(), metrics, budget, (memory, runtime));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// The row count and the column statistics of the input; those of the outputs are unknown.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let [input] = inputs {
            statistics.num_rows = input.num_rows;
            for (column, input_column) in statistics.column_statistics.iter_mut().zip(&input.column_statistics) {
                column.clone_from(input_column);
            }
        }
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
