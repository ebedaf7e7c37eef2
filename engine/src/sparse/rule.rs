//! [`FuseSparseMatMul`] rewrites an aggregation over a join to a sparse matrix product.

mod aggregate;
mod chain;
mod factor;
mod input_columns;
mod mask;
mod no_match;
mod pattern;
mod side;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, PlanType, Projection, StringifiedPlan,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::node::SparseMatMulNode;
use super::spec::SparseMatMulSpec;
use crate::options::OcelliOptions;
use crate::plan::is_infallible;

use aggregate::SemiringAggregates;
use chain::pre_aggregate_chain;
use mask::{MaskJoin, match_mask};
use no_match::{NoMatch, unsupported};
use pattern::AggregateOverJoin;
use side::{JoinSchemas, OperandProjection};

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
/// Applies when each group key comes from one table, and each aggregate reduces products of a value of one table and a
/// value of the other. A semi-join or an anti-join on all groups, below or above the aggregation, becomes the mask of
/// the product. Otherwise the join is kept, and the log and EXPLAIN VERBOSE report the reason. Switch:
/// `ocelli.sparse_matmul`.
#[derive(Debug)]
pub(crate) struct FuseSparseMatMul;

impl OptimizerRule for FuseSparseMatMul {
    fn name(&self) -> &str {
        "sparse_matmul"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !OcelliOptions::from_config(&config.options()).sparse_matmul {
            return Ok(Transformed::no(plan));
        }
        match match_node(&plan) {
            Ok(product) => Ok(Transformed::yes(product)),
            Err(NoMatch::NotAJoin) => Ok(Transformed::no(plan)),
            Err(NoMatch::Unsupported(reason)) => {
                log::debug!("sparse_matmul is not applied to {}: {reason}", plan.display());
                Ok(Transformed::no(plan))
            }
        }
    }
}

/// Rewrites an aggregation over a join, or a semi-join over a product.
fn match_node(plan: &LogicalPlan) -> Result<LogicalPlan, NoMatch> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => match_sparse_product(aggregate),
        LogicalPlan::Join(join) => match_mask(join),
        _ => Err(NoMatch::NotAJoin),
    }
}

/// Adds a row to EXPLAIN VERBOSE for each join that the rule `sparse_matmul` did not rewrite. `None` for any other
/// plan.
pub(crate) fn annotate_explain(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Explain(explain) = plan else {
        return Ok(None);
    };
    let missed = if explain.verbose { missed_products(&explain.plan)? } else { Vec::new() };
    if missed.is_empty() {
        return Ok(None);
    }
    let mut explain = explain.clone();
    let optimizer_name = "sparse_matmul (not applied)".to_owned();
    explain.stringified_plans.extend(missed.into_iter().map(|reason| {
        StringifiedPlan::new(PlanType::OptimizedLogicalPlan { optimizer_name: optimizer_name.clone() }, reason)
    }));
    Ok(Some(LogicalPlan::Explain(explain)))
}

