//! [`SparseMatMulRule`] makes a product of sparse matrices of a join and its aggregation.

mod aggregate;
mod chain;
mod factor;
mod pattern;
mod refusal;
mod side;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, PlanType, Projection, StringifiedPlan,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::node::SparseMatMulNode;
use super::spec::SparseMatMul;
use crate::options::OcelliOptions;
use crate::plan::cannot_fail;

use aggregate::Products;
use chain::{Factor, add_up_first};
use pattern::OverJoin;
use refusal::{Refusal, because};
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
        }
    }
}

/// EXPLAIN VERBOSE with a line for each join that the rule `sparse_matmul` left alone; None for anything else.
pub(crate) fn explain_refusals(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Explain(explain) = plan else {
        return Ok(None);
    };
    let refusals = if explain.verbose { refusals(&explain.plan)? } else { Vec::new() };
    if refusals.is_empty() {
        return Ok(None);
    }
    let mut explain = explain.clone();
    let optimizer_name = "sparse_matmul (left alone)".to_owned();
    explain.stringified_plans.extend(refusals.into_iter().map(|refusal| {
        StringifiedPlan::new(PlanType::OptimizedLogicalPlan { optimizer_name: optimizer_name.clone() }, refusal)
    }));
    Ok(Some(LogicalPlan::Explain(explain)))
}

/// Why each aggregation over a join of an optimized plan is none of ours.
fn refusals(plan: &LogicalPlan) -> Result<Vec<String>> {
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

/// The same rows from a product.
fn recognise(aggregate: &Aggregate) -> Result<LogicalPlan, Refusal> {
    let mut over = OverJoin::find(aggregate)?;
    let join = over.join;
    if join.join_type != JoinType::Inner {
        let kind = join.join_type.to_string().to_uppercase();
        return because(format!("a {kind} join keeps rows that meet nothing, or some of one table"));
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
    over.refuse_what_changes()?;
    let inputs = Inputs::new(join);
    let mut left = Side::new(&join.left);
    let mut right = Side::new(&join.right);
    for (left_key, right_key) in &join.on {
        let left_type = left_key.get_type(join.left.schema())?;
        let right_type = right_key.get_type(join.right.schema())?;
        if left_type != right_type {
            return because(format!("its join compares {left_type} with {right_type}"));
        }
        if left_type.is_null() {
            return because("its join is on NULL");
        }
        if left_type.is_floating() || left_type.is_nested() {
            return because(format!("its join is on {left_type}, whose equal values may have different bits"));
        }
        left.keys.push(left_key.clone());
        right.keys.push(right_key.clone());
    }
    // Which input each group is of, in the order of the aggregation.
    let mut groups = Vec::new();
    for group in &over.groups {
        let is_left = match inputs.of(group) {
            Some(is_left) => is_left,
            None => return because(format!("it groups by {group}, which is not of one table alone")),
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
