//! [`InferNode`]: run a model on a column of images, one column more for each output.
//!
//! ```text
//! ┌─────┬───────┐               ┌─────┬───────┬───────────┐
//! │ uri │ image │ ──Infer────▶  │ uri │ image │ __infer_1 │   same rows, same order, same partitions
//! └─────┴───────┘               └─────┴───────┴───────────┘
//! ```

mod exec;
mod planner;
mod stream;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{Column, DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::functions::InferFunction;
use crate::model::ModelRef;
use crate::options::OnError;

pub(crate) use planner::InferPlanner;

/// What to compute: one pass of one model over one column of images.
///
/// Holds names and columns, never a loaded model.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct InferNode {
    input: LogicalPlan,
    model: ModelRef,
    /// Encoded images.
    image: Column,
    /// The column that tells a person which image it is, when there is one.
    place: Option<Column>,
    outputs: Vec<InferOutput>,
    schema: DFSchemaRef,
}

/// A column that the node appends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct InferOutput {
    pub(crate) name: String,
    pub(crate) function: InferFunction,
    pub(crate) on_error: OnError,
}

/// Columns that name a picture, the most usual first.
const PLACES: [&str; 6] = ["uri", "url", "path", "file_path", "filename", "file_name"];

impl InferNode {
    pub(crate) fn try_new(
        input: LogicalPlan,
        model: ModelRef,
        image: Column,
        outputs: Vec<InferOutput>,
    ) -> Result<Self> {
        let place = place(input.schema(), &image);
        Self::with_place(input, model, image, place, outputs)
    }

    fn with_place(
        input: LogicalPlan,
        model: ModelRef,
        image: Column,
        place: Option<Column>,
        outputs: Vec<InferOutput>,
    ) -> Result<Self> {
        let mut fields: Vec<_> =
            input.schema().iter().map(|(from, field)| (from.cloned(), Arc::clone(field))).collect();
        for output in &outputs {
            fields.push((None, Arc::new(Field::new(&output.name, output.function.return_type(), true))));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?
            .with_functional_dependencies(input.schema().functional_dependencies().clone())?;
        Ok(Self { input, model, image, place, outputs, schema: Arc::new(schema) })
    }

    /// The `Infer` node that a plan is.
    pub(crate) fn from_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Without the outputs that nobody reads, without itself when there are no others, and the same for such nodes right below;
    /// `None` when all are read.
    pub(crate) fn prune(&self, is_read: &dyn Fn(&str) -> bool) -> Result<Option<LogicalPlan>> {
        let outputs: Vec<_> = self.outputs.iter().filter(|output| is_read(&output.name)).cloned().collect();
        let reads_itself = |name: &str| {
            !outputs.is_empty() && std::iter::once(&self.image).chain(&self.place).any(|column| column.name == name)
        };
        let below = match Self::from_plan(&self.input) {
            Some(below) => below.prune(&|name| is_read(name) || reads_itself(name))?,
            None => None,
        };
        if below.is_none() && outputs.len() == self.outputs.len() {
            return Ok(None);
        }
        let input = below.unwrap_or_else(|| self.input.clone());
        if outputs.is_empty() {
            return Ok(Some(input));
        }
        let (model, image, place) = (self.model.clone(), self.image.clone(), self.place.clone());
        Self::with_place(input, model, image, place, outputs).map(|node| Some(node.into_plan()))
    }

    /// As a node of a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

/// The text column that names the picture: one of the image's table, or the only one of that name.
fn place(schema: &DFSchema, image: &Column) -> Option<Column> {
    PLACES.iter().find_map(|name| {
        let is_place = |field: &Field| field.name().eq_ignore_ascii_case(name) && field.data_type().is_string();
        let named: Vec<_> = schema.iter().filter(|(_, field)| is_place(field)).collect();
        let here = named.iter().find(|(from, _)| *from == image.relation.as_ref());
        let (from, field) = here.or(if named.len() == 1 { named.first() } else { None })?;
        Some(Column::new(from.cloned(), field.name()))
    })
}

impl UserDefinedLogicalNodeCore for InferNode {
    fn name(&self) -> &str {
        "Infer"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.image).chain(&self.place).cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let outputs: Vec<String> = self.outputs.iter().map(ToString::to_string).collect();
        write!(f, "Infer: model={}, image={}, outputs=[{}]", self.model, self.image, outputs.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("Infer has one input");
        };
        let columns: Option<Vec<Column>> = exprs.iter().map(|expr| expr.try_as_col().cloned()).collect();
        let (image, place) = match columns.as_deref() {
            Some([image]) if self.place.is_none() => (image.clone(), None),
            Some([image, place]) if self.place.is_some() => (image.clone(), Some(place.clone())),
            _ => return internal_err!("Infer takes columns, got {exprs:?}"),
        };
        Self::with_place(input, self.model.clone(), image, place, self.outputs.clone())
    }

    /// Filters on the input's columns go below: what they remove is never decoded.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema();
        let mut needed: Vec<usize> =
            output_columns.iter().copied().filter(|&column| column < inputs.fields().len()).collect();
        for column in std::iter::once(&self.image).chain(&self.place) {
            needed.push(inputs.maybe_index_of_column(column)?);
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }

    /// One row in, one row out.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// As in EXPLAIN: some of its formats print nodes they do not know in this way.
impl fmt::Debug for InferNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

/// By everything but the schema, which follows from the rest.
impl PartialOrd for InferNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.model.clone(), node.image.clone(), node.place.clone());
        match key(self).partial_cmp(&key(other)) {
            Some(Ordering::Equal) => {}
            unequal => return unequal,
        }
        match self.outputs.partial_cmp(&other.outputs) {
            Some(Ordering::Equal) => self.input.partial_cmp(&other.input),
            unequal => unequal,
        }
    }
}

/// `classify AS __infer_1`, and what becomes of bad images when that is not an error.
impl fmt::Display for InferOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.function.name(), self.name)?;
        match self.on_error {
            OnError::Raise => Ok(()),
            OnError::Null if self.function.is_try() => Ok(()),
            OnError::Null => write!(f, " (bad images are NULL)"),
        }
    }
}
