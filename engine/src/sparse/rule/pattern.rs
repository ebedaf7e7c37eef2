//! [`OverJoin`]: from an aggregation down to its join.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::aggregate::arguments as arguments_of;
use super::refusal::{Refusal, because};

/// An aggregation, by the columns of the join that is below it.
pub(super) struct OverJoin<'a> {
    aggregate: &'a Aggregate,
    pub(super) join: &'a Join,
    pub(super) groups: Vec<Expr>,
    /// Of each aggregate.
    pub(super) arguments: Vec<Vec<Expr>>,
    /// Filters between the two.
    pub(super) conditions: Vec<Expr>,
}

impl<'a> OverJoin<'a> {
    pub(super) fn find(aggregate: &'a Aggregate) -> Result<Self, Refusal> {
        let mut groups = aggregate.group_expr.clone();
        let mut arguments: Vec<Vec<Expr>> = aggregate.aggr_expr.iter().map(arguments_of).collect();
        let mut conditions = Vec::new();
        let mut plan = aggregate.input.as_ref();
        let join = loop {
            let (next, replace): (_, Box<Replace>) = match plan {
                LogicalPlan::Join(join) => break join,
                LogicalPlan::Projection(projection) => {
                    let of = |column: &Column| {
                        let at = projection.schema.maybe_index_of_column(column)?;
                        Some(projection.expr[at].clone().unalias_nested().data)
                    };
                    (projection.input.as_ref(), Box::new(of))
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let of = |column: &Column| {
                        let at = alias.schema.maybe_index_of_column(column)?;
                        Some(Expr::Column(Column::from(alias.input.schema().qualified_field(at))))
                    };
                    (alias.input.as_ref(), Box::new(of))
                }
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                    plan = filter.input.as_ref();
                    continue;
                }
                _ => return Err(Refusal::NoJoin),
            };
            for expr in groups.iter_mut().chain(arguments.iter_mut().flatten()).chain(&mut conditions) {
                *expr = substitute(expr.clone(), replace.as_ref())?;
            }
            plan = next;
        };
        Ok(Self { aggregate, join, groups, arguments, conditions })
    }

    /// Refuses what has another value each time it is asked for, or one for each row of an outer query.
    pub(super) fn refuse_what_changes(&self) -> Result<(), Refusal> {
        let keys = self.join.on.iter().flat_map(|(left, right)| [left, right]);
        let all = self.groups.iter().chain(self.arguments.iter().flatten()).chain(&self.conditions).chain(keys);
        for expr in all {
            if expr.is_volatile() {
                return because(format!("{expr} is another value each time"));
            }
        }
        // Such a query becomes a join in a later pass, for which it has to be what DataFusion knows.
        match self.aggregate.input.all_out_ref_exprs().first() {
            Some(outer) => because(format!("{outer} is of an outer query")),
            None => Ok(()),
        }
    }

    /// A condition on columns of both inputs, by the columns of the groups.
    pub(super) fn of_groups(&self, condition: &Expr) -> Result<Expr, Refusal> {
        let names = self.aggregate.schema.columns();
        let by_groups = condition.clone().transform_down(|expr| {
            Ok(match self.groups.iter().position(|group| *group == expr) {
                Some(at) => replaced(Expr::Column(names[at].clone())),
                None => Transformed::no(expr),
            })
        });
        let by_groups = by_groups.data()?;
        let known: HashSet<&Column> = names[..self.groups.len()].iter().collect();
        // Floats of one group may differ: -0.0 and 0.0.
        let is_one_value = |column: &Column| {
            let at = names.iter().position(|name| name == column);
            at.is_some_and(|at| {
                let data_type = self.aggregate.schema.field(at).data_type();
                !data_type.is_floating() && !data_type.is_nested()
            })
        };
        if by_groups.column_refs().iter().all(|column| known.contains(column) && is_one_value(column)) {
            return Ok(by_groups);
        }
        because(format!("its join is also on {condition}, which compares more than the groups"))
    }
}

/// What stands for a column.
type Replace<'a> = dyn Fn(&Column) -> Option<Expr> + 'a;

/// An expression with other expressions for its columns.
fn substitute(expr: Expr, replace: &Replace<'_>) -> Result<Expr> {
    let replaced = expr.transform_down(|expr| {
        Ok(match &expr {
            Expr::Column(column) => match replace(column) {
                Some(other) => replaced(other),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    });
    replaced.data()
}

/// What was put in is not looked at again.
fn replaced(expr: Expr) -> Transformed<Expr> {
    Transformed::new(expr, true, TreeNodeRecursion::Jump)
}
