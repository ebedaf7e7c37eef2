//! [`LiftInfer`] moves calls that run a model out of expressions, into nodes of their own.

mod conditions;
mod placement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{GroupingSet, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, DistinctOn, DmlStatement, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, SortExpr,
    WriteOp,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::error::Error;
use crate::infer::call::InferCall;
use crate::infer::function::InferFunction;
use crate::infer::{InferNode, OutputSpec};
use crate::model::ModelRegistry;
use crate::options::OcelliOptions;
use conditions::{are_repeatable, has_call, walk};
use placement::{Call, Placer};

/// Moves `classify` and its kin below the node that calls them.
///
/// ```text
/// before                                          after
/// Projection: t.uri, classify(t.image)            Projection: t.uri, __infer_1 AS classify(t.image)
///   TableScan: t                                    Infer: model=m, image=t.image, outputs=[classify AS __infer_1]
///                                                     TableScan: t
/// ```
///
/// - Equal calls of a node become one column; calls on one image by one model become one node.
/// - A filter is taken apart: what calls no model is tested first, then one call after the other, each for the rows that
///   are left.
/// - A call in CASE, COALESCE, AND, OR, or an aggregate with a FILTER runs for the rows that get there: a guard column says
///   which.
/// - An argument that is no column is computed below, by a projection.
/// - A join's calls go to the side that has the image.
/// - Nodes that pass their input's columns on (filters, sorts, windows, joins) get a projection above, which hides ours.
/// - A subquery that looks at its outer query is left alone until DataFusion has made a join of it, which it could not do
///   with a node of ours inside. The rule has a second place for that.
///
/// Some calls stay where they are: those without a row to stand in (in VALUES, in the body of a lambda function), those behind
/// a condition that cannot be evaluated twice (random numbers, subqueries), those on another image at every look. They are
/// computed there, as all are with `SET ocelli.lift_infer = false`.
#[derive(Debug)]
pub(crate) struct LiftInfer {
    models: Arc<ModelRegistry>,
}

impl LiftInfer {
    pub(crate) fn new(models: Arc<ModelRegistry>) -> Self {
        Self { models }
    }
}

impl OptimizerRule for LiftInfer {
    fn name(&self) -> &str {
        "lift_infer"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let options = OcelliOptions::from_config(&config.options());
        if !options.lift_infer {
            return Ok(Transformed::no(plan));
        }
        if let LogicalPlan::Dml(statement) = &plan {
            refuse_to_change_rows(statement)?;
        }
        let lift = Lift { models: &self.models, options: &options, config };
        let calls = lift.calls(&plan.expressions())?;
        if calls.is_empty() || plan.inputs().is_empty() || !plan.all_out_ref_exprs().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let lifted = match plan {
            LogicalPlan::Filter(filter) => lift.out_of_filter(filter)?,
            LogicalPlan::Join(join) => lift.out_of_join(join)?,
            LogicalPlan::Distinct(Distinct::On(distinct)) => lift.out_of_distinct_on(distinct, calls)?,
            plan => lift.out_of_one(plan, calls)?,
        };
        Ok(Transformed::yes(lifted))
    }
}

/// DELETE and UPDATE hand their conditions to the table itself, which knows no node of ours.
fn refuse_to_change_rows(statement: &DmlStatement) -> Result<()> {
    if !matches!(statement.op, WriteOp::Delete | WriteOp::Update) {
        return Ok(());
    }
    let runs_a_model = statement.input.exists(|plan| Ok(InferNode::from_plan(plan).is_some()))?;
    if runs_a_model {
        let function = InferFunction::Classify.name();
        let reason = "DELETE and UPDATE run no model; CREATE TABLE … AS SELECT can do the same";
        return Err(Error::UnsupportedCallSite { function, reason }.into());
    }
    Ok(())
}

/// One run of the rule.
struct Lift<'a> {
    models: &'a ModelRegistry,
    options: &'a OcelliOptions,
    config: &'a dyn OptimizerConfig,
}

