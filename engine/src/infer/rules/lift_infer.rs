//! [`LiftInfer`] lifts calls that run a model out of expressions into `Infer` nodes.

mod conditions;
mod placement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
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
use crate::plan::join_with_inputs;
use conditions::{has_call, is_deterministic, visit_calls};
use placement::{Call, InferPlanBuilder};

/// Lifts calls of `classify`, `classify_labels`, `classify_topk`, `embed` and their `try_` variants into `Infer` nodes below the node
/// that calls them.
///
/// ```text
/// before                                          after
/// Projection: t.uri, classify(t.image)            Projection: t.uri, __infer_1 AS classify(t.image)
///   TableScan: t                                    Infer: model=m, image=t.image, outputs=[classify AS __infer_1]
///                                                     TableScan: t
/// ```
///
/// - Equal calls of a node share a column; calls on the same image by the same model share a node.
/// - Late materialization in filters: conjuncts without calls are evaluated first, then one conjunct with calls after the other, each on the
///   remaining rows.
/// - A call in CASE, COALESCE, AND, OR, or an aggregate with a FILTER has a path condition, the conditions under which it is evaluated. A
///   guard column holds its value, and the node runs on the rows where it is true.
/// - A computed argument becomes a column of a projection below the node.
/// - Calls in a join condition are lifted into the input that has the image.
/// - Above nodes that pass the columns of their input on (filters, sorts, windows, joins), a projection restores the schema.
/// - Correlated subqueries are left unchanged until DataFusion has decorrelated them into joins, which it could not do with an `Infer` node
///   inside. The rule runs a second time after that.
///
/// Calls that cannot be lifted stay in place and are evaluated as scalar functions: calls without an input row (VALUES, lambda bodies), calls
/// under a non-deterministic condition (`random()`, subqueries), and calls whose image argument is volatile. `SET ocelli.lift_infer = false`
/// evaluates all calls this way.
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
            reject_dml(statement)?;
        }
        let rewriter = LiftRewriter { models: &self.models, options: &options, config };
        let calls = rewriter.collect_calls(&plan.expressions())?;
        if calls.is_empty() || plan.inputs().is_empty() || !plan.all_out_ref_exprs().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let lifted = match plan {
            LogicalPlan::Filter(filter) => rewriter.lift_from_filter(filter)?,
            LogicalPlan::Join(join) => rewriter.lift_from_join(join)?,
            LogicalPlan::Distinct(Distinct::On(distinct)) => rewriter.lift_from_distinct_on(distinct, calls)?,
            plan => rewriter.lift_from_unary(plan, calls)?,
        };
        Ok(Transformed::yes(lifted))
    }
}

