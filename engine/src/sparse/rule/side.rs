//! [`OperandProjection`]: what a product reads from one input of a join.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef, JoinSide};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, Projection};

use crate::plan::join_with_inputs;

/// The schemas of both inputs of a join.
pub(super) struct JoinSchemas<'a> {
    left: &'a DFSchemaRef,
    right: &'a DFSchemaRef,
}

impl<'a> JoinSchemas<'a> {
    pub(super) fn new(join: &'a Join) -> Self {
        Self { left: join.left.schema(), right: join.right.schema() }
    }

    /// The side, left or right, that all columns of an expression come from. `None` when it has no columns or columns
    /// of both.
    pub(super) fn side_of(&self, expr: &Expr) -> Option<JoinSide> {
        let columns = expr.column_refs();
        if columns.is_empty() || expr.contains_outer() {
            return None;
        }
        let has_all =
            |schema: &DFSchemaRef| columns.iter().all(|column| schema.maybe_index_of_column(column).is_some());
        match (has_all(self.left), has_all(self.right)) {
            (true, false) => Some(JoinSide::Left),
            (false, true) => Some(JoinSide::Right),
            _ => None,
        }
    }
}

/// The projection of one join input to an operand: keys, groups and values, in this order.
pub(super) struct OperandProjection<'a> {
    pub(super) input: &'a Arc<LogicalPlan>,
    pub(super) keys: Vec<Expr>,
    pub(super) groups: Vec<Expr>,
    pub(super) values: Vec<Expr>,
    /// Filters on the rows of the input.
    pub(super) conditions: Vec<Expr>,
    /// Semi-joins and anti-joins that filter the rows of the input, each with its keys of the input.
    pub(super) semi_joins: Vec<(&'a Join, Vec<Expr>)>,
}

impl<'a> OperandProjection<'a> {
    pub(super) fn new(input: &'a Arc<LogicalPlan>) -> Self {
        Self {
            input,
            keys: Vec::new(),
            groups: Vec::new(),
            values: Vec::new(),
            conditions: Vec::new(),
            semi_joins: Vec::new(),
        }
    }

    /// The index of a value column, which is added unless there is an equal one.
    pub(super) fn value_index(&mut self, value: Expr) -> usize {
        self.values.iter().position(|other| *other == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }

    /// The expressions that are evaluated for all rows, also for those without a match in the join.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let semi_join_keys = self.semi_joins.iter().flat_map(|(_, keys)| keys);
        self.keys.iter().chain(&self.groups).chain(&self.values).chain(semi_join_keys)
    }

    pub(super) fn into_logical_plan(self) -> Result<LogicalPlan> {
        let mut plan = Arc::clone(self.input);
        if let Some(condition) = self.conditions.into_iter().reduce(Expr::and) {
            plan = Arc::new(LogicalPlan::Filter(Filter::try_new(condition, plan)?));
        }
        for (join, keys) in self.semi_joins {
            let on = keys.into_iter().zip(&join.on).map(|(left, (_, right))| (left, right.clone())).collect();
            let semi_join = join_with_inputs(join, plan, Arc::clone(&join.right), on, None)?;
            plan = Arc::new(LogicalPlan::Join(semi_join));
        }
        let mut used_columns: Vec<Column> = Vec::new();
        let columns =
            self.keys.into_iter().chain(self.groups).chain(self.values).enumerate().map(|(at, expr)| match expr {
                Expr::Column(column) if !used_columns.iter().any(|other| other.name == column.name) => {
                    used_columns.push(column.clone());
                    Expr::Column(column)
                }
                // A distinct name, also for a column that is both a key and a group.
                other => {
                    let name = other.schema_name().to_string();
                    other.alias(format!("{name}#{at}"))
                }
            });
        Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), plan)?))
    }
}
