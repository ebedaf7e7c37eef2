//! [`SparseMatMul`]: what a sparse product computes, for the logical node and the operator alike.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::semiring_dispatch::Product;

/// What to compute: which columns of two inputs are keys, groups and values, and the products of the values.
///
/// The columns of each input are its keys, its groups and its values, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct SparseMatMul {
    /// Columns of each input that have to be equal.
    pub(crate) keys: usize,
    pub(crate) left_groups: usize,
    pub(crate) right_groups: usize,
    pub(crate) products: Vec<Product>,
}

/// A plan with the rows of a product.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct Join {
    pub(crate) plan: Arc<LogicalPlan>,
    /// Which of its columns each column of the product is.
    pub(crate) columns: Vec<usize>,
}

impl SparseMatMul {
    /// The semirings, by their GraphBLAS names.
    pub(super) fn semirings(&self) -> String {
        match self.products.as_slice() {
            [product] => product.to_string(),
            several => format!("[{}]", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}
