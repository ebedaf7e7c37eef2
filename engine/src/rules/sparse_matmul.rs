//! [`SparseMatMulRule`] makes a product of sparse matrices of a join and its aggregation.

mod aggregate;
mod chain;
mod factor;
mod infallible;
mod side;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, Filter, Join, LogicalPlan, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::operators::sparse_matmul::{SparseMatMul, SparseMatMulNode};
use crate::options::OcelliOptions;

use aggregate::Products;
use chain::{Factor, add_up_first};
use infallible::cannot_fail;
use side::{Inputs, Side};

/// Replaces an aggregation over an inner join by a [`SparseMatMulNode`].
///
/// ```text
/// before                                                    after
/// Aggregate: groupBy=[[a.row, b.col]],                      SparseMatMul: semiring=plus_times, on=[col = row],
///            aggr=[[sum(a.value * b.value)]]                              groups=[row] x [col]
///   Inner Join: a.col = b.row                                 Projection: a.col, a.row, a.value
///     TableScan: a                                              TableScan: a
///     TableScan: b                                            Projection: b.row, b.col, b.value
///                                                               TableScan: b
/// ```
///
/// Applies when each group key is of one table, and each aggregate adds up products of a value of one table and a value of
/// the other. Anything else keeps its join, and the log and EXPLAIN VERBOSE say why. Switch: `ocelli.sparse_matmul`.
#[derive(Debug)]
pub(crate) struct SparseMatMulRule;

impl OptimizerRule for SparseMatMulRule {
    fn name(&self) -> &str {
        "sparse_matmul"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        if !OcelliOptions::of(&config.options()).sparse_matmul {
            return Ok(Transformed::no(plan));
        }
        match recognise(aggregate) {
            Ok(product) => Ok(Transformed::yes(product)),
            Err(Refusal::NoJoin) => Ok(Transformed::no(plan)),
            Err(Refusal::Because(reason)) => {
                log::debug!("no sparse product for {}: {reason}", plan.display());
                Ok(Transformed::no(plan))
            }
            Err(Refusal::Failed(error)) => Err(error),
        }
    }
}

/// Why each aggregation over a join of an optimized plan is none of ours, for EXPLAIN VERBOSE.
pub(crate) fn refusals(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut refusals = Vec::new();
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Aggregate(aggregate) = plan
            && let Err(Refusal::Because(reason)) = recognise(aggregate)
        {
            refusals.push(format!("{}: {reason}", plan.display()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(refusals)
}

/// Why an aggregation is not a product.
#[derive(Debug)]
enum Refusal {
    /// It is not over a join.
    NoJoin,
    /// The kernels do not hold it.
    Because(String),
    Failed(DataFusionError),
}

impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error)
    }
}

fn because<T>(reason: impl fmt::Display) -> Result<T, Refusal> {
    Err(Refusal::Because(reason.to_string()))
}

