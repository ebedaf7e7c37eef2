//! [`SparseMatMulNode`]: a join and its aggregation as a sparse matrix product.
//!
//! ```text
//! ┌─────┬─────┬───────┐     ┌─────┬─────┬───────┐                     ┌─────┬─────┬───────┐
//! │ key │ row │ value │  x  │ key │ col │ value │ ──SparseMatMul────▶ │ row │ col │ value │
//! └─────┴─────┴───────┘     └─────┴─────┴───────┘                     └─────┴─────┴───────┘
//!       n rows                    m rows            one row for each (row, col) with a common key, in any order
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::spec::{JoinFallback, SparseMatMulSpec};

/// The logical form. Its columns are the left groups, the right groups and the aggregates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SparseMatMulNode {
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    pub(super) spec: SparseMatMulSpec,
    /// The plan to run instead when statistics favour the join.
    pub(super) fallback: Option<JoinFallback>,
    pub(super) schema: DFSchemaRef,
}

impl SparseMatMulNode {
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
        Ok(Self { left: Arc::new(left), right: Arc::new(right), spec, fallback, schema })
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
        vec![&self.left, &self.right]
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
        write!(f, "SparseMatMul: semiring={}, on=[{on}], groups=[{left}] x [{right}]", self.spec.semirings())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("SparseMatMul has two inputs");
        };
        if !exprs.is_empty() {
            return internal_err!("SparseMatMul has no expressions");
        }
        Self::try_new(left, right, self.spec.clone(), self.fallback.clone(), Arc::clone(&self.schema))
    }

    /// All columns of both inputs: the rule projected them to exactly those that are needed.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all = |plan: &LogicalPlan| (0..plan.schema().fields().len()).collect();
        Some(vec![all(&self.left), all(&self.right)])
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
        let key = (&self.spec, &self.left, &self.right, &self.fallback);
        key.partial_cmp(&(&other.spec, &other.left, &other.right, &other.fallback))
    }
}
