//! [`InferPlanBuilder`]: adds the `Infer` nodes of calls on top of a plan, in dependency order.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::OptimizerConfig;

use super::conditions;
use crate::infer::function::InferFunction;
use crate::infer::{InferNode, InferOutput, OutputSpec};
use crate::model::ModelRef;

/// A call, and the rows for which it is evaluated.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The function that was called.
    pub(super) function: InferFunction,
    /// The call as written in the plan.
    pub(super) expr: Expr,
    pub(super) image: Expr,
    pub(super) model: ModelRef,
    pub(super) value: OutputSpec,
    /// The path condition of each occurrence. Empty if an occurrence is unconditional.
    pub(super) path_conditions: Vec<Vec<Expr>>,
}

/// Calls that become one node.
struct CallGroup {
    image: Expr,
    model: ModelRef,
    /// The node runs on rows that fulfil one of them. Empty: on all rows.
    path_conditions: Vec<Vec<Expr>>,
    calls: Vec<Call>,
}

impl CallGroup {
    fn fails_query(&self) -> bool {
        self.calls.iter().any(|call| call.value.fails_query())
    }

    /// Whether the group can include a call of the same model on the same image without running on more rows or failing for more images.
    fn subsumes(&self, call: &Call) -> bool {
        self.image == call.image
            && self.model == call.model
            && implies(&call.path_conditions, &self.path_conditions)
            && (self.fails_query() || !call.value.fails_query())
    }
}

/// Whether every row that fulfils one of `path_conditions` fulfils one of `others`. Without path conditions, all rows do.
///
/// A path condition implies each of its prefixes.
fn implies(path_conditions: &[Vec<Expr>], others: &[Vec<Expr>]) -> bool {
    let is_implied = |path_condition: &Vec<Expr>| others.iter().any(|prefix| path_condition.starts_with(prefix));
    others.is_empty() || (!path_conditions.is_empty() && path_conditions.iter().all(is_implied))
}

/// A call whose result is a column, and the rows for which the column has a value: all rows if there are no path conditions.
struct MaterializedCall {
    call: Expr,
    column: Column,
    path_conditions: Vec<Vec<Expr>>,
}

/// A plan to which `Infer` nodes are added, and the columns with the results of calls.
pub(super) struct InferPlanBuilder<'a> {
    pub(super) plan: LogicalPlan,
    materialized: Vec<MaterializedCall>,
    config: &'a dyn OptimizerConfig,
}

impl<'a> InferPlanBuilder<'a> {
    pub(super) fn new(plan: LogicalPlan, config: &'a dyn OptimizerConfig) -> Self {
        Self { plan, materialized: Vec::new(), config }
    }

