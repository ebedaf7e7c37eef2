//! [`InferExtensionPlanner`]: plans an [`InferNode`] as an [`InferExec`].

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
use super::compute::ImagePipeline;
use super::context::InferContext;
use super::exec::InferExec;
use super::fetch::names_files;
use super::spec::InferSpec;
use crate::error::Error;
use crate::options::OcelliOptions;

/// Resolves the model of a node by name, and its columns to indices.
#[derive(Debug)]
pub(crate) struct InferExtensionPlanner {
    pub(crate) context: InferContext,
}

#[async_trait]
impl ExtensionPlanner for InferExtensionPlanner {
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
        let model = self.context.models.get(&node.model.name)?;
        if model.digest() != node.model.digest {
            let (planned, registered) = (&node.model.digest, model.digest());
            let reason = format!("the plan expects SHA-256 {planned}, the registered model has {registered}");
            return Err(Error::Model { model: node.model.name.clone(), reason }.into());
        }
        let image = logical.schema().index_of_column(&node.image)?;
        let index = |column| logical.schema().index_of_column(column);
        let options = OcelliOptions::from_config(session.config_options());
        let spec = InferSpec {
            pipeline: ImagePipeline::new(&self.context, model, &options, &node.outputs)?,
            image,
            names_files: names_files(logical.schema().field(image).data_type()),
            guard: node.guard.as_ref().map(index).transpose()?,
            label_column: node.label_column.as_ref().map(index).transpose()?,
            outputs: node.outputs.clone(),
            batch_rows: options.infer_batch_rows.max(1),
        };
        Ok(Some(Arc::new(InferExec::try_new(Arc::clone(input), spec, options.max_error_ratio)?)))
    }
}
