//! [`SparseMatMulPlanner`] makes a [`SparseMatMulExec`] of a [`SparseMatMulNode`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::cost::{keep_join, statistics};
use super::exec::{Method, SparseMatMulExec};
use super::join_fallback_exec::KeptJoinExec;
use super::kernels::Moving;
use super::node::SparseMatMulNode;
use super::spec::SparseMatMul;
use crate::runtime::Workers;

/// Chooses what is in memory and what comes by.
#[derive(Debug)]
pub(crate) struct SparseMatMulPlanner {
    pub(crate) workers: Arc<Workers>,
}

#[async_trait]
impl ExtensionPlanner for SparseMatMulPlanner {
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
        let [left, right] = physical_inputs else {
            return internal_err!("SparseMatMul has two inputs");
        };
        if let Some(join) = &node.join
            && let Some(because) = keep_join(&node.matmul, left, right)
        {
            let input = planner.create_physical_plan(&join.plan, session).await?;
            let semirings = node.matmul.semirings();
            let input = in_order(input, &join.columns)?;
            return Ok(Some(Arc::new(KeptJoinExec { input, semirings, because })));
        }
        let inputs = (Arc::clone(left), Arc::clone(right));
        let method = method(&node.matmul, left, right);
        let (matmul, workers) = (Arc::new(node.matmul.clone()), Arc::clone(&self.workers));
        let schema = Arc::clone(node.schema.inner());
        Ok(Some(Arc::new(SparseMatMulExec::new(inputs, matmul, method, workers, schema))))
    }
}

/// When both tables have groups, rows are made; else the larger table comes by, the one with the groups when that is not known.
fn method(matmul: &SparseMatMul, left: &Arc<dyn ExecutionPlan>, right: &Arc<dyn ExecutionPlan>) -> Method {
    if matmul.left_groups > 0 && matmul.right_groups > 0 {
        return Method::Rows;
    }
    let moving = match (rows(left), rows(right)) {
        (Some(left), Some(right)) if left != right => left > right,
        _ => matmul.left_groups > 0,
    };
    Method::Vector(if moving { Moving::Left } else { Moving::Right })
}

fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    statistics(plan)?.num_rows.get_value().copied()
}

/// A plan with these of its columns, in this order.
fn in_order(plan: Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    if columns.iter().copied().eq(0..plan.schema().fields().len()) {
        return Ok(plan);
    }
    let schema = plan.schema();
    let column = |&at: &usize| {
        let name = schema.field(at).name().clone();
        ProjectionExpr { expr: Arc::new(Column::new(&name, at)), alias: name }
    };
    Ok(Arc::new(ProjectionExec::try_new(columns.iter().map(column).collect::<Vec<_>>(), plan)?))
}
