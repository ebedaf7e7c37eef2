//! The operators that DataFusion does not have: what each computes (node), how (exec), and its rows (stream).

pub(crate) mod infer;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::model::Models;
use crate::workers::Workers;

/// DataFusion's planner, and ours for the nodes that it does not know.
#[derive(Debug)]
pub(crate) struct OcelliPlanner {
    pub(crate) models: Arc<Models>,
    pub(crate) workers: Arc<Workers>,
}

impl OcelliPlanner {
    /// One planner a node.
    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        let (models, workers) = (Arc::clone(&self.models), Arc::clone(&self.workers));
        vec![Arc::new(infer::InferPlanner { models, workers })]
    }
}

#[async_trait]
impl QueryPlanner for OcelliPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(self.extension_planners())
            .create_physical_plan(plan, session)
            .await
    }
}