/// The same rows from a product.
fn recognise(aggregate: &Aggregate) -> Result<LogicalPlan, Refusal> {
    let mut over = OverJoin::find(aggregate)?;
    let join = over.join;
    if join.join_type != JoinType::Inner {
        return because(format!("a {} join keeps rows that meet nothing, or some of one table", join.join_type));
    }
    if join.null_equality != NullEquality::NullEqualsNothing {
        return because("NULLs are equal in its join");
    }
    if join.on.is_empty() {
        return because("its join has no keys that are equal");
    }
    if over.groups.is_empty() {
        return because("it has no GROUP BY");
    }
    over.conditions.extend(join.filter.iter().cloned().flat_map(split_conjunction_owned));
    let inputs = Inputs::new(join);
    let mut left = Side::new(&join.left);
    let mut right = Side::new(&join.right);
    for (left_key, right_key) in &join.on {
        let left_type = left_key.get_type(join.left.schema())?;
        let right_type = right_key.get_type(join.right.schema())?;
        if left_type != right_type {
            return because(format!("its join compares {left_type} with {right_type}"));
        }
        if left_type.is_floating() || left_type.is_nested() {
            return because(format!("its join is on {left_type}"));
        }
        left.keys.push(left_key.clone());
        right.keys.push(right_key.clone());
    }
    // Which input each group is of, in the order of the aggregation.
    let mut groups = Vec::new();
    for group in &over.groups {
        let is_left = match inputs.of(group) {
            Some(is_left) => is_left,
            None => return because(format!("it groups by {group}, which is of both tables or of none")),
        };
        if is_left {
            left.groups.push(group.clone())
        } else {
            right.groups.push(group.clone())
        }
        groups.push(is_left);
    }
    let products = Products::new(aggregate, &over.arguments, &inputs, &mut left, &mut right)?;
    // What is asked of one table is asked before, what is asked of the groups is asked afterwards.
    let mut afterwards = Vec::new();
    for condition in &over.conditions {
        match inputs.of(condition) {
            Some(true) => left.conditions.push(condition.clone()),
            Some(false) => right.conditions.push(condition.clone()),
            None => afterwards.push(over.of_groups(condition)?),
        }
    }
    for (side, expressions) in [(&left, left.expressions()), (&right, right.expressions())] {
        for expression in expressions {
            if !cannot_fail(expression, side.input.schema()) {
                return because(format!("{expression} may fail for rows that its join leaves out"));
            }
        }
    }
    let (keys, left_groups, right_groups) = (join.on.len(), left.groups.len(), right.groups.len());
    let mut factors = products.products.clone();
    let left = add_up_first(left.into_plan()?, keys + left_groups, &mut factors, Factor::Left)?;
    let right = add_up_first(right.into_plan()?, keys + right_groups, &mut factors, Factor::Right)?;
    let matmul = SparseMatMul { keys, left_groups, right_groups, products: factors };
    let schema = products.schema(aggregate, &groups)?;
    let join = products.join(aggregate, &groups);
    let node = SparseMatMulNode::try_new(left, right, matmul, join, schema)?;
    finish(aggregate, node.into_plan(), &products, afterwards)
}

/// The columns of the aggregation, in its order, of the rows that its conditions leave.
fn finish(
    aggregate: &Aggregate,
    product: LogicalPlan,
    products: &Products,
    conditions: Vec<Expr>,
) -> Result<LogicalPlan, Refusal> {
    let mut plan = product;
    if let Some(condition) = conditions.into_iter().reduce(Expr::and) {
        plan = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?);
    }
    let columns: Vec<Expr> = products.columns(aggregate)?;
    let is_all = plan.schema().columns().into_iter().map(Expr::Column).eq(columns.iter().cloned());
    if is_all {
        return Ok(plan);
    }
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(
        columns,
        Arc::new(plan),
        Arc::clone(&aggregate.schema),
    )?))
}

/// An aggregation, by the columns of the join that is below it.
struct OverJoin<'a> {
    aggregate: &'a Aggregate,
    join: &'a Join,
    groups: Vec<Expr>,
    /// Of each aggregate.
    arguments: Vec<Vec<Expr>>,
    /// Filters between the two.
    conditions: Vec<Expr>,
}

impl<'a> OverJoin<'a> {
    fn find(aggregate: &'a Aggregate) -> Result<Self, Refusal> {
        let mut groups = aggregate.group_expr.clone();
        let mut arguments: Vec<Vec<Expr>> = aggregate.aggr_expr.iter().map(aggregate::arguments).collect();
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
        let all = groups.iter().chain(arguments.iter().flatten()).chain(&conditions);
        if let Some(volatile) = all.into_iter().find(|expr| expr.is_volatile()) {
            return because(format!("{volatile} is another value each time"));
        }
        Ok(Self { aggregate, join, groups, arguments, conditions })
    }

    /// A condition on columns of both inputs, by the columns of the groups.
    fn of_groups(&self, condition: &Expr) -> Result<Expr, Refusal> {
        let names = self.aggregate.schema.columns();
        let by_groups = condition.clone().transform_down(|expr| {
            Ok(match self.groups.iter().position(|group| *group == expr) {
                Some(at) => Transformed::yes(Expr::Column(names[at].clone())).with_jump(),
                None => Transformed::no(expr),
            })
        });
        let by_groups = by_groups.data()?;
        let known: HashSet<&Column> = names[..self.groups.len()].iter().collect();
        if by_groups.column_refs().iter().all(|column| known.contains(column)) {
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
                Some(other) => Transformed::yes(other).with_jump(),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    });
    replaced.data()
}

trait Jump {
    /// What was put in is not looked at again.
    fn with_jump(self) -> Self;
}

impl<T> Jump for Transformed<T> {
    fn with_jump(mut self) -> Self {
        self.tnr = TreeNodeRecursion::Jump;
        self
    }
}
