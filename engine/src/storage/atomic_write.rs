//! [`AtomicWriteExec`]: files that a query writes appear when the query has succeeded, or not at all.
//!
//! ```text
//! DataSinkExec ── put, put_multipart ──▶ [`StagingStore`] ──▶ out.parquet#1          staged file, or multipart upload
//!                                                                  │
//!                       query succeeds: fsync, rename, fsync ──▶ out.parquet         or complete the upload
//!                       query fails or is cancelled          ──▶ removed             or abort the upload
//! ```
//!
//! DataFusion's sinks complete their files when their input ends, also if it ends with an error, and so replace a valid file by the rows
//! before the error. Here they write to a store that postpones the completion until [`DataSinkExec`] has returned.
//!
//! Each file is replaced atomically. Several files (`PARTITIONED BY`) are completed one after another once all of them have been written; a
//! failure or a power loss in between leaves the first of them.
//!
//! A killed process leaves the staged file, which listings omit: the `LocalFileSystem` of the crate `object_store` reserves names that end
//! with `#` and digits.

mod local_file;
mod store;
mod transaction;
mod upload;
mod writable_types;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{TryStreamExt, stream};

use store::StagingRegistry;
use transaction::WriteTransaction;
use writable_types::{FileFormat, check_columns};

/// Wraps each write in an [`AtomicWriteExec`], and rejects columns that the file format cannot represent.
#[derive(Debug)]
pub(crate) struct AtomicWrite;

impl PhysicalOptimizerRule for AtomicWrite {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<DataSinkExec>() {
            Some(exec) => {
                if let Some((format, config)) = FileFormat::of(exec.sink()) {
                    check_columns(format, config)?;
                }
                Ok(Transformed::yes(Arc::new(AtomicWriteExec { write: plan }) as _))
            }
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "atomic_write"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Runs a [`DataSinkExec`] in a [`WriteTransaction`].
#[derive(Debug)]
struct AtomicWriteExec {
    write: Arc<dyn ExecutionPlan>,
}

impl AtomicWriteExec {
    /// The context of the sink: object stores are replaced by staging stores.
    fn staging_context(context: &TaskContext, transaction: &Arc<WriteTransaction>) -> TaskContext {
        let runtime = context.runtime_env();
        let registry = StagingRegistry::new(Arc::clone(&runtime.object_store_registry), Arc::clone(transaction));
        let runtime = RuntimeEnv { object_store_registry: Arc::new(registry), ..(*runtime).clone() };
        TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            Arc::new(runtime),
        )
    }
}

impl DisplayAs for AtomicWriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("AtomicWriteExec")
    }
}

impl ExecutionPlan for AtomicWriteExec {
    fn name(&self) -> &str {
        Self::static_name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.write.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.write]
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
        let Ok([write]) = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) else {
            return internal_err!("AtomicWriteExec has one input");
        };
        Ok(Arc::new(Self { write }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let transaction = Arc::new(WriteTransaction::default());
        let context = Self::staging_context(&context, &transaction);
        let counts = self.write.execute(partition, Arc::new(context))?;
        // Rolls back if the stream is dropped before the end.
        let transaction = transaction.rollback_on_drop();
        let counts = async move {
            match counts.try_collect::<Vec<RecordBatch>>().await {
                Ok(counts) => transaction.commit().await.map(|()| stream::iter(counts.into_iter().map(Ok))),
                Err(error) => Err(transaction.rollback().await.unwrap_or(error)),
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(counts).try_flatten())))
    }
}