impl Lift<'_> {
    /// The different calls of some expressions that can be lifted, in the order of the text.
    fn calls(&self, exprs: &[Expr]) -> Result<Vec<Call>> {
        let mut calls: Vec<Call> = Vec::new();
        // Those with a condition that cannot be evaluated twice.
        let mut bound: Vec<Expr> = Vec::new();
        for expr in exprs {
            walk(expr, &mut Vec::new(), &mut |expr, path| {
                // Another image at every look.
                if expr.is_volatile() {
                    return Ok(());
                }
                if !are_repeatable(path) {
                    bound.push(expr.clone());
                }
                match calls.iter_mut().find(|call| call.expr == *expr) {
                    // RequestedOutputs everywhere already.
                    Some(call) if call.paths.is_empty() => {}
                    Some(call) if path.is_empty() => call.paths.clear(),
                    Some(call) if call.paths.iter().any(|known| known == path) => {}
                    Some(call) => call.paths.push(path.to_vec()),
                    None => {
                        let paths = if path.is_empty() { Vec::new() } else { vec![path.to_vec()] };
                        calls.push(self.call(expr, paths)?);
                    }
                }
                Ok(())
            })?;
        }
        calls.retain(|call| call.paths.is_empty() || !bound.contains(&call.expr));
        Ok(calls)
    }

    /// Reads a call.
    fn call(&self, expr: &Expr, paths: Vec<Vec<Expr>>) -> Result<Call> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return internal_err!("{expr} is no call");
        };
        let (Some(function), Some((image, rest))) = (InferFunction::of(func), args.split_first()) else {
            return internal_err!("{expr} is no call of a model on an image");
        };
        let constants = rest.iter().map(|argument| match argument {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        });
        let call = InferCall::parse(function, &constants.collect::<Vec<_>>())?;
        let model = self.models.get(call.model.as_deref().unwrap_or(&self.options.model))?;
        let value = OutputSpec::new(&call, self.options, &model)?;
        Ok(Call { expr: expr.clone(), image: image.clone(), model: model.reference(), value, paths })
    }

    /// Lifts the calls of a node with one input.
    fn out_of_one(&self, plan: LogicalPlan, calls: Vec<Call>) -> Result<LogicalPlan> {
        let inputs = plan.inputs();
        let [input] = inputs.as_slice() else {
            return internal_err!("{} has {} inputs and calls a model", plan.display(), inputs.len());
        };
        let mut placer = Placer::new((*input).clone(), self.config);
        placer.add(calls)?;
        let names = NamePreserver::new(&plan);
        let expressions = plan.expressions().into_iter().map(|expr| {
            if let Expr::GroupingSet(sets) = expr {
                return grouping_set(sets, &placer, &names);
            }
            let name = names.save(&expr);
            Ok(name.restore(placer.replace(expr)?))
        });
        let expressions = expressions.collect::<Result<_>>()?;
        hide_columns(plan.with_new_exprs(expressions, vec![placer.plan])?, &plan)
    }

    /// Tests what calls no model, then the calls that all rows need, then the others.
    fn out_of_filter(&self, filter: Filter) -> Result<LogicalPlan> {
        let original = LogicalPlan::Filter(filter.clone());
        let conjuncts = split_conjunction_owned(filter.predicate);
        let (calling, cheap): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(has_call);
        let input = match conjunction(cheap) {
            Some(cheap) => LogicalPlan::Filter(Filter::try_new(cheap, filter.input)?),
            None => Arc::unwrap_or_clone(filter.input),
        };
        let mut conjuncts = Vec::new();
        for conjunct in calling {
            conjuncts.push((self.calls(std::slice::from_ref(&conjunct))?, conjunct));
        }
        // What is known then of all rows serves the others too.
        conjuncts.sort_by_key(|(calls, _)| calls.iter().any(|call| !call.paths.is_empty()));
        let mut placer = Placer::new(input, self.config);
        for (calls, conjunct) in conjuncts {
            placer.add(calls)?;
            let predicate = placer.replace(conjunct)?;
            placer.plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(placer.plan))?);
        }
        hide_columns(placer.plan, &original)
    }

    /// [`out_of_one`](Self::out_of_one), for the one node that cannot be made anew from its expressions.
    fn out_of_distinct_on(&self, distinct: DistinctOn, calls: Vec<Call>) -> Result<LogicalPlan> {
        let mut placer = Placer::new(Arc::unwrap_or_clone(distinct.input), self.config);
        placer.add(calls)?;
        let on = distinct.on_expr.into_iter().map(|expr| placer.replace(expr)).collect::<Result<_>>()?;
        let select = distinct.select_expr.into_iter().map(|expr| {
            let (relation, name) = expr.qualified_name();
            Ok(placer.replace(expr)?.alias_qualified(relation, name))
        });
        let select = select.collect::<Result<_>>()?;
        let sort = distinct.sort_expr.into_iter().flatten().map(|mut sort| {
            sort.expr = placer.replace(sort.expr)?;
            Ok(sort)
        });
        let sort: Vec<SortExpr> = sort.collect::<Result<_>>()?;
        let sort = (!sort.is_empty()).then_some(sort);
        let lifted = DistinctOn::try_new(on, select, sort, Arc::new(placer.plan))?;
        Ok(LogicalPlan::Distinct(Distinct::On(lifted)))
    }

    /// Lifts the calls in a join's condition to the side that has the image.
    fn out_of_join(&self, join: Join) -> Result<LogicalPlan> {
        let original = LogicalPlan::Join(join.clone());
        let has =
            |side: &LogicalPlan, expr: &Expr| expr.column_refs().iter().all(|column| side.schema().has_column(column));
        let (mut left_calls, mut right_calls) = (Vec::new(), Vec::new());
        for mut call in self.calls(&original.expressions())? {
            let (side, calls) = if has(&join.left, &call.image) {
                (&join.left, &mut left_calls)
            } else if has(&join.right, &call.image) {
                (&join.right, &mut right_calls)
            } else if join.join_type == JoinType::Inner {
                return self.out_of_filtered_join(join);
            } else {
                let function = call.value.task.name();
                let reason = "in an outer join's condition its image must come from one of the two tables";
                return Err(Error::UnsupportedCallSite { function, reason }.into());
            };
            // A condition on the other table is not known on this side.
            for path in &mut call.paths {
                let known = path.iter().take_while(|condition| has(side, condition)).count();
                path.truncate(known);
            }
            if call.paths.iter().any(Vec::is_empty) {
                call.paths.clear();
            }
            calls.push(call);
        }
        let mut left = Placer::new(Arc::unwrap_or_clone(join.left), self.config);
        left.add(left_calls)?;
        let mut right = Placer::new(Arc::unwrap_or_clone(join.right), self.config);
        right.add(right_calls)?;
        let replace = |expr: &Expr| right.replace(left.replace(expr.clone())?);
        let on = join.on.iter().map(|(left, right)| Ok((replace(left)?, replace(right)?)));
        let on = on.collect::<Result<_>>()?;
        let filter = join.filter.as_ref().map(replace).transpose()?;
        let lifted = Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        hide_columns(LogicalPlan::Join(lifted), &original)
    }

    /// An image that comes from both tables is there when they are joined: its condition becomes a filter above.
    fn out_of_filtered_join(&self, mut join: Join) -> Result<LogicalPlan> {
        let conjuncts = split_conjunction_owned(join.filter.take().unwrap_or_else(|| datafusion::prelude::lit(true)));
        let (calling, cheap): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(has_call);
        join.filter = conjunction(cheap);
        let Some(predicate) = conjunction(calling) else {
            let reason = "a join on equal results needs an image of one table on each side";
            return Err(Error::UnsupportedCallSite { function: InferFunction::Classify.name(), reason }.into());
        };
        self.out_of_filter(Filter::try_new(predicate, Arc::new(LogicalPlan::Join(join)))?)
    }
}

/// A grouping set has no name of its own, the expressions in it do.
fn grouping_set(sets: GroupingSet, placer: &Placer, names: &NamePreserver) -> Result<Expr> {
    let lift = |expr: Expr| {
        let name = names.save(&expr);
        Ok(name.restore(placer.replace(expr)?))
    };
    let lift_all = |all: Vec<Expr>| all.into_iter().map(lift).collect::<Result<Vec<_>>>();
    Ok(Expr::GroupingSet(match sets {
        GroupingSet::Rollup(all) => GroupingSet::Rollup(lift_all(all)?),
        GroupingSet::Cube(all) => GroupingSet::Cube(lift_all(all)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(lift_all).collect::<Result<_>>()?)
        }
    }))
}

/// Takes our columns away again where the node passed them on.
fn hide_columns(lifted: LogicalPlan, original: &LogicalPlan) -> Result<LogicalPlan> {
    if lifted.schema().fields().len() == original.schema().fields().len() {
        return Ok(lifted);
    }
    let columns: Vec<Column> = original.schema().columns();
    LogicalPlanBuilder::from(lifted).project(columns.into_iter().map(Expr::Column))?.build()
}
