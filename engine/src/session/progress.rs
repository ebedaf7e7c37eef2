//! [`Progress`]: the progress of a query, and [`ProgressExec`], the operator that reports it.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::internal_err;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, stream};

use crate::infer::InferExec;

/// The progress of a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Completed rows: those that a model has processed, or that were read elsewhere.
    pub rows: usize,
    /// The total number of rows, if it is known in advance. A LIMIT may stop before.
    pub total_rows: Option<usize>,
    /// Rows whose image could not be decoded.
    pub failed: usize,
    /// Time since the start of the query.
    pub elapsed: Duration,
    /// Whether this is the last report: the query has ended or was dropped.
    pub is_finished: bool,
}

impl Progress {
    /// Average throughput since the start.
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The completed fraction from 0 to 1, if the total is known.
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total_rows?;
        Some(if total == 0 { 1.0 } else { (self.rows as f64 / total as f64).min(1.0) })
    }
}

/// The callback that receives progress reports.
#[derive(Clone)]
pub(crate) struct ProgressCallback(Arc<dyn Fn(&Progress) + Send + Sync>);

impl ProgressCallback {
    pub(crate) fn new(report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    pub(crate) fn report(&self, progress: &Progress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for ProgressCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressCallback")
    }
}

/// Time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Forwards the rows of its input, and reports progress from the metrics of the plan.
#[derive(Debug)]
pub(super) struct ProgressExec {
    input: Arc<dyn ExecutionPlan>,
    callback: ProgressCallback,
    partitions: Arc<PartitionTracker>,
}

/// The state that the partitions share with the reporting thread.
#[derive(Debug)]
struct PartitionTracker {
    count: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_started: bool,
    ended: usize,
}

impl ProgressExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, callback: ProgressCallback) -> Self {
        let count = input.output_partitioning().partition_count();
        let partitions = PartitionTracker { count, state: Mutex::default(), changed: Condvar::new() };
        Self { input, callback, partitions: Arc::new(partitions) }
    }

    /// Starts the reporting thread once.
    fn start(&self) -> Result<()> {
        let mut state = self.partitions.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_started {
            return Ok(());
        }
        state.is_started = true;
        let (callback, partitions) = (self.callback.clone(), Arc::downgrade(&self.partitions));
        let input = Arc::clone(&self.input);
        thread::Builder::new()
            .name("ocelli-progress".to_owned())
            .spawn(move || report(&input, &callback, &partitions))?;
        Ok(())
    }
}

/// Reports until every partition has ended, or the plan and all its streams are dropped.
fn report(plan: &Arc<dyn ExecutionPlan>, callback: &ProgressCallback, partitions: &Weak<PartitionTracker>) {
    let start = Instant::now();
    let total_rows = total_rows(plan);
    loop {
        let is_finished = match partitions.upgrade() {
            None => true,
            Some(partitions) => {
                let state = partitions.state.lock().unwrap_or_else(PoisonError::into_inner);
                let is_running = |state: &mut State| state.ended < partitions.count;
                let waited = partitions.changed.wait_timeout_while(state, REPORT_INTERVAL, is_running);
                waited.unwrap_or_else(PoisonError::into_inner).0.ended >= partitions.count
            }
        };
        let (rows, failed) = rows_and_failures(plan);
        callback.report(&Progress { rows, total_rows, failed, elapsed: start.elapsed(), is_finished });
        if is_finished {
            return;
        }
    }
}

/// The nodes whose rows are counted: those that run models, and the leaves of subplans without one.
fn progress_nodes(plan: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    if plan.is::<InferExec>() || plan.children().is_empty() {
        return vec![plan];
    }
    plan.children().into_iter().flat_map(progress_nodes).collect()
}

/// The number of completed rows, and of images that could not be decoded.
fn rows_and_failures(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let metric = |node: &Arc<dyn ExecutionPlan>, name: &str| {
        node.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |value| value.as_usize())
    };
    let rows = progress_nodes(plan).into_iter().map(|node| {
        let rows = node.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        (rows, metric(node, "images_failed"))
    });
    rows.fold((0, 0), |(rows, failed), (more_rows, more_failed)| (rows + more_rows, failed + more_failed))
}

/// The total number of rows, if the statistics are exact.
fn total_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let rows = progress_nodes(plan).into_iter().map(|node| {
        let statistics = StatisticsContext::new().compute(node.as_ref(), &StatisticsArgs::new()).ok()?;
        match statistics.num_rows {
            Precision::Exact(rows) => Some(rows),
            _ => None,
        }
    });
    rows.sum()
}

/// Counts a partition as ended when it is dropped.
struct PartitionGuard(Arc<PartitionTracker>);

impl Drop for PartitionGuard {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
        self.0.changed.notify_all();
    }
}

impl DisplayAs for ProgressExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ProgressExec")
    }
}

impl ExecutionPlan for ProgressExec {
    fn name(&self) -> &str {
        Self::static_name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
            return internal_err!("ProgressExec has one input");
        };
        Ok(Arc::new(Self::new(input, self.callback.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.start()?;
        let guard = PartitionGuard(Arc::clone(&self.partitions));
        let schema: SchemaRef = self.input.schema();
        let rows = self.input.execute(partition, context)?;
        // The guard is dropped with the stream, at its end or before.
        let rows = stream::unfold((rows, guard), |(mut rows, guard)| async move {
            let batch: Result<RecordBatch> = rows.next().await?;
            Some((batch, (rows, guard)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(rows: usize, total_rows: Option<usize>) -> Progress {
        Progress { rows, total_rows, failed: 0, elapsed: Duration::from_secs(2), is_finished: false }
    }

    #[test]
    fn throughput_and_fraction() {
        assert_eq!((progress(10, Some(40)).rows_per_second(), progress(10, Some(40)).fraction()), (5.0, Some(0.25)));
        assert_eq!(progress(0, Some(0)).fraction(), Some(1.0));
        assert_eq!(progress(5, None).fraction(), None);
    }
}
