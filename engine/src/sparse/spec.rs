//! [`SparseMatMulSpec`]: what a sparse matrix product computes, shared by the logical node and the operator.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;

use super::kernels::MaskKind;
use super::semiring::{BinaryOp, Monoid};

/// The key, group and value columns of both inputs, and the aggregates over the values.
///
/// The columns of each input are its keys, its groups and its values, in this order. As a matrix product, the keys are
/// the inner (contracted) dimension, the left groups the output rows, and the right groups the output columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct SparseMatMulSpec {
    /// Number of equi-join key columns of each input.
    pub(crate) num_keys: usize,
    /// Number of group columns of the left input.
    pub(crate) num_row_groups: usize,
    /// Number of group columns of the right input.
    pub(crate) num_col_groups: usize,
    pub(crate) aggregates: Vec<SemiringAggregate>,
    /// What the rows of the mask mean, if there is one. Its columns are the left groups and the right groups.
    pub(crate) mask: Option<MaskKind>,
}

/// One aggregate over the joined row pairs, as a product over a semiring.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct SemiringAggregate {
    pub(crate) add: Monoid,
    /// The operator between both operands. Never `First`, `Second` or `Pair`: these are a missing operand, see
    /// [`op`](Self::op).
    pub(crate) multiply: BinaryOp,
    /// Index of the left operand among the value columns of the left input. Without one, the operand is one for every
    /// row (an iso-valued matrix).
    pub(crate) left: Option<usize>,
    /// The same of the right input.
    pub(crate) right: Option<usize>,
    /// The type of both operands and of their product.
    pub(crate) value_type: DataType,
    /// The type of the aggregate.
    pub(crate) output_type: DataType,
}

/// The join and its aggregation that a product replaces, for inputs on which these are cheaper.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct JoinFallback {
    pub(crate) plan: Arc<LogicalPlan>,
    /// The column of `plan` for each output column of the product.
    pub(crate) projection: Vec<usize>,
}

impl SparseMatMulSpec {
    /// The semirings by their GraphBLAS names, as in EXPLAIN.
    pub(super) fn semirings(&self) -> String {
        match self.aggregates.as_slice() {
            [aggregate] => aggregate.to_string(),
            several => format!("[{}]", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    }

    /// The mask as in EXPLAIN, given the names of its columns. Empty without a mask.
    pub(super) fn display_mask(&self, columns: &[&str]) -> String {
        let columns = columns.join(", ");
        match self.mask {
            None => String::new(),
            Some(MaskKind::Structural) => format!(", mask=[{columns}]"),
            Some(MaskKind::Complemented) => format!(", mask=not [{columns}]"),
        }
    }
}

impl SemiringAggregate {
    /// `plus_pair`: the number of joined row pairs.
    pub(crate) fn plus_pair() -> Self {
        Self {
            add: Monoid::Plus,
            multiply: BinaryOp::Times,
            left: None,
            right: None,
            value_type: DataType::Int64,
            output_type: DataType::Int64,
        }
    }

    /// The multiplicative operator by its GraphBLAS meaning: a missing operand makes it `First`, `Second` or `Pair`.
    fn op(&self) -> BinaryOp {
        match (self.left, self.right) {
            (Some(_), None) => BinaryOp::First,
            (None, Some(_)) => BinaryOp::Second,
            (None, None) => BinaryOp::Pair,
            (Some(_), Some(_)) => self.multiply,
        }
    }
}

/// The semiring by its GraphBLAS name.
impl fmt::Display for SemiringAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.add.name(), self.op().name())
    }
}
