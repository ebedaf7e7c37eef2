//! [`rewrite_to_input`]: an expression over the columns of a plan node, rewritten over the columns of its input.

use std::cell::Cell;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Projection, SubqueryAlias};

/// Replaces the columns of `expr` by their defining expressions. Columns without a definition are kept.
pub(crate) fn substitute_columns(expr: Expr, definition: &dyn Fn(&Column) -> Option<Expr>) -> Result<Expr> {
    let substituted = expr.transform_down(|expr| {
        let Expr::Column(column) = &expr else {
            return Ok(Transformed::no(expr));
        };
        Ok(match definition(column) {
            // The columns of the definition belong to the input and must not be replaced again.
            Some(definition) => Transformed::new(definition, true, TreeNodeRecursion::Jump),
            None => Transformed::no(expr),
        })
    });
    substituted.data()
}

/// Rewrites `expr` in terms of the input columns. `None` if a column has no defining expression or that expression is volatile.
pub(crate) fn rewrite_to_input(expr: &Expr, definition: impl Fn(&Column) -> Option<Expr>) -> Option<Expr> {
    let is_complete = Cell::new(true);
    let stable_definition = |column: &Column| {
        let stable = definition(column).filter(|definition| !definition.is_volatile());
        is_complete.set(is_complete.get() && stable.is_some());
        stable
    };
    let rewritten = substitute_columns(expr.clone(), &stable_definition).ok()?;
    is_complete.get().then_some(rewritten)
}

/// The expression of a projection that defines an output column, with its alias.
pub(crate) fn projected_expr<'a>(projection: &'a Projection, column: &Column) -> Option<&'a Expr> {
    Some(&projection.expr[projection.schema.maybe_index_of_column(column)?])
}

/// The expression over the input of a projection that defines an output column.
pub(crate) fn projection_input_expr(projection: &Projection, column: &Column) -> Option<Expr> {
    projected_expr(projection, column).map(|expr| expr.clone().unalias())
}

/// The input column of a subquery alias that an output column refers to.
pub(crate) fn alias_input_expr(alias: &SubqueryAlias, column: &Column) -> Option<Expr> {
    let index = alias.schema.maybe_index_of_column(column)?;
    Some(Expr::Column(Column::from(alias.input.schema().qualified_field(index))))
}