    /// Replaces materialized calls by their columns.
    pub(super) fn replace_calls(&self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| {
            Ok(match self.materialized.iter().find(|materialized| materialized.call == expr) {
                Some(MaterializedCall { column, .. }) => {
                    Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        })
        .map(|expr| expr.data)
    }

    /// Materializes calls that are not materialized yet. Calls whose images and conditions contain no other call come first.
    pub(super) fn materialize(&mut self, calls: Vec<Call>) -> Result<()> {
        let mut pending = Vec::new();
        for call in calls {
            let mut path_conditions = call.path_conditions.clone();
            for condition in path_conditions.iter_mut().flatten() {
                *condition = self.replace_calls(condition.clone())?;
            }
            let is_materialized = self.materialized.iter().any(|materialized| {
                materialized.call == call.expr && implies(&path_conditions, &materialized.path_conditions)
            });
            if !is_materialized {
                pending.push(call);
            }
        }
        // A column without values for some of the rows must not replace the call there, not even in conditions.
        self.materialized.retain(|materialized| pending.iter().all(|call| call.expr != materialized.call));
        while !pending.is_empty() {
            for call in &mut pending {
                call.image = self.replace_calls(call.image.clone())?;
                for condition in call.path_conditions.iter_mut().flatten() {
                    *condition = self.replace_calls(condition.clone())?;
                }
            }
            let is_ready = |call: &Call| {
                !conditions::has_call(&call.image) && !call.path_conditions.iter().flatten().any(conditions::has_call)
            };
            let (ready, waiting): (Vec<Call>, Vec<Call>) = pending.into_iter().partition(is_ready);
            pending = waiting;
            if !ready.is_empty() {
                let mut groups = group_calls(ready);
                // A waiting call joins a group that already runs on its rows, even if its conditions depend on results of the group.
                pending.retain(|call| {
                    let group = groups.iter_mut().find(|group| group.subsumes(call));
                    group.map(|group| group.calls.push(call.clone())).is_none()
                });
                self.add_nodes(groups)?;
            } else if let Some(index) = self.cyclic_dependency(&pending) {
                // Conditions of two calls depend on each other's results: one of the calls is evaluated for all rows.
                pending[index].path_conditions.clear();
            } else {
                // The remaining calls depend on calls that cannot be lifted, and stay in place as well.
                break;
            }
        }
        Ok(())
    }

    /// The index of a call whose conditions contain no calls except pending ones.
    fn cyclic_dependency(&self, pending: &[Call]) -> Option<usize> {
        let is_pending = |expr: &Expr| pending.iter().any(|call| call.expr == *expr);
        let depends_on_pending_only = |condition: &Expr| {
            condition.exists(|expr| Ok(conditions::is_call(expr) && !is_pending(expr))).is_ok_and(|others| !others)
        };
        pending.iter().position(|call| {
            !conditions::has_call(&call.image) && call.path_conditions.iter().flatten().all(depends_on_pending_only)
        })
    }

    /// Adds one node per group, above one projection that computes their guards and images.
    fn add_nodes(&mut self, groups: Vec<CallGroup>) -> Result<()> {
        let mut computed = Vec::new();
        let mut nodes = Vec::new();
        for CallGroup { image, model, path_conditions, calls } in groups {
            let guard = conditions::path_predicate(&path_conditions);
            let (image, guard) = match (image, guard) {
                (Expr::Column(column), guard) => {
                    let guard = guard.map(|guard| self.computed_column("__guard", guard, &mut computed));
                    (qualify(&column, &self.plan)?, guard)
                }
                (image, None) => (self.computed_column("__image", image, &mut computed), None),
                // The guard also protects the computation of the image, which could fail on other rows.
                (image, Some(guard)) => {
                    let guarded = Case::new(None, vec![(Box::new(guard), Box::new(image))], None);
                    (self.computed_column("__image", Expr::Case(guarded), &mut computed), None)
                }
            };
            let mut outputs: Vec<InferOutput> = Vec::new();
            for call in calls {
                let name = match outputs.iter().find(|output| output.value == call.value) {
                    Some(output) => output.name.clone(),
                    None => {
                        let name = self.unused_name("__infer");
                        outputs.push(InferOutput { name: name.clone(), value: call.value });
                        name
                    }
                };
                self.materialized.push(MaterializedCall {
                    call: call.expr,
                    column: Column::new_unqualified(name),
                    path_conditions: path_conditions.clone(),
                });
            }
            nodes.push((image, model, guard, outputs));
        }
        if !computed.is_empty() {
            let columns = self.plan.schema().columns().into_iter().map(Expr::Column);
            let computed = computed.into_iter().map(|(expr, column): (Expr, Column)| expr.alias(column.name));
            let projected: Vec<Expr> = columns.chain(computed).collect();
            self.plan = LogicalPlanBuilder::from(self.plan.clone()).project(projected)?.build()?;
        }
        for (image, model, guard, outputs) in nodes {
            self.plan = InferNode::try_new(self.plan.clone(), model, image, guard, outputs)?.into_logical_plan();
        }
        Ok(())
    }

    /// The column for an expression in the list of columns to compute. Equal expressions share a column.
    fn computed_column(&self, prefix: &str, expr: Expr, computed: &mut Vec<(Expr, Column)>) -> Column {
        if let Some((_, column)) = computed.iter().find(|(other, _)| *other == expr) {
            return column.clone();
        }
        let column = Column::new_unqualified(self.unused_name(prefix));
        computed.push((expr, column.clone()));
        column
    }

    /// A generated name that no column of the plan has.
    fn unused_name(&self, prefix: &str) -> String {
        loop {
            let name = self.config.alias_generator().next(prefix);
            if !self.plan.schema().fields().iter().any(|field| *field.name() == name) {
                return name;
            }
        }
    }
}

/// Groups calls by image and model, unless a call would then fail the query for an invalid image on which it is not evaluated.
fn group_calls(mut calls: Vec<Call>) -> Vec<CallGroup> {
    // Unconditional calls that fail the query subsume all others, so they come first.
    calls.sort_by_key(|call| (!call.path_conditions.is_empty(), !call.value.fails_query()));
    let mut groups: Vec<CallGroup> = Vec::new();
    for call in calls {
        let matching = groups.iter_mut().find(|group| {
            let same_error_mode = group.fails_query() == call.value.fails_query();
            group.subsumes(&call) || (group.image == call.image && group.model == call.model && same_error_mode)
        });
        match matching {
            Some(group) if group.subsumes(&call) => group.calls.push(call),
            Some(group) => {
                group.path_conditions.extend(call.path_conditions.iter().cloned());
                group.calls.push(call);
            }
            None => {
                let (image, model) = (call.image.clone(), call.model.clone());
                let path_conditions = call.path_conditions.clone();
                groups.push(CallGroup { image, model, path_conditions, calls: vec![call] });
            }
        }
    }
    groups
}

/// The column with its relation, as nodes look it up.
fn qualify(column: &Column, input: &LogicalPlan) -> Result<Column> {
    let (relation, field) = input.schema().qualified_field_from_column(column)?;
    Ok(Column::new(relation.cloned(), field.name()))
}
