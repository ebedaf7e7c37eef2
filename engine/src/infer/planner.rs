//! [`InferPlanner`] makes an [`InferExec`] of an [`InferNode`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::InferNode;
use super::compute::Compute;
use super::context::Engine;
use super::exec::InferExec;
use super::spec::Infer;
use crate::error::Error;
use crate::options::OcelliOptions;

/// Finds the model that a plan names, and the columns that it means.
#[derive(Debug)]
pub(crate) struct InferPlanner {
    pub(crate) engine: Engine,
}

#[async_trait]
impl ExtensionPlanner for InferPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<InferNode>() else {
            return Ok(None);
        };
        let ([logical], [input]) = (logical_inputs, physical_inputs) else {
            return internal_err!("Infer has one input");
        };
        let model = self.engine.models.get(&node.model.name)?;
        if model.digest() != node.model.digest {
            let reason =
                format!("the plan wants the one with SHA-256 {}, here it is {}", node.model.digest, model.digest());
            return Err(Error::Model { model: node.model.name.clone(), reason }.into());
        }
        let image = logical.schema().index_of_column(&node.image)?;
        let index = |column| logical.schema().index_of_column(column);
        let options = OcelliOptions::from_config(session.config_options());
        let infer = Infer {
            compute: Compute::new(&self.engine, model, &options, &node.outputs)?,
            image,
            is_uri: logical.schema().field(image).data_type().is_string(),
            guard: node.guard.as_ref().map(index).transpose()?,
            place: node.label_column.as_ref().map(index).transpose()?,
            outputs: node.outputs.clone(),
            batch_rows: options.infer_batch_rows.max(1),
        };
        Ok(Some(Arc::new(InferExec::try_new(Arc::clone(input), infer, options.max_error_ratio)?)))
    }
}
