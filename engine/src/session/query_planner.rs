//! [`OcelliQueryPlanner`]: one planner for each operator that DataFusion does not have.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::progress::{ProgressCallback, ProgressExec};
use crate::infer::{InferContext, InferExtensionPlanner, limit_image_batch_size};
use crate::sparse::{SparseMatMulExtensionPlanner, annotate_explain};

/// DataFusion's physical planner, with an extension planner for each of our nodes.
#[derive(Debug)]
pub(crate) struct OcelliQueryPlanner {
    pub(crate) infer_context: InferContext,
    pub(crate) progress_callback: Option<ProgressCallback>,
}

impl OcelliQueryPlanner {
    /// One extension planner per node.
    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        vec![
            Arc::new(InferExtensionPlanner { context: self.infer_context.clone() }),
            Arc::new(SparseMatMulExtensionPlanner { workers: Arc::clone(&self.infer_context.workers) }),
        ]
    }
}

#[async_trait]
impl QueryPlanner for OcelliQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let explained = annotate_explain(plan)?;
        let plan = explained.as_ref().unwrap_or(plan);
        let planner = DefaultPhysicalPlanner::with_extension_planners(self.extension_planners());
        let physical = limit_image_batch_size(planner.create_physical_plan(plan, session).await?)?;
        Ok(match &self.progress_callback {
            // EXPLAIN shows the plan without progress reporting.
            Some(progress_callback) if !matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) => {
                Arc::new(ProgressExec::new(physical, progress_callback.clone()))
            }
            _ => physical,
        })
    }
}
