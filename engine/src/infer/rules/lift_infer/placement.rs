//! [`Placer`] puts the nodes of a plan's calls below it, one after the other.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::OptimizerConfig;

use super::conditions;
use crate::infer::{InferNode, InferOutput, OutputSpec};
use crate::model::ModelRef;

/// A call, and for which rows it is wanted.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// As it stands in the plan.
    pub(super) expr: Expr,
    pub(super) image: Expr,
    pub(super) model: ModelRef,
    pub(super) value: OutputSpec,
    /// The conditions on each way to it; none when one of the ways has no condition.
    pub(super) paths: Vec<Vec<Expr>>,
}

/// Calls that become one node.
struct Bucket {
    image: Expr,
    model: ModelRef,
    /// The rows that its calls are wanted for together; none for all rows.
    paths: Vec<Vec<Expr>>,
    calls: Vec<Call>,
}

impl Bucket {
    fn fails_query(&self) -> bool {
        self.calls.iter().any(|call| call.value.fails_query())
    }

    /// Whether a call is about the same images of no other rows, and fails for no others.
    fn covers(&self, call: &Call) -> bool {
        self.image == call.image
            && self.model == call.model
            && cover(&self.paths, &call.paths)
            && (self.fails_query() || !call.value.fails_query())
    }
}

/// Whether all rows of some paths are among those of others.
fn cover(paths: &[Vec<Expr>], others: &[Vec<Expr>]) -> bool {
    let is_covered = |other: &Vec<Expr>| paths.iter().any(|path| other.starts_with(path));
    paths.is_empty() || (!others.is_empty() && others.iter().all(is_covered))
}

/// A call that is a column, and for which rows it has a value; all rows when there are no paths.
struct Known {
    call: Expr,
    column: Column,
    paths: Vec<Vec<Expr>>,
}

/// A plan that grows upwards, and the columns in it that have the values of calls.
pub(super) struct Placer<'a> {
    pub(super) plan: LogicalPlan,
    columns: Vec<Known>,
    config: &'a dyn OptimizerConfig,
}

impl<'a> Placer<'a> {
    pub(super) fn new(plan: LogicalPlan, config: &'a dyn OptimizerConfig) -> Self {
        Self { plan, columns: Vec::new(), config }
    }

