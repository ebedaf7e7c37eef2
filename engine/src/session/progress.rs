//! [`Progress`]: how far a query is, and [`ProgressExec`], which reports it.

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

/// How far a query is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that are done: those that a model has looked at where there is one, and those that were read elsewhere.
    pub rows: usize,
    /// All rows that there are, when that is known before. A LIMIT may leave some of them out.
    pub total: Option<usize>,
    /// Rows with a bad image.
    pub bad: usize,
    /// Since the query started.
    pub elapsed: Duration,
    /// Whether this is the last report: the query has ended, or nobody wants its rows any more.
    pub is_finished: bool,
}

impl Progress {
    /// Rows a second, from the start.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// From 0 to 1, when the total is known.
    pub fn share(&self) -> Option<f64> {
        let total = self.total?;
        Some(if total == 0 { 1.0 } else { (self.rows as f64 / total as f64).min(1.0) })
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct OnProgress(Arc<dyn Fn(&Progress) + Send + Sync>);

impl OnProgress {
    pub(crate) fn new(report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    pub(crate) fn report(&self, progress: &Progress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

/// How often somebody is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// Passes the rows of its input on, and reports how far it is, from the metrics of the plan.
#[derive(Debug)]
pub(super) struct ProgressExec {
    input: Arc<dyn ExecutionPlan>,
    on_progress: OnProgress,
    watch: Arc<Watch>,
}

/// Which partitions are through, for the thread that reports.
#[derive(Debug)]
struct Watch {
    partitions: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_started: bool,
    ended: usize,
}

impl ProgressExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, on_progress: OnProgress) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let watch = Watch { partitions, state: Mutex::default(), changed: Condvar::new() };
        Self { input, on_progress, watch: Arc::new(watch) }
    }

    /// Starts the thread that reports, unless it is there.
    fn start(&self) -> Result<()> {
        let mut state = self.watch.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_started {
            return Ok(());
        }
        state.is_started = true;
        let (on_progress, watch) = (self.on_progress.clone(), Arc::downgrade(&self.watch));
        let input = Arc::clone(&self.input);
        thread::Builder::new()
            .name("ocelli-progress".to_owned())
            .spawn(move || report(&input, &on_progress, &watch))?;
        Ok(())
    }
}

/// Until every partition has ended, or the plan and all its streams are gone.
fn report(plan: &Arc<dyn ExecutionPlan>, on_progress: &OnProgress, watch: &Weak<Watch>) {
    let start = Instant::now();
    let total = total(plan);
    loop {
        let is_finished = match watch.upgrade() {
            None => true,
            Some(watch) => {
                let state = watch.state.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = watch.changed.wait_timeout_while(state, INTERVAL, |state| state.ended < watch.partitions);
                waited.unwrap_or_else(PoisonError::into_inner).0.ended >= watch.partitions
            }
        };
        let (rows, bad) = done(plan);
        on_progress.report(&Progress { rows, total, bad, elapsed: start.elapsed(), is_finished });
        if is_finished {
            return;
        }
    }
}

/// The nodes whose rows are counted: those that run models, and the leaves of what has none.
fn counted(plan: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    if plan.is::<InferExec>() || plan.children().is_empty() {
        return vec![plan];
    }
    plan.children().into_iter().flat_map(counted).collect()
}

/// Rows that are done, and bad images among them.
fn done(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let metric = |node: &Arc<dyn ExecutionPlan>, name: &str| {
        node.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |value| value.as_usize())
    };
    let rows = counted(plan).into_iter().map(|node| {
        let rows = node.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        (rows, metric(node, "images_failed"))
    });
    rows.fold((0, 0), |(rows, bad), (more, worse)| (rows + more, bad + worse))
}

/// Rows that there will be, when the statistics say so exactly.
fn total(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let rows = counted(plan).into_iter().map(|node| {
        let statistics = StatisticsContext::new().compute(node.as_ref(), &StatisticsArgs::new()).ok()?;
        match statistics.num_rows {
            Precision::Exact(rows) => Some(rows),
            _ => None,
        }
    });
    rows.sum()
}

/// One partition under way.
struct Running(Arc<Watch>);

impl Drop for Running {
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
        Ok(Arc::new(Self::new(input, self.on_progress.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.start()?;
        let running = Running(Arc::clone(&self.watch));
        let schema: SchemaRef = self.input.schema();
        let rows = self.input.execute(partition, context)?;
        // Ended with its last row, or dropped before.
        let rows = stream::unfold((rows, running), |(mut rows, running)| async move {
            let batch: Result<RecordBatch> = rows.next().await?;
            Some((batch, (rows, running)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(rows: usize, total: Option<usize>) -> Progress {
        Progress { rows, total, bad: 0, elapsed: Duration::from_secs(2), is_finished: false }
    }

    #[test]
    fn rates_and_shares() {
        assert_eq!((progress(10, Some(40)).rate(), progress(10, Some(40)).share()), (5.0, Some(0.25)));
        assert_eq!(progress(0, Some(0)).share(), Some(1.0));
        assert_eq!(progress(5, None).share(), None);
    }
}
