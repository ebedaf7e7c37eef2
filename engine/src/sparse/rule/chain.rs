//! [`pre_aggregate_chain`]: chains of matrices, multiplied pairwise.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::JoinSide;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, cast, lit};

use super::match_sparse_product;
use super::no_match::NoMatch;
use crate::sparse::semiring::{BinaryOp, Monoid};
use crate::sparse::spec::SemiringAggregate;

/// Eager aggregation (Yan and Larson 1995): where one operand of a product is itself a join, aggregates its rows by key
/// and group first, if that is a sparse product too.
///
/// ```text
/// SparseMatMul: a.row x c.col                 SparseMatMul: a.row x c.col
///   Projection: b.col, a.row, a.v * b.v         SparseMatMul: b.col, a.row      (added by `pre_aggregate_chain`)
///     Inner Join: a.col = b.row                   Projection: …a
///   TableScan: c                                  Projection: …b
///                                               TableScan: c
/// ```
///
/// For integers, `SUM(a.v * b.v * c.v)` over both keys equals `SUM(SUM(a.v * b.v) * c.v)`. The columns of `plan` are
/// `num_keys_and_groups` keys and groups, then values; `side` is the operand of `aggregates` that it is.
pub(super) fn pre_aggregate_chain(
    plan: LogicalPlan,
    num_keys_and_groups: usize,
    aggregates: &mut [SemiringAggregate],
    side: JoinSide,
) -> Result<LogicalPlan, NoMatch> {
    if !aggregates.iter().all(is_distributive) {
        return Ok(plan);
    }
    let column = |at: usize| Expr::Column(plan.schema().columns()[at].clone());
    // The value columns of the new plan, with the types to cast them to.
    let mut values: Vec<(Expr, Option<DataType>)> = Vec::new();
    let mut rewritten = aggregates.to_vec();
    for aggregate in &mut rewritten {
        let data_type = aggregate.value_type.clone();
        let operand = if side == JoinSide::Left { &mut aggregate.left } else { &mut aggregate.right };
        let value = match *operand {
            Some(value) => (sum(column(num_keys_and_groups + value)), None),
            // A missing operand is one for every row.
            None if data_type == DataType::Int64 => (count(lit(1_i64)), None),
            None => (count(lit(1_i64)).alias(format!("__sparse_matmul_count_{data_type}")), Some(data_type)),
        };
        let existing = values.iter().position(|other| *other == value);
        *operand = Some(existing.unwrap_or_else(|| {
            values.push(value);
            values.len() - 1
        }));
    }
    let groups = (0..num_keys_and_groups).map(column).collect();
    let sums = values.iter().map(|(sum, _)| sum.clone()).collect();
    let inner = match match_sparse_product(&Aggregate::try_new(Arc::new(plan.clone()), groups, sums)?) {
        Ok(inner) => inner,
        Err(_) => return Ok(plan),
    };
    aggregates.clone_from_slice(&rewritten);
    if values.iter().all(|(_, data_type)| data_type.is_none()) {
        return Ok(inner);
    }
    let columns = inner.schema().columns().into_iter().enumerate().map(|(at, column)| {
        let data_type = at.checked_sub(num_keys_and_groups).and_then(|value| values[value].1.clone());
        let name = column.name.clone();
        match data_type {
            Some(data_type) => cast(Expr::Column(column), data_type).alias(name),
            None => Expr::Column(column),
        }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(inner))?))
}

/// Whether summing one operand first gives the same result, as for products of integers, which wrap around.
///
/// Floats are not distributive: `(3 - 1) * inf` is not `3 * inf - 1 * inf`. Neither are minima and maxima of integers:
/// `a + b` wraps around, so that a smaller `a` may give a larger sum.
fn is_distributive(aggregate: &SemiringAggregate) -> bool {
    matches!(aggregate.value_type, DataType::Int64 | DataType::UInt64)
        && aggregate.output_type == aggregate.value_type
        && (aggregate.add, aggregate.multiply) == (Monoid::Plus, BinaryOp::Times)
}
