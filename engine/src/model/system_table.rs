//! [`SystemSchemaProvider`]: the schema `system` with tables about the session.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::ModelRegistry;
use crate::options::OcelliOptions;

/// The name of the schema.
pub(crate) const SYSTEM_SCHEMA: &str = "system";
const MODELS: &str = "models";

/// The schema `system`, with the table `models`.
#[derive(Debug)]
pub(crate) struct SystemSchemaProvider {
    pub(crate) models: Arc<ModelRegistry>,
}

#[async_trait]
impl SchemaProvider for SystemSchemaProvider {
    fn table_names(&self) -> Vec<String> {
        vec![MODELS.to_owned()]
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let models = ModelsTable { models: Arc::clone(&self.models), schema: models_schema() };
        Ok((name == MODELS).then(|| Arc::new(models) as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == MODELS
    }
}

/// `system.models`: one row per registered model, evaluated when the table is scanned.
#[derive(Debug)]
struct ModelsTable {
    models: Arc<ModelRegistry>,
    schema: SchemaRef,
}

fn models_schema() -> SchemaRef {
    let utf8 = |name: &str| Field::new(name, DataType::Utf8, false);
    let labels = Field::new("labels", DataType::UInt32, true);
    let mut fields: Vec<Field> = ["name", "digest", "task", "input", "outputs"].map(utf8).into();
    fields.push(labels);
    fields.extend(["device", "backend", "location"].map(utf8));
    Arc::new(Schema::new(fields))
}

#[async_trait]
impl TableProvider for ModelsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let preferences = OcelliOptions::from_config(session.config_options()).backend_preferences();
        let models = self.models.list();
        let mut strings: [Vec<String>; 8] = Default::default();
        let mut labels = Vec::new();
        for model in &models {
            let graph = model.graph()?;
            let (device, backend) = model.backend(preferences).map_or_else(
                |error| (String::new(), error.to_string()),
                |selection| (selection.device().to_owned(), selection.kind.name().to_owned()),
            );
            let row = [
                model.name(),
                model.digest(),
                model.task(),
                &graph.display_inputs(),
                &graph.display_outputs(),
                &device,
                &backend,
                model.location(),
            ];
            strings.iter_mut().zip(row).for_each(|(column, value)| column.push(value.to_owned()));
            labels.push(model.image_task().ok().and_then(|image_task| u32::try_from(image_task.labels.len()).ok()));
        }
        let mut columns: Vec<ArrayRef> =
            strings.into_iter().map(|values| Arc::new(StringArray::from(values)) as ArrayRef).collect();
        columns.insert(5, Arc::new(UInt32Array::from(labels)));
        let batch = RecordBatch::try_new(self.schema(), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?)
    }
}
