//! [`SparseMatMulExtensionPlanner`]: plans a [`SparseMatMulNode`] as a [`SparseMatMulExec`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::cost::{prefer_join, statistics};
use super::exec::{Algorithm, SparseMatMulExec};
use super::input::ProductInputs;
use super::join_fallback_exec::JoinFallbackExec;
use super::kernels::StreamedSide;
use super::node::SparseMatMulNode;
use super::spec::SparseMatMulSpec;
use crate::runtime::WorkerPool;

/// Chooses between the product and its join, and the algorithm of the product.
#[derive(Debug)]
pub(crate) struct SparseMatMulExtensionPlanner {
    pub(crate) workers: Arc<WorkerPool>,
}

#[async_trait]
impl ExtensionPlanner for SparseMatMulExtensionPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<SparseMatMulNode>() else {
            return Ok(None);
        };
        let inputs = ProductInputs::try_new(physical_inputs, node.spec.mask.is_some())?;
        if let Some(fallback) = &node.fallback
            && let Some(reason) = prefer_join(&node.spec, &inputs.left, &inputs.right)
        {
            let input = planner.create_physical_plan(&fallback.plan, session).await?;
            let semirings = node.spec.semirings();
            let input = project_columns(input, &fallback.projection)?;
            return Ok(Some(Arc::new(JoinFallbackExec { input, semirings, reason })));
        }
        let algorithm = choose_algorithm(&node.spec, &inputs.left, &inputs.right);
        let (spec, workers) = (Arc::new(node.spec.clone()), Arc::clone(&self.workers));
        let schema = Arc::clone(node.schema.inner());
        Ok(Some(Arc::new(SparseMatMulExec::new(inputs, spec, algorithm, workers, schema))))
    }
}

/// SpGEMM if both inputs have groups. Otherwise SpMV that streams the larger input, or the one with the groups if the
/// sizes are equal or unknown.
fn choose_algorithm(
    spec: &SparseMatMulSpec,
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
) -> Algorithm {
    if spec.num_row_groups > 0 && spec.num_col_groups > 0 {
        return Algorithm::SpGemm;
    }
    let streams_left = match (num_rows(left), num_rows(right)) {
        (Some(left), Some(right)) if left != right => left > right,
        _ => spec.num_row_groups > 0,
    };
    Algorithm::SpMv { streamed: if streams_left { StreamedSide::Left } else { StreamedSide::Right } }
}

fn num_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    statistics(plan)?.num_rows.get_value().copied()
}

/// Projects a plan to `columns`, in this order.
fn project_columns(plan: Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    if columns.iter().copied().eq(0..plan.schema().fields().len()) {
        return Ok(plan);
    }
    let schema = plan.schema();
    let column = |&index: &usize| {
        let name = schema.field(index).name().clone();
        ProjectionExpr { expr: Arc::new(Column::new(&name, index)), alias: name }
    };
    Ok(Arc::new(ProjectionExec::try_new(columns.iter().map(column).collect::<Vec<_>>(), plan)?))
}
