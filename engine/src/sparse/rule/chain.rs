//! [`add_up_first`]: a chain of matrices, two at a time.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, cast, lit};

use super::recognise;
use super::refusal::Refusal;
use crate::sparse::semiring_dispatch::{Adding, Multiplying, Product};

/// Which factor of the products a plan has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    Left,
    Right,
}

impl Factor {
    fn of(self, product: &mut Product) -> &mut Option<usize> {
        match self {
            Self::Left => &mut product.left,
            Self::Right => &mut product.right,
        }
    }
}

/// Where one input of a product is a join, adds up the rows of the same keys and groups first, if that is a product too.
///
/// ```text
/// SparseMatMul: a.row x c.col                 SparseMatMul: a.row x c.col
///   Projection: b.col, a.row, a.v * b.v         SparseMatMul: b.col, a.row      (the one that `add_up_first` adds)
///     Inner Join: a.col = b.row                   Projection: …a
///   TableScan: c                                  Projection: …b
///                                               TableScan: c
/// ```
///
/// `a.v * b.v * c.v` summed over both keys is the same as `SUM(a.v * b.v) * c.v` summed over one, of whole numbers. The columns of the plan are `named` keys and groups,
/// and values.
pub(super) fn add_up_first(
    plan: LogicalPlan,
    named: usize,
    products: &mut [Product],
    factor: Factor,
) -> Result<LogicalPlan, Refusal> {
    if !products.iter().all(distributes) {
        return Ok(plan);
    }
    let column = |at: usize| Expr::Column(plan.schema().columns()[at].clone());
    // Values of the new plan, with the types that they have to have.
    let mut values: Vec<(Expr, Option<DataType>)> = Vec::new();
    let mut changed = products.to_vec();
    for product in &mut changed {
        let data_type = product.value_type.clone();
        let value = factor.of(product);
        let added = match *value {
            Some(value) => (sum(column(named + value)), None),
            // Without a value, each row counts once.
            None if data_type == DataType::Int64 => (count(lit(1_i64)), None),
            None => (count(lit(1_i64)).alias(format!("__sparse_matmul_count_{data_type}")), Some(data_type)),
        };
        let known = values.iter().position(|known| *known == added);
        *value = Some(known.unwrap_or_else(|| {
            values.push(added);
            values.len() - 1
        }));
    }
    let groups = (0..named).map(column).collect();
    let sums = values.iter().map(|(sum, _)| sum.clone()).collect();
    let added = match recognise(&Aggregate::try_new(Arc::new(plan.clone()), groups, sums)?) {
        Ok(added) => added,
        Err(_) => return Ok(plan),
    };
    products.clone_from_slice(&changed);
    if values.iter().all(|(_, data_type)| data_type.is_none()) {
        return Ok(added);
    }
    let columns = added.schema().columns().into_iter().enumerate().map(|(at, column)| {
        let data_type = at.checked_sub(named).and_then(|value| values[value].1.clone());
        let name = column.name.clone();
        match data_type {
            Some(data_type) => cast(Expr::Column(column), data_type).alias(name),
            None => Expr::Column(column),
        }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(added))?))
}

/// Whether adding up one factor first gives the same: sums of products of whole numbers do, which wrap around.
///
/// Floats do not: `(3 - 1) * inf` is not `3 * inf - 1 * inf`. Neither do minima and maxima, which DataFusion starts at the largest
/// number: a minimum of infinities is that.
fn distributes(product: &Product) -> bool {
    matches!(product.value_type, DataType::Int64 | DataType::UInt64)
        && product.output_type == product.value_type
        && (product.adding, product.multiplying) == (Adding::Sum, Multiplying::Times)
}