    /// The expression with columns for calls.
    pub(super) fn replace(&self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| {
            Ok(match self.columns.iter().find(|known| known.call == expr) {
                Some(Known { column, .. }) => {
                    Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        })
        .map(|expr| expr.data)
    }

    /// Makes columns of the calls that are none yet: those first whose images and conditions need no other of them.
    pub(super) fn add(&mut self, calls: Vec<Call>) -> Result<()> {
        let mut pending = Vec::new();
        for call in calls {
            let mut paths = call.paths.clone();
            for condition in paths.iter_mut().flatten() {
                *condition = self.replace(condition.clone())?;
            }
            if !self.columns.iter().any(|known| known.call == call.expr && cover(&known.paths, &paths)) {
                pending.push(call);
            }
        }
        // A column that lacks the values of some rows must not stand for the call there, in conditions neither.
        self.columns.retain(|known| pending.iter().all(|call| call.expr != known.call));
        while !pending.is_empty() {
            for call in &mut pending {
                call.image = self.replace(call.image.clone())?;
                for condition in call.paths.iter_mut().flatten() {
                    *condition = self.replace(condition.clone())?;
                }
            }
            let is_ready = |call: &Call| {
                !conditions::has_call(&call.image) && !call.paths.iter().flatten().any(conditions::has_call)
            };
            let (ready, waiting): (Vec<Call>, Vec<Call>) = pending.into_iter().partition(is_ready);
            pending = waiting;
            if !ready.is_empty() {
                let mut buckets = buckets(ready);
                // What is wanted of some of a bucket's rows, by results of the bucket even, costs no second pass.
                pending.retain(|call| {
                    let bucket = buckets.iter_mut().find(|bucket| bucket.covers(call));
                    bucket.map(|bucket| bucket.calls.push(call.clone())).is_none()
                });
                self.place(buckets)?;
            } else if let Some(waiting) = self.waits_for_another(&pending) {
                // Two calls wait for each other's results: one is made for all rows.
                pending[waiting].paths.clear();
            } else {
                // They wait for calls that stay where they are, and stay there too.
                break;
            }
        }
        Ok(())
    }

    /// A call with conditions that wait for no other calls than those.
    fn waits_for_another(&self, pending: &[Call]) -> Option<usize> {
        let is_pending = |expr: &Expr| pending.iter().any(|call| call.expr == *expr);
        let waits_for_pending = |condition: &Expr| {
            condition.exists(|expr| Ok(conditions::is_call(expr) && !is_pending(expr))).is_ok_and(|others| !others)
        };
        pending
            .iter()
            .position(|call| !conditions::has_call(&call.image) && call.paths.iter().flatten().all(waits_for_pending))
    }

    /// Puts a node on the plan for each bucket.
    fn place(&mut self, buckets: Vec<Bucket>) -> Result<()> {
        let mut computed = Vec::new();
        let mut nodes = Vec::new();
        for Bucket { image, model, paths, calls } in buckets {
            let guard = conditions::guard(&paths);
            let (image, guard) = match (image, guard) {
                (Expr::Column(column), guard) => {
                    let guard = guard.map(|guard| self.column("__guard", guard, &mut computed));
                    (qualified(&column, &self.plan)?, guard)
                }
                (image, None) => (self.column("__image", image, &mut computed), None),
                // What computes the image is not to see the other rows either.
                (image, Some(guard)) => {
                    let guarded = Case::new(None, vec![(Box::new(guard), Box::new(image))], None);
                    (self.column("__image", Expr::Case(guarded), &mut computed), None)
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
                self.columns.push(Known {
                    call: call.expr,
                    column: Column::new_unqualified(name),
                    paths: paths.clone(),
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
            self.plan = InferNode::try_new(self.plan.clone(), model, image, guard, outputs)?.into_plan();
        }
        Ok(())
    }

    /// The column that will have the value of an expression.
    fn column(&self, prefix: &str, expr: Expr, computed: &mut Vec<(Expr, Column)>) -> Column {
        if let Some((_, column)) = computed.iter().find(|(known, _)| *known == expr) {
            return column.clone();
        }
        let column = Column::new_unqualified(self.unused_name(prefix));
        computed.push((expr, column.clone()));
        column
    }

    /// A name that no column has.
    fn unused_name(&self, prefix: &str) -> String {
        loop {
            let name = self.config.alias_generator().next(prefix);
            if !self.plan.schema().fields().iter().any(|field| *field.name() == name) {
                return name;
            }
        }
    }
}

/// Puts calls of one image and one model together, unless one would then fail for a bad image that it never asked about.
fn buckets(mut calls: Vec<Call>) -> Vec<Bucket> {
    // Those that look at every row, and fail for bad ones, can take in all others.
    calls.sort_by_key(|call| (!call.paths.is_empty(), !call.value.fails_query()));
    let mut buckets: Vec<Bucket> = Vec::new();
    for call in calls {
        let same = buckets.iter_mut().find(|bucket| {
            let fails_alike = bucket.fails_query() == call.value.fails_query();
            bucket.covers(&call) || (bucket.image == call.image && bucket.model == call.model && fails_alike)
        });
        match same {
            Some(bucket) if bucket.covers(&call) => bucket.calls.push(call),
            Some(bucket) => {
                bucket.paths.extend(call.paths.iter().cloned());
                bucket.calls.push(call);
            }
            None => {
                let (image, model, paths) = (call.image.clone(), call.model.clone(), call.paths.clone());
                buckets.push(Bucket { image, model, paths, calls: vec![call] });
            }
        }
    }
    buckets
}

/// The column under its full name, by which nodes find it.
fn qualified(column: &Column, input: &LogicalPlan) -> Result<Column> {
    let (relation, field) = input.schema().qualified_field_from_column(column)?;
    Ok(Column::new(relation.cloned(), field.name()))
}
