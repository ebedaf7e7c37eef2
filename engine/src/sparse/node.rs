//! [`SparseMatMulNode`]: a join and its aggregation, as a product of sparse matrices.
//!
//! ```text
//! ┌─────┬─────┬───────┐     ┌─────┬─────┬───────┐                     ┌─────┬─────┬───────┐
//! │ key │ row │ value │  x  │ key │ col │ value │ ──SparseMatMul────▶ │ row │ col │ value │
//! └─────┴─────┴───────┘     └─────┴─────┴───────┘                     └─────┴─────┴───────┘
//!       n rows                    m rows            a row for each (row, col) that a key leads to, in any order
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::spec::{Join, SparseMatMul};

/// The logical form. Its columns are the left groups, the right groups and the products.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SparseMatMulNode {
    left: Arc<LogicalPlan>,
    right: Arc<LogicalPlan>,
    pub(super) matmul: SparseMatMul,
    /// The join and its aggregation, for inputs for which these are better.
    pub(super) join: Option<Join>,
    pub(super) schema: DFSchemaRef,
}

impl SparseMatMulNode {
    pub(crate) fn try_new(
        left: LogicalPlan,
        right: LogicalPlan,
        matmul: SparseMatMul,
        join: Option<Join>,
        schema: DFSchemaRef,
    ) -> Result<Self> {
        let columns = matmul.left_groups + matmul.right_groups + matmul.products.len();
        if schema.fields().len() != columns
            || left.schema().fields().len() < matmul.keys + matmul.left_groups
            || right.schema().fields().len() < matmul.keys + matmul.right_groups
        {
            return internal_err!("SparseMatMul of other columns than its inputs have: {matmul:?}");
        }
        Ok(Self { left: Arc::new(left), right: Arc::new(right), matmul, join, schema })
    }

    /// As a node of a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The names of the columns of both inputs from one place on.
    fn names(&self, from: usize, left: usize, right: usize) -> (Vec<&str>, Vec<&str>) {
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
        let SparseMatMul { keys, left_groups, right_groups, .. } = self.matmul;
        let (left, right) = self.names(0, keys, keys);
        let on: Vec<String> = left.iter().zip(&right).map(|(left, right)| format!("{left} = {right}")).collect();
        let (left, right) = self.names(keys, left_groups, right_groups);
        let (on, left, right) = (on.join(", "), left.join(", "), right.join(", "));
        write!(f, "SparseMatMul: semiring={}, on=[{on}], groups=[{left}] x [{right}]", self.matmul.semirings())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("SparseMatMul has two inputs");
        };
        if !exprs.is_empty() {
            return internal_err!("SparseMatMul has no expressions");
        }
        Self::try_new(left, right, self.matmul.clone(), self.join.clone(), Arc::clone(&self.schema))
    }

    /// All of both inputs: the rule that made the node took nothing else in.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all = |plan: &LogicalPlan| (0..plan.schema().fields().len()).collect();
        Some(vec![all(&self.left), all(&self.right)])
    }
}

/// As in EXPLAIN: some of its formats print nodes they do not know in this way.
impl fmt::Debug for SparseMatMulNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

/// By everything but the schema, which DataFusion does not order.
impl PartialOrd for SparseMatMulNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = (&self.matmul, &self.left, &self.right, &self.join);
        key.partial_cmp(&(&other.matmul, &other.left, &other.right, &other.join))
    }
}