/// Rejects DELETE and UPDATE with calls: their conditions are evaluated by the table provider, which cannot run an `Infer` node.
fn reject_dml(statement: &DmlStatement) -> Result<()> {
    if !matches!(statement.op, WriteOp::Delete | WriteOp::Update) {
        return Ok(());
    }
    let mut function = None;
    statement.input.apply(|plan| {
        // The calls have been lifted already: the rule visits inputs first.
        let output = InferNode::from_plan(plan).and_then(|node| node.outputs().first());
        function = output.map(|output| output.value.task.name());
        Ok(if function.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match function {
        Some(function) => {
            let reason = "DELETE and UPDATE run no model; CREATE TABLE … AS SELECT can do the same";
            Err(Error::UnsupportedCallSite { function, reason }.into())
        }
        None => Ok(()),
    }
}

/// The state of one run of the rule.
struct LiftRewriter<'a> {
    models: &'a ModelRegistry,
    options: &'a OcelliOptions,
    config: &'a dyn OptimizerConfig,
}

impl LiftRewriter<'_> {
    /// The distinct calls in some expressions that can be lifted, in order of occurrence.
    fn collect_calls(&self, exprs: &[Expr]) -> Result<Vec<Call>> {
        let mut calls: Vec<Call> = Vec::new();
        // Calls with a path condition that cannot be evaluated twice.
        let mut unhoistable: Vec<Expr> = Vec::new();
        for expr in exprs {
            visit_calls(expr, &mut Vec::new(), &mut |expr, path_condition| {
                if expr.is_volatile() {
                    return Ok(());
                }
                if !is_deterministic(path_condition) {
                    unhoistable.push(expr.clone());
                }
                match calls.iter_mut().find(|call| call.expr == *expr) {
                    // Unconditional already.
                    Some(call) if call.path_conditions.is_empty() => {}
                    Some(call) if path_condition.is_empty() => call.path_conditions.clear(),
                    Some(call) if call.path_conditions.iter().any(|other| other == path_condition) => {}
                    Some(call) => call.path_conditions.push(path_condition.to_vec()),
                    None => {
                        let path_conditions =
                            if path_condition.is_empty() { Vec::new() } else { vec![path_condition.to_vec()] };
                        calls.push(self.parse_call(expr, path_conditions)?);
                    }
                }
                Ok(())
            })?;
        }
        calls.retain(|call| call.path_conditions.is_empty() || !unhoistable.contains(&call.expr));
        Ok(calls)
    }

    /// Parses a call and resolves its model.
    fn parse_call(&self, expr: &Expr, path_conditions: Vec<Vec<Expr>>) -> Result<Call> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return internal_err!("{expr} is not a call");
        };
        let (Some(function), Some((image, rest))) = (InferFunction::from_udf(func), args.split_first()) else {
            return internal_err!("{expr} is not a call of a model on an image");
        };
        let constants = rest.iter().map(|argument| match argument {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        });
        let call = InferCall::parse(function, &constants.collect::<Vec<_>>())?;
        let model = self.models.get(call.model.as_deref().unwrap_or(&self.options.model))?;
        let value = OutputSpec::new(&call, self.options, &model)?;
        let (expr, image) = (expr.clone(), image.clone());
        Ok(Call { function, expr, image, model: model.reference(), value, path_conditions })
    }

    /// Lifts the calls of a node with one input.
    fn lift_from_unary(&self, plan: LogicalPlan, calls: Vec<Call>) -> Result<LogicalPlan> {
        let inputs = plan.inputs();
        let [input] = inputs.as_slice() else {
            return internal_err!("{} calls a model and has {} inputs, expected one", plan.display(), inputs.len());
        };
        let mut builder = InferPlanBuilder::new((*input).clone(), self.config);
        builder.materialize(calls)?;
        let names = NamePreserver::new(&plan);
        let expressions = plan.expressions().into_iter().map(|expr| {
            if let Expr::GroupingSet(sets) = expr {
                return replace_in_grouping_set(sets, &builder, &names);
            }
            let name = names.save(&expr);
            Ok(name.restore(builder.replace_calls(expr)?))
        });
        let expressions = expressions.collect::<Result<_>>()?;
        project_original_schema(plan.with_new_exprs(expressions, vec![builder.plan])?, &plan)
    }

    /// Splits a filter: conjuncts without calls first, then those with unconditional calls only, then the others.
    fn lift_from_filter(&self, filter: Filter) -> Result<LogicalPlan> {
        let original = LogicalPlan::Filter(filter.clone());
        let conjuncts = split_conjunction_owned(filter.predicate);
        let (with_calls, cheap): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(has_call);
        let input = match conjunction(cheap) {
            Some(cheap) => LogicalPlan::Filter(Filter::try_new(cheap, filter.input)?),
            None => Arc::unwrap_or_clone(filter.input),
        };
        let mut conjuncts = Vec::new();
        for conjunct in with_calls {
            conjuncts.push((self.collect_calls(std::slice::from_ref(&conjunct))?, conjunct));
        }
        // The columns of unconditional calls have values for all rows, so that conditional calls can use them too.
        conjuncts.sort_by_key(|(calls, _)| calls.iter().any(|call| !call.path_conditions.is_empty()));
        let mut builder = InferPlanBuilder::new(input, self.config);
        for (calls, conjunct) in conjuncts {
            builder.materialize(calls)?;
            let predicate = builder.replace_calls(conjunct)?;
            builder.plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(builder.plan))?);
        }
        project_original_schema(builder.plan, &original)
    }

    /// [`lift_from_unary`](Self::lift_from_unary) for DISTINCT ON, which `with_new_exprs` does not support.
    fn lift_from_distinct_on(&self, distinct: DistinctOn, calls: Vec<Call>) -> Result<LogicalPlan> {
        let mut builder = InferPlanBuilder::new(Arc::unwrap_or_clone(distinct.input), self.config);
        builder.materialize(calls)?;
        let on = distinct.on_expr.into_iter().map(|expr| builder.replace_calls(expr)).collect::<Result<_>>()?;
        let select = distinct.select_expr.into_iter().map(|expr| {
            let (relation, name) = expr.qualified_name();
            Ok(builder.replace_calls(expr)?.alias_qualified(relation, name))
        });
        let select = select.collect::<Result<_>>()?;
        let sort = distinct.sort_expr.into_iter().flatten().map(|mut sort| {
            sort.expr = builder.replace_calls(sort.expr)?;
            Ok(sort)
        });
        let sort: Vec<SortExpr> = sort.collect::<Result<_>>()?;
        let sort = (!sort.is_empty()).then_some(sort);
        let lifted = DistinctOn::try_new(on, select, sort, Arc::new(builder.plan))?;
        Ok(LogicalPlan::Distinct(Distinct::On(lifted)))
    }

    /// Lifts the calls in a join condition into the input that has the image.
    fn lift_from_join(&self, join: Join) -> Result<LogicalPlan> {
        let original = LogicalPlan::Join(join.clone());
        let has_columns = |input: &LogicalPlan, expr: &Expr| {
            expr.column_refs().iter().all(|column| input.schema().has_column(column))
        };
        let (mut left_calls, mut right_calls) = (Vec::new(), Vec::new());
        for mut call in self.collect_calls(&original.expressions())? {
            let (input, calls) = if has_columns(&join.left, &call.image) {
                (&join.left, &mut left_calls)
            } else if has_columns(&join.right, &call.image) {
                (&join.right, &mut right_calls)
            } else if join.join_type == JoinType::Inner {
                return self.lift_to_filter_above_join(join, call.function);
            } else {
                let function = call.function.name();
                let reason = "in an outer join's condition its image must come from one of the two tables";
                return Err(Error::UnsupportedCallSite { function, reason }.into());
            };
            // Conditions on the other input cannot be evaluated here. A prefix of a path condition is weaker, and therefore safe.
            for path_condition in &mut call.path_conditions {
                let length = path_condition.iter().take_while(|condition| has_columns(input, condition)).count();
                path_condition.truncate(length);
            }
            if call.path_conditions.iter().any(Vec::is_empty) {
                call.path_conditions.clear();
            }
            calls.push(call);
        }
        let mut left = InferPlanBuilder::new(join.left.as_ref().clone(), self.config);
        left.materialize(left_calls)?;
        let mut right = InferPlanBuilder::new(join.right.as_ref().clone(), self.config);
        right.materialize(right_calls)?;
        let replace_calls = |expr: &Expr| right.replace_calls(left.replace_calls(expr.clone())?);
        let on = join.on.iter().map(|(left, right)| Ok((replace_calls(left)?, replace_calls(right)?)));
        let on = on.collect::<Result<_>>()?;
        let filter = join.filter.as_ref().map(replace_calls).transpose()?;
        let lifted = join_with_inputs(&join, Arc::new(left.plan), Arc::new(right.plan), on, filter)?;
        project_original_schema(LogicalPlan::Join(lifted), &original)
    }

    /// Moves conjuncts with calls from the condition of an inner join to a filter above it, where the columns of both inputs are available.
    fn lift_to_filter_above_join(&self, mut join: Join, function: InferFunction) -> Result<LogicalPlan> {
        let conjuncts = split_conjunction_owned(join.filter.take().unwrap_or_else(|| datafusion::prelude::lit(true)));
        let (with_calls, cheap): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(has_call);
        join.filter = conjunction(cheap);
        let Some(predicate) = conjunction(with_calls) else {
            let reason = "the image of a join key must come from one of the two tables";
            return Err(Error::UnsupportedCallSite { function: function.name(), reason }.into());
        };
        self.lift_from_filter(Filter::try_new(predicate, Arc::new(LogicalPlan::Join(join)))?)
    }
}

