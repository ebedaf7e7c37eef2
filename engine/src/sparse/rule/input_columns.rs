//! [`step_into_input`]: from a node to its input, with the definitions of its columns.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::plan::{alias_input_expr, projected_expr};

/// The defining expression of a column.
pub(super) type Definition<'a> = dyn Fn(&Column) -> Option<Expr> + 'a;

/// The input of a projection, a subquery alias or a filter, and the definitions of the output columns over it. `None`
/// for other nodes.
pub(super) fn step_into_input(plan: &LogicalPlan) -> Option<(&LogicalPlan, Box<Definition<'_>>)> {
    let (input, definition): (_, Box<Definition<'_>>) = match plan {
        LogicalPlan::Projection(projection) => {
            let definition =
                move |column: &Column| Some(projected_expr(projection, column)?.clone().unalias_nested().data);
            (projection.input.as_ref(), Box::new(definition))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let definition = move |column: &Column| alias_input_expr(alias, column);
            (alias.input.as_ref(), Box::new(definition))
        }
        // The columns are those of the input.
        LogicalPlan::Filter(filter) => (filter.input.as_ref(), Box::new(|_: &Column| None)),
        _ => return None,
    };
    Some((input, definition))
}