/// The aggregations over a join and semi-joins over a product that remain in an optimized plan, each with the reason.
fn missed_products(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    plan.apply_with_subqueries(|plan| {
        if let Err(NoMatch::Unsupported(reason)) = match_node(plan) {
            missed.push(format!("{}: {reason}", plan.display()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(missed)
}

/// Rewrites an aggregation to a sparse product with the same rows.
fn match_sparse_product(aggregate: &Aggregate) -> Result<LogicalPlan, NoMatch> {
    let mut pattern = AggregateOverJoin::find(aggregate)?;
    let join = pattern.join;
    if join.join_type != JoinType::Inner {
        let kind = join.join_type.to_string().to_uppercase();
        return unsupported(format!("{kind} JOIN is not supported: only an INNER join drops unmatched rows"));
    }
    if join.null_equality != NullEquality::NullEqualsNothing {
        return unsupported("the join treats NULL keys as equal");
    }
    if join.on.is_empty() {
        return unsupported("the join has no equality condition");
    }
    if pattern.groups.is_empty() {
        return unsupported("the aggregation has no GROUP BY");
    }
    pattern.conditions.extend(join.filter.iter().cloned().flat_map(split_conjunction_owned));
    pattern.reject_volatile_and_correlated()?;
    let schemas = JoinSchemas::new(join);
    let mut left = OperandProjection::new(&join.left);
    let mut right = OperandProjection::new(&join.right);
    for (left_key, right_key) in &join.on {
        let left_type = left_key.get_type(join.left.schema())?;
        let right_type = right_key.get_type(join.right.schema())?;
        if left_type != right_type {
            return unsupported(format!("the join compares {left_type} with {right_type}"));
        }
        if left_type.is_null() {
            return unsupported("the join key is always NULL");
        }
        if left_type.is_nested() {
            return unsupported(format!("the join key is {left_type}, whose equal values may have different bits"));
        }
        left.keys.push(left_key.clone());
        right.keys.push(right_key.clone());
    }
    // The side of each group, in the order of the aggregation.
    let mut group_sides = Vec::new();
    for group in &pattern.groups {
        let Some(side) = schemas.side_of(group) else {
            return unsupported(format!("the group key {group} does not come from one table alone"));
        };
        let operand = if side == JoinSide::Left { &mut left } else { &mut right };
        operand.groups.push(group.clone());
        group_sides.push(side);
    }
    // A semi-join on one side filters that operand, one on both sides is the mask.
    let mut mask: Option<&MaskJoin<'_>> = None;
    for semi_join in &pattern.masks {
        semi_join.check_condition()?;
        let operand = match semi_join.side(&schemas) {
            Some(JoinSide::Left) => &mut left,
            Some(_) => &mut right,
            None if mask.is_some() => return unsupported("several semi-joins are on columns of both tables"),
            None => {
                mask = Some(semi_join);
                continue;
            }
        };
        operand.semi_joins.push((semi_join.join, semi_join.keys.clone()));
    }
    let semirings = SemiringAggregates::new(aggregate, &pattern.arguments, &schemas, &mut left, &mut right)?;
    // Conditions on one side are pushed below the product, conditions on the groups stay above it.
    let mut post_filters = Vec::new();
    for condition in &pattern.conditions {
        match schemas.side_of(condition) {
            Some(JoinSide::Left) => left.conditions.push(condition.clone()),
            Some(_) => right.conditions.push(condition.clone()),
            None => post_filters.push(pattern.rewrite_to_groups(condition)?),
        }
    }
    for (operand, expressions) in [(&left, left.expressions()), (&right, right.expressions())] {
        for expression in expressions {
            if !is_infallible(expression, operand.input.schema()) {
                return unsupported(format!("{expression} may fail on rows that the join drops"));
            }
        }
    }
    let (num_keys, num_row_groups, num_col_groups) = (join.on.len(), left.groups.len(), right.groups.len());
    let groups = [left.groups.as_slice(), &right.groups].concat();
    let mut aggregates = semirings.aggregates.clone();
    let (left, right) = (left.into_logical_plan()?, right.into_logical_plan()?);
    let left = pre_aggregate_chain(left, num_keys + num_row_groups, &mut aggregates, JoinSide::Left)?;
    let right = pre_aggregate_chain(right, num_keys + num_col_groups, &mut aggregates, JoinSide::Right)?;
    let spec = SparseMatMulSpec { num_keys, num_row_groups, num_col_groups, aggregates, mask: None };
    let schema = semirings.output_schema(aggregate, &group_sides)?;
    let fallback = semirings.join_fallback(aggregate, &group_sides);
    let mut node = SparseMatMulNode::try_new(left, right, spec, fallback, schema)?;
    if let Some(mask) = mask {
        node = mask.apply(node, &groups)?;
    }
    restore_output(aggregate, node.into_logical_plan(), &semirings, post_filters)
}

/// Filters the groups, and projects the product to the columns of the aggregation.
fn restore_output(
    aggregate: &Aggregate,
    product: LogicalPlan,
    semirings: &SemiringAggregates,
    post_filters: Vec<Expr>,
) -> Result<LogicalPlan, NoMatch> {
    let mut plan = product;
    if let Some(condition) = post_filters.into_iter().reduce(Expr::and) {
        plan = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?);
    }
    let columns: Vec<Expr> = semirings.output_exprs(aggregate)?;
    let is_identity = plan.schema().columns().into_iter().map(Expr::Column).eq(columns.iter().cloned());
    if is_identity {
        return Ok(plan);
    }
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(
        columns,
        Arc::new(plan),
        Arc::clone(&aggregate.schema),
    )?))
}