/// Replaces calls in a grouping set. The names of its expressions are preserved, because the set itself has no name.
fn replace_in_grouping_set(sets: GroupingSet, builder: &InferPlanBuilder, names: &NamePreserver) -> Result<Expr> {
    let replace_calls = |expr: Expr| {
        let name = names.save(&expr);
        Ok(name.restore(builder.replace_calls(expr)?))
    };
    let replace_all = |exprs: Vec<Expr>| exprs.into_iter().map(replace_calls).collect::<Result<Vec<_>>>();
    Ok(Expr::GroupingSet(match sets {
        GroupingSet::Rollup(exprs) => GroupingSet::Rollup(replace_all(exprs)?),
        GroupingSet::Cube(exprs) => GroupingSet::Cube(replace_all(exprs)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(replace_all).collect::<Result<_>>()?)
        }
    }))
}

/// Projects away the columns of `Infer` nodes that the lifted node passes on.
fn project_original_schema(lifted: LogicalPlan, original: &LogicalPlan) -> Result<LogicalPlan> {
    if lifted.schema().fields().len() == original.schema().fields().len() {
        return Ok(lifted);
    }
    let columns: Vec<Column> = original.schema().columns();
    LogicalPlanBuilder::from(lifted).project(columns.into_iter().map(Expr::Column))?.build()
}
