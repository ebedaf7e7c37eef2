//! [`SparseMatMulNode`]: a join and its aggregation as a sparse matrix product.
//!
//! ```text
//! ┌─────┬─────┬───────┐     ┌─────┬─────┬───────┐                     ┌─────┬─────┬───────┐
//! │ key │ row │ value │  x  │ key │ col │ value │ ──SparseMatMul────▶ │ row │ col │ value │
//! └─────┴─────┴───────┘     └─────┴─────┴───────┘                     └─────┴─────┴───────┘
//!       n rows                    m rows            one row for each (row, col) with a common key, in any order
//! ```
//!
//! A third input, a mask of `(row, col)`, restricts the output to its rows, or to those that it does not have.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::kernels::MaskKind;
use super::spec::{JoinFallback, SparseMatMulSpec};

/// The logical form. Its columns are the left groups, the right groups and the aggregates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SparseMatMulNode {
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    /// The groups that are kept, or left out: left groups, then right groups.
    mask: Option<Arc<LogicalPlan>>,
    pub(super) spec: SparseMatMulSpec,
    /// The plan to run instead when statistics favour the join.
    pub(super) fallback: Option<JoinFallback>,
    pub(super) schema: DFSchemaRef,
}

impl SparseMatMulNode {
    /// Without a mask, which [`with_mask`](Self::with_mask) adds.
    pub(crate) fn try_new(
        left: LogicalPlan,
        right: LogicalPlan,
        spec: SparseMatMulSpec,
        fallback: Option<JoinFallback>,
        schema: DFSchemaRef,
    ) -> Result<Self> {
        let columns = spec.num_row_groups + spec.num_col_groups + spec.aggregates.len();
        if schema.fields().len() != columns
            || left.schema().fields().len() < spec.num_keys + spec.num_row_groups
            || right.schema().fields().len() < spec.num_keys + spec.num_col_groups
        {
            return internal_err!("SparseMatMul does not match the columns of its inputs: {spec:?}");
        }
        let (left, right) = (Arc::new(left), Arc::new(right));
        Ok(Self { left, right, mask: None, spec: SparseMatMulSpec { mask: None, ..spec }, fallback, schema })
    }

    /// Adds a mask, in place of the former one.
    pub(crate) fn with_mask(mut self, kind: MaskKind, mask: LogicalPlan) -> Result<Self> {
        let types = |plan: &LogicalPlan, from: usize, count: usize| -> Vec<DataType> {
            plan.schema().fields().iter().skip(from).take(count).map(|field| field.data_type().clone()).collect()
        };
        let SparseMatMulSpec { num_keys, num_row_groups, num_col_groups, .. } = self.spec;
        let mut groups = types(&self.left, num_keys, num_row_groups);
        groups.extend(types(&self.right, num_keys, num_col_groups));
        if num_row_groups == 0 || num_col_groups == 0 || types(&mask, 0, mask.schema().fields().len()) != groups {
            return internal_err!("SparseMatMul does not match the columns of its mask: {:?}", self.spec);
        }
        self.spec.mask = Some(kind);
        self.mask = Some(Arc::new(mask));
        Ok(self)
    }

    pub(crate) fn with_fallback(self, fallback: Option<JoinFallback>) -> Self {
        Self { fallback, ..self }
    }

    pub(crate) fn into_logical_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The names of `left` and `right` columns of the inputs, starting at column `from` of each.
    fn column_names(&self, from: usize, left: usize, right: usize) -> (Vec<&str>, Vec<&str>) {
        fn names(plan: &LogicalPlan, from: usize, count: usize) -> Vec<&str> {
            plan.schema().fields().iter().skip(from).take(count).map(|field| field.name().as_str()).collect()
        }
        (names(&self.left, from, left), names(&self.right, from, right))
    }
}

impl UserDefinedLogicalNodeCore for SparseMatMulNode {
    fn name(&self) -> &str {
        "SparseMatMul"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        [&self.left, &self.right].into_iter().chain(&self.mask).map(AsRef::as_ref).collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let SparseMatMulSpec { num_keys, num_row_groups, num_col_groups, .. } = self.spec;
        let (left, right) = self.column_names(0, num_keys, num_keys);
        let on: Vec<String> = left.iter().zip(&right).map(|(left, right)| format!("{left} = {right}")).collect();
        let (left, right) = self.column_names(num_keys, num_row_groups, num_col_groups);
        let (on, left, right) = (on.join(", "), left.join(", "), right.join(", "));
        let mask = self.mask.iter().flat_map(|mask| mask.schema().fields());
        let mask = self.spec.display_mask(&mask.map(|field| field.name().as_str()).collect::<Vec<_>>());
        write!(f, "SparseMatMul: semiring={}, on=[{on}], groups=[{left}] x [{right}]{mask}", self.spec.semirings())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() {
            return internal_err!("SparseMatMul has no expressions");
        }
        let mut inputs = inputs.into_iter();
        let (Some(left), Some(right), mask, None) = (inputs.next(), inputs.next(), inputs.next(), inputs.next()) else {
            return internal_err!("SparseMatMul has two inputs, and a third one for a mask");
        };
        let node = Self::try_new(left, right, self.spec.clone(), self.fallback.clone(), Arc::clone(&self.schema))?;
        match (self.spec.mask, mask) {
            (Some(kind), Some(mask)) => node.with_mask(kind, mask),
            (None, None) => Ok(node),
            _ => internal_err!("SparseMatMul has two inputs, and a third one for a mask"),
        }
    }

    /// All columns of the inputs: the rule projected them to exactly those that are needed.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all = |plan: &LogicalPlan| (0..plan.schema().fields().len()).collect();
        Some(self.inputs().into_iter().map(all).collect())
    }
}

/// The same as in EXPLAIN, some of whose formats print extension nodes with `Debug`.
impl fmt::Debug for SparseMatMulNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

/// Ignores the schema, which is not `PartialOrd`.
impl PartialOrd for SparseMatMulNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = (&self.spec, &self.left, &self.right, &self.mask, &self.fallback);
        key.partial_cmp(&(&other.spec, &other.left, &other.right, &other.mask, &other.fallback))
    }
}
