//! What a column of a plan is made of, one node further down.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Projection, SubqueryAlias};

/// The expression with what its columns are made of in their place. `None` when one is not known, or another value at every
/// look.
pub(crate) fn made_of(expr: &Expr, below: impl Fn(&Column) -> Option<Expr>) -> Option<Expr> {
    let mut is_known = true;
    let made = expr.clone().transform_up(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        Ok(match below(column) {
            Some(below) if !below.is_volatile() => Transformed::yes(below),
            _ => {
                is_known = false;
                Transformed::no(expr)
            }
        })
    });
    let made = made.ok()?.data;
    is_known.then_some(made)
}

/// What a projection computes for a column.
pub(crate) fn in_projection(projection: &Projection, column: &Column) -> Option<Expr> {
    let made = &projection.expr[projection.schema.maybe_index_of_column(column)?];
    Some(made.clone().unalias())
}

/// The column behind a column of an aliased plan.
pub(crate) fn in_alias(alias: &SubqueryAlias, column: &Column) -> Option<Expr> {
    let at = alias.schema.maybe_index_of_column(column)?;
    Some(Expr::Column(Column::from(alias.input.schema().qualified_field(at))))
}
