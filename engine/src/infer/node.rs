//! [`InferNode`]: runs a model on a column of images and appends one column per output.
//!
//! ```text
//! ┌─────┬───────┐               ┌─────┬───────┬───────────┐
//! │ uri │ image │ ──Infer────▶  │ uri │ image │ __infer_1 │   same rows, same order, same partitions
//! └─────┴───────┘               └─────┴───────┴───────────┘
//! ```

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{Column, DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, Extension, FetchType, Limit, LogicalPlan, SkipType, UserDefinedLogicalNodeCore, lit,
};

use super::output::InferOutput;
use crate::model::ModelRef;

/// The logical node: one model on one column of images.
///
/// Holds names and columns only, never a loaded model.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct InferNode {
    input: LogicalPlan,
    pub(super) model: ModelRef,
    /// The column of encoded images or URIs.
    pub(super) image: Column,
    /// Optional selection mask: where it is not true, the image is skipped and all outputs are NULL.
    pub(super) guard: Option<Column>,
    /// The column that names images in messages, if there is one.
    pub(super) label_column: Option<Column>,
    pub(super) outputs: Vec<InferOutput>,
    schema: DFSchemaRef,
}

/// Usual names of columns that identify an image, in order of preference.
const URI_COLUMN_NAMES: [&str; 6] = ["uri", "url", "path", "file_path", "filename", "file_name"];

impl InferNode {
    pub(crate) fn try_new(
        input: LogicalPlan,
        model: ModelRef,
        image: Column,
        guard: Option<Column>,
        outputs: Vec<InferOutput>,
    ) -> Result<Self> {
        let label_column = find_label_column(input.schema(), &image);
        Self { input, model, image, guard, label_column, outputs, schema: Arc::new(DFSchema::empty()) }.with_schema()
    }

    /// Derives the schema from the other fields.
    fn with_schema(self) -> Result<Self> {
        let input = &self.input;
        let mut fields: Vec<_> =
            input.schema().iter().map(|(from, field)| (from.cloned(), Arc::clone(field))).collect();
        for output in &self.outputs {
            fields.push((None, Arc::new(Field::new(&output.name, output.value.data_type.clone(), true))));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?
            .with_functional_dependencies(input.schema().functional_dependencies().clone())?;
        Ok(Self { schema: Arc::new(schema), ..self })
    }

    /// The node over another input, which has at least the columns of the current one.
    pub(crate) fn with_input(&self, input: LogicalPlan) -> Result<Self> {
        Self { input, ..self.clone() }.with_schema()
    }

    /// The node with other outputs.
    pub(crate) fn with_outputs(&self, outputs: Vec<InferOutput>) -> Result<Self> {
        Self { outputs, ..self.clone() }.with_schema()
    }

    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub(crate) fn model(&self) -> &ModelRef {
        &self.model
    }

    pub(crate) fn image(&self) -> &Column {
        &self.image
    }

    pub(crate) fn guard(&self) -> Option<&Column> {
        self.guard.as_ref()
    }

    pub(crate) fn outputs(&self) -> &[InferOutput] {
        &self.outputs
    }

    /// The columns that the node reads.
    fn columns(&self) -> impl Iterator<Item = &Column> {
        std::iter::once(&self.image).chain(&self.guard).chain(&self.label_column)
    }

    /// Downcasts a plan to an `Infer` node.
    pub(crate) fn from_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Removes unread outputs, also those of `Infer` nodes directly below, and the node itself if none is left. `None` if all outputs are
    /// read.
    pub(crate) fn prune(&self, is_read: &dyn Fn(&str) -> bool) -> Result<Option<LogicalPlan>> {
        let outputs: Vec<_> = self.outputs.iter().filter(|output| is_read(&output.name)).cloned().collect();
        let reads_itself = |name: &str| !outputs.is_empty() && self.columns().any(|column| column.name == name);
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
        Self { input, outputs, ..self.clone() }.with_schema().map(|node| Some(node.into_logical_plan()))
    }

    /// Wraps the node in a [`LogicalPlan::Extension`].
    pub(crate) fn into_logical_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

/// The string column that identifies the image: its URI, a column of the image's table, or the only column of that name.
fn find_label_column(schema: &DFSchema, image: &Column) -> Option<Column> {
    let is_string = |column| schema.field(column).data_type().is_string();
    if schema.index_of_column(image).is_ok_and(is_string) {
        return Some(image.clone());
    }
    URI_COLUMN_NAMES.iter().find_map(|name| {
        let matches = |field: &Field| field.name().eq_ignore_ascii_case(name) && field.data_type().is_string();
        let named: Vec<_> = schema.iter().filter(|(_, field)| matches(field)).collect();
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
        self.columns().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let outputs: Vec<String> = self.outputs.iter().map(ToString::to_string).collect();
        write!(f, "Infer: model={}, image={}", self.model, self.image)?;
        if let Some(guard) = &self.guard {
            write!(f, ", guard={guard}")?;
        }
        write!(f, ", outputs=[{}]", outputs.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("Infer has one input");
        };
        let columns: Option<Vec<Column>> = exprs.iter().map(|expr| expr.try_as_col().cloned()).collect();
        let mut columns = columns.unwrap_or_default().into_iter();
        let Some(image) = columns.next() else {
            return internal_err!("Infer takes columns, got {exprs:?}");
        };
        let guard = self.guard.as_ref().and_then(|_| columns.next());
        let label_column = self.label_column.as_ref().and_then(|_| columns.next());
        if columns.next().is_some()
            || (guard.is_some(), label_column.is_some()) != (self.guard.is_some(), self.label_column.is_some())
        {
            return internal_err!("Infer takes other columns than {exprs:?}");
        }
        Self { input: merge_limits(input), image, guard, label_column, ..self.clone() }.with_schema()
    }

    /// Filters on input columns are pushed below, so that rows they remove are never decoded.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema();
        let mut needed: Vec<usize> =
            output_columns.iter().copied().filter(|&column| column < inputs.fields().len()).collect();
        for column in self.columns() {
            needed.push(inputs.maybe_index_of_column(column)?);
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }

    /// Preserves the number of rows.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// One limit instead of two. DataFusion pushes a copy of the limit above an extension node below it in every pass of the optimizer; the copies
/// would pile up there.
fn merge_limits(plan: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::Limit(outer) = &plan else { return plan };
    let LogicalPlan::Limit(inner) = outer.input.as_ref() else { return plan };
    let (Some(outer_fetch), Some(inner_fetch)) = (fetch_without_skip(outer), fetch_without_skip(inner)) else {
        return plan;
    };
    let fetch = i64::try_from(outer_fetch.min(inner_fetch)).unwrap_or(i64::MAX);
    let merged = Limit { skip: None, fetch: Some(Box::new(lit(fetch))), input: Arc::clone(&inner.input) };
    merge_limits(LogicalPlan::Limit(merged))
}

/// The number of rows of a limit that skips none.
fn fetch_without_skip(limit: &Limit) -> Option<usize> {
    match (limit.get_skip_type().ok()?, limit.get_fetch_type().ok()?) {
        (SkipType::Literal(0), FetchType::Literal(fetch)) => fetch,
        _ => None,
    }
}

/// As in EXPLAIN: some of its formats print extension nodes by `Debug`.
impl fmt::Debug for InferNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

/// Compares everything but the derived schema.
impl PartialOrd for InferNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        fn key(node: &InferNode) -> (&ModelRef, &Column, &Option<Column>, &Option<Column>) {
            (&node.model, &node.image, &node.guard, &node.label_column)
        }
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
