//! [`AggregateOverJoin`]: the plan shape that the rule matches.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::aggregate::arguments as arguments_of;
use super::input_columns::step_into_input;
use super::mask::MaskJoin;
use super::no_match::{NoMatch, unsupported};
use crate::plan::substitute_columns;

/// An aggregation over a join, with its expressions rewritten in terms of the columns of the join.
pub(super) struct AggregateOverJoin<'a> {
    aggregate: &'a Aggregate,
    pub(super) join: &'a Join,
    pub(super) groups: Vec<Expr>,
    /// The arguments of each aggregate.
    pub(super) arguments: Vec<Vec<Expr>>,
    /// The conjuncts of filters between the aggregation and the join.
    pub(super) conditions: Vec<Expr>,
    /// The semi-joins and anti-joins between the aggregation and the join.
    pub(super) masks: Vec<MaskJoin<'a>>,
}

impl<'a> AggregateOverJoin<'a> {
    /// Matches projections, aliases, filters, semi-joins and anti-joins down to the join.
    pub(super) fn find(aggregate: &'a Aggregate) -> Result<Self, NoMatch> {
        let mut groups = aggregate.group_expr.clone();
        let mut arguments: Vec<Vec<Expr>> = aggregate.aggr_expr.iter().map(arguments_of).collect();
        let mut conditions = Vec::new();
        let mut masks: Vec<MaskJoin<'a>> = Vec::new();
        let mut plan = aggregate.input.as_ref();
        let join = loop {
            match plan {
                LogicalPlan::Join(join) => match MaskJoin::new(join) {
                    None => break join,
                    Some(mask) => {
                        masks.push(mask);
                        plan = join.left.as_ref();
                        continue;
                    }
                },
                LogicalPlan::Filter(filter) => conditions.extend(split_conjunction_owned(filter.predicate.clone())),
                _ => {}
            }
            let Some((input, definition)) = step_into_input(plan) else {
                return Err(NoMatch::NotAJoin);
            };
            for expr in groups.iter_mut().chain(arguments.iter_mut().flatten()).chain(&mut conditions) {
                *expr = substitute_columns(expr.clone(), definition.as_ref())?;
            }
            for mask in &mut masks {
                mask.substitute(definition.as_ref())?;
            }
            plan = input;
        };
        Ok(Self { aggregate, join, groups, arguments, conditions, masks })
    }

    /// Rejects volatile expressions and references to an outer query.
    pub(super) fn reject_volatile_and_correlated(&self) -> Result<(), NoMatch> {
        let keys = self.join.on.iter().flat_map(|(left, right)| [left, right]);
        let mask_keys = self.masks.iter().flat_map(|mask| &mask.keys);
        let all = self.groups.iter().chain(self.arguments.iter().flatten()).chain(&self.conditions);
        let all = all.chain(keys).chain(mask_keys);
        for expr in all {
            if expr.is_volatile() {
                return unsupported(format!("{expr} is volatile"));
            }
        }
        // DataFusion decorrelates the subquery into a join in a later pass, which does not recognize extension nodes.
        match self.aggregate.input.all_out_ref_exprs().first() {
            Some(outer) => unsupported(format!("{outer} refers to an outer query")),
            None => Ok(()),
        }
    }

    /// Rewrites a condition on columns of both inputs in terms of the group columns.
    pub(super) fn rewrite_to_groups(&self, condition: &Expr) -> Result<Expr, NoMatch> {
        let output_columns = self.aggregate.schema.columns();
        let rewritten = condition.clone().transform_down(|expr| {
            Ok(match self.groups.iter().position(|group| *group == expr) {
                Some(at) => transformed_jump(Expr::Column(output_columns[at].clone())),
                None => Transformed::no(expr),
            })
        });
        let rewritten = rewritten.data()?;
        let group_columns: HashSet<&Column> = output_columns[..self.groups.len()].iter().collect();
        // Floats of one group may differ: -0.0 and 0.0.
        let is_single_valued = |column: &Column| {
            let at = output_columns.iter().position(|other| other == column);
            at.is_some_and(|at| {
                let data_type = self.aggregate.schema.field(at).data_type();
                !data_type.is_floating() && !data_type.is_nested()
            })
        };
        if rewritten.column_refs().iter().all(|column| group_columns.contains(column) && is_single_valued(column)) {
            return Ok(rewritten);
        }
        unsupported(format!("the condition {condition} is on both tables and depends on more than the groups"))
    }
}

/// A transformed expression whose children are not visited.
fn transformed_jump(expr: Expr) -> Transformed<Expr> {
    Transformed::new(expr, true, TreeNodeRecursion::Jump)
}
