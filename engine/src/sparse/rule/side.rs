//! [`Side`]: what a product takes from one input of a join.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, Projection};

/// The columns of both inputs.
pub(super) struct Inputs<'a> {
    left: &'a DFSchemaRef,
    right: &'a DFSchemaRef,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(join: &'a Join) -> Self {
        Self { left: join.left.schema(), right: join.right.schema() }
    }

    /// Whether all columns of an expression are of the left input, or of the right one. None when it has none, or of both.
    pub(super) fn of(&self, expr: &Expr) -> Option<bool> {
        let columns = expr.column_refs();
        if columns.is_empty() || expr.contains_outer() {
            return None;
        }
        let all = |schema: &DFSchemaRef| columns.iter().all(|column| schema.maybe_index_of_column(column).is_some());
        match (all(self.left), all(self.right)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

/// What is computed of each row of one input before the product: keys, groups and values, in this order.
pub(super) struct Side<'a> {
    pub(super) input: &'a Arc<LogicalPlan>,
    pub(super) keys: Vec<Expr>,
    pub(super) groups: Vec<Expr>,
    pub(super) values: Vec<Expr>,
    /// Which rows take part.
    pub(super) conditions: Vec<Expr>,
}

impl<'a> Side<'a> {
    pub(super) fn new(input: &'a Arc<LogicalPlan>) -> Self {
        Self { input, keys: Vec::new(), groups: Vec::new(), values: Vec::new(), conditions: Vec::new() }
    }

    /// The place of a value; equal values have one.
    pub(super) fn value(&mut self, value: Expr) -> usize {
        self.values.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }

    /// All that is computed of rows which the join may leave out.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.keys.iter().chain(&self.groups).chain(&self.values)
    }

    /// A projection to the columns.
    pub(super) fn into_plan(self) -> Result<LogicalPlan> {
        let mut plan = Arc::clone(self.input);
        if let Some(condition) = self.conditions.into_iter().reduce(Expr::and) {
            plan = Arc::new(LogicalPlan::Filter(Filter::try_new(condition, plan)?));
        }
        let mut taken: Vec<Column> = Vec::new();
        let columns =
            self.keys.into_iter().chain(self.groups).chain(self.values).enumerate().map(|(at, expr)| match expr {
                Expr::Column(column) if !taken.iter().any(|other| other.name == column.name) => {
                    taken.push(column.clone());
                    Expr::Column(column)
                }
                // A column of its own, also where the same is a key and a group.
                other => {
                    let name = other.schema_name().to_string();
                    other.alias(format!("{name}#{at}"))
                }
            });
        Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), plan)?))
    }
}
