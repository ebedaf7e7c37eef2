//! [`LiftInfer`] moves calls that run a model out of expressions, into nodes of their own.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{GroupingSet, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, DistinctOn, DmlStatement, Expr, Join, LogicalPlan, LogicalPlanBuilder, SortExpr, WriteOp,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

use crate::error::Error;
use crate::functions::InferFunction;
use crate::model::{ModelRef, Models};
use crate::operators::infer::{InferNode, InferOutput};
use crate::options::{OcelliOptions, OnError};

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
/// - An argument that is no column is computed below, by a projection.
/// - A join's calls go to the side that has the image.
/// - Nodes that pass their input's columns on (filters, sorts, windows, joins) get a projection above, which hides ours.
/// - A subquery that looks at its outer query is left alone until DataFusion has made a join of it, which it could not do
///   with a node of ours inside. The rule has a second place for that.
#[derive(Debug)]
pub(crate) struct LiftInfer {
    models: Arc<Models>,
}

impl LiftInfer {
    pub(crate) fn new(models: Arc<Models>) -> Self {
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
        let calls = self.calls(&plan, &OcelliOptions::of(&config.options()))?;
        if let LogicalPlan::Dml(statement) = &plan {
            refuse_to_change_rows(statement)?;
        }
        if calls.is_empty() || !plan.all_out_ref_exprs().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let lifted = match plan {
            LogicalPlan::Join(join) => lift_from_join(join, calls, config)?,
            LogicalPlan::Distinct(Distinct::On(distinct)) => lift_from_distinct_on(distinct, calls, config)?,
            plan => lift_from_one(plan, calls, config)?,
        };
        Ok(Transformed::yes(lifted))
    }
}

/// DELETE and UPDATE hand their conditions to the table itself, which runs no model.
fn refuse_to_change_rows(statement: &DmlStatement) -> Result<()> {
    if !matches!(statement.op, WriteOp::Delete | WriteOp::Update) {
        return Ok(());
    }
    let runs_a_model = statement.input.exists(|plan| Ok(InferNode::from_plan(plan).is_some()))?;
    if runs_a_model {
        let function = InferFunction::Classify.name();
        let reason = "DELETE and UPDATE run no model; CREATE TABLE … AS SELECT can do the same";
        return Err(Error::Misplaced { function, reason }.into());
    }
    Ok(())
}

/// A call of an [`InferFunction`] in the expressions of a node.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    /// As it stands in the plan.
    expr: Expr,
    function: InferFunction,
    image: Expr,
    model: ModelRef,
    on_error: OnError,
}

impl LiftInfer {
    /// The different calls of a node, in the order of the text.
    fn calls(&self, plan: &LogicalPlan, options: &OcelliOptions) -> Result<Vec<Call>> {
        let mut calls: Vec<Call> = Vec::new();
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some(call) = self.call(expr, options)?
                    && !calls.contains(&call)
                {
                    calls.push(call);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if let Some(call) = calls.first()
            && plan.inputs().is_empty()
        {
            let reason = match plan {
                LogicalPlan::TableScan(_) => {
                    "in a subquery that uses its outer query in this way; a join can say the same"
                }
                _ => "VALUES runs no model; write SELECT classify(…) instead",
            };
            return Err(Error::Misplaced { function: call.function.name(), reason }.into());
        }
        Ok(calls)
    }

    /// The call that an expression is.
    fn call(&self, expr: &Expr, options: &OcelliOptions) -> Result<Option<Call>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return Ok(None);
        };
        let (Some(function), Some((image, model))) = (InferFunction::of(func), args.split_first()) else {
            return Ok(None);
        };
        let model = match model.first() {
            None => options.model.as_str(),
            Some(Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _)) => name,
            Some(other) => {
                let problem = format!("the model's name must be text, got {other}");
                return Err(Error::Arguments { function: function.name(), problem }.into());
            }
        };
        let on_error = if function.is_try() { OnError::Null } else { options.on_error };
        let model = self.models.get(model)?.reference();
        Ok(Some(Call { expr: expr.clone(), function, image: image.clone(), model, on_error }))
    }
}

/// Lifts the calls of a node with one input.
fn lift_from_one(plan: LogicalPlan, calls: Vec<Call>, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else {
        return internal_err!("a node with {} inputs calls {}", inputs.len(), calls[0].function.name());
    };
    let (input, columns) = infer_below((*input).clone(), calls, config)?;
    let names = NamePreserver::new(&plan);
    let expressions = plan.expressions().into_iter().map(|expr| {
        if let Expr::GroupingSet(sets) = expr {
            return grouping_set(sets, &columns, &names);
        }
        let name = names.save(&expr);
        Ok(name.restore(columns.replace(expr)?))
    });
    let lifted = plan.with_new_exprs(expressions.collect::<Result<_>>()?, vec![input])?;
    hide_columns(lifted, &plan)
}

/// [`lift_from_one`], for the one node that cannot be made anew from its expressions.
fn lift_from_distinct_on(distinct: DistinctOn, calls: Vec<Call>, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let (input, columns) = infer_below(Arc::unwrap_or_clone(distinct.input), calls, config)?;
    let on = distinct.on_expr.into_iter().map(|expr| columns.replace(expr)).collect::<Result<_>>()?;
    let select = distinct.select_expr.into_iter().map(|expr| {
        let (relation, name) = expr.qualified_name();
        Ok(columns.replace(expr)?.alias_qualified(relation, name))
    });
    let sort = distinct.sort_expr.into_iter().flatten().map(|mut sort| {
        sort.expr = columns.replace(sort.expr)?;
        Ok(sort)
    });
    let sort: Vec<SortExpr> = sort.collect::<Result<_>>()?;
    let sort = (!sort.is_empty()).then_some(sort);
    let lifted = DistinctOn::try_new(on, select.collect::<Result<_>>()?, sort, Arc::new(input))?;
    Ok(LogicalPlan::Distinct(Distinct::On(lifted)))
}

/// A grouping set has no name of its own, the expressions in it do.
fn grouping_set(sets: GroupingSet, columns: &Columns, names: &NamePreserver) -> Result<Expr> {
    let lift = |expr: Expr| {
        let name = names.save(&expr);
        Ok(name.restore(columns.replace(expr)?))
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

/// Lifts the calls in a join's condition to the side that has the image.
fn lift_from_join(join: Join, calls: Vec<Call>, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let (mut left_calls, mut right_calls) = (Vec::new(), Vec::new());
    for call in calls {
        let columns = call.image.column_refs();
        if columns.iter().all(|column| join.left.schema().has_column(column)) {
            left_calls.push(call);
        } else if columns.iter().all(|column| join.right.schema().has_column(column)) {
            right_calls.push(call);
        } else {
            let reason = "in a join's condition its image must come from one of the two tables";
            return Err(Error::Misplaced { function: call.function.name(), reason }.into());
        }
    }
    let (left, left_columns) = infer_below(Arc::unwrap_or_clone(Arc::clone(&join.left)), left_calls, config)?;
    let (right, right_columns) = infer_below(Arc::unwrap_or_clone(Arc::clone(&join.right)), right_calls, config)?;
    let replace = |expr: &Expr| right_columns.replace(left_columns.replace(expr.clone())?);
    let on = join.on.iter().map(|(left, right)| Ok((replace(left)?, replace(right)?)));
    let lifted = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on.collect::<Result<_>>()?,
        join.filter.as_ref().map(replace).transpose()?,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    hide_columns(LogicalPlan::Join(lifted), &LogicalPlan::Join(join))
}

/// Which column has the value of which call.
struct Columns(Vec<(Expr, Column)>);

impl Columns {
    /// The expression with columns for calls.
    fn replace(&self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| {
            Ok(match self.0.iter().find(|(call, _)| *call == expr) {
                Some((_, column)) => Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        })
        .map(|expr| expr.data)
    }
}

/// Puts a node on `input` for each image and model of the calls.
fn infer_below(input: LogicalPlan, calls: Vec<Call>, config: &dyn OptimizerConfig) -> Result<(LogicalPlan, Columns)> {
    let (input, images) = images_below(input, &calls, config)?;
    // The calls of one image and one model make one node.
    let mut nodes: Vec<(Column, ModelRef, Vec<InferOutput>)> = Vec::new();
    let mut columns = Vec::new();
    for (call, image) in calls.into_iter().zip(images) {
        let name = unused_name(&input, "__infer", config);
        columns.push((call.expr, Column::new_unqualified(&name)));
        let output = InferOutput { name, function: call.function, on_error: call.on_error };
        match nodes.iter_mut().find(|(at, model, _)| *at == image && *model == call.model) {
            Some((.., outputs)) => outputs.push(output),
            None => nodes.push((image, call.model, vec![output])),
        }
    }
    let plan = nodes.into_iter().try_fold(input, |input, (image, model, outputs)| {
        InferNode::try_new(input, model, image, outputs).map(InferNode::into_plan)
    })?;
    Ok((plan, Columns(columns)))
}

/// Makes a column of each call's image, by a projection where it is not one yet.
fn images_below(
    input: LogicalPlan,
    calls: &[Call],
    config: &dyn OptimizerConfig,
) -> Result<(LogicalPlan, Vec<Column>)> {
    let mut computed: Vec<(Expr, Column)> = Vec::new();
    let mut images = Vec::with_capacity(calls.len());
    for call in calls {
        images.push(match &call.image {
            Expr::Column(column) => qualified(column, &input)?,
            other => match computed.iter().find(|(expr, _)| expr == other) {
                Some((_, column)) => column.clone(),
                None => {
                    let column = Column::new_unqualified(unused_name(&input, "__image", config));
                    computed.push((other.clone(), column.clone()));
                    column
                }
            },
        });
    }
    if computed.is_empty() {
        return Ok((input, images));
    }
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let computed = computed.into_iter().map(|(expr, column)| expr.alias(column.name));
    let projected: Vec<Expr> = columns.chain(computed).collect();
    Ok((LogicalPlanBuilder::from(input).project(projected)?.build()?, images))
}

/// A name that no column has.
fn unused_name(input: &LogicalPlan, prefix: &str, config: &dyn OptimizerConfig) -> String {
    loop {
        let name = config.alias_generator().next(prefix);
        if !input.schema().fields().iter().any(|field| *field.name() == name) {
            return name;
        }
    }
}

/// The column under its full name, by which nodes find it.
fn qualified(column: &Column, input: &LogicalPlan) -> Result<Column> {
    let (relation, field) = input.schema().qualified_field_from_column(column)?;
    Ok(Column::new(relation.cloned(), field.name()))
}

/// Takes our columns away again where the node passed them on.
fn hide_columns(lifted: LogicalPlan, original: &LogicalPlan) -> Result<LogicalPlan> {
    if lifted.schema().fields().len() == original.schema().fields().len() {
        return Ok(lifted);
    }
    let columns = original.schema().columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(lifted).project(columns)?.build()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::rule_test::rewrite;
    use super::*;

    async fn lift(sql: &str) -> String {
        let rule = LiftInfer::new(Arc::new(Models::bundled().unwrap()));
        rewrite(Arc::new(rule), sql).await.unwrap_or_else(|error| crate::explain(&error))
    }

    #[tokio::test]
    async fn a_call_becomes_a_column() {
        assert_snapshot!(lift("SELECT uri, classify(image) FROM t").await, @r#"
        Projection: t.uri, __infer_1 AS classify(t.image)
          Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
            TableScan: t
        "#);
    }

    #[tokio::test]
    async fn calls_of_one_image_become_one_node() {
        assert_snapshot!(lift("SELECT classify(image), upper(classify(image)), try_classify(image) FROM t").await, @r#"
        Projection: __infer_1 AS classify(t.image), upper(__infer_1) AS upper(classify(t.image)), __infer_2 AS try_classify(t.image)
          Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1, try_classify AS __infer_2]
            TableScan: t
        "#);
    }

    #[tokio::test]
    async fn a_computed_image_is_projected_below() {
        assert_snapshot!(lift("SELECT classify(coalesce(image, X'ff')) FROM t").await, @r#"
        Projection: __infer_2 AS classify(coalesce(t.image,Binary("255")))
          Infer: model=resnet20-cifar10, image=__image_1, outputs=[classify AS __infer_2]
            Projection: t.uri, t.image, t.year, coalesce(t.image, Binary("255")) AS __image_1
              TableScan: t
        "#);
    }

    #[tokio::test]
    async fn a_filter_hides_the_column_again() {
        assert_snapshot!(lift("SELECT uri FROM t WHERE classify(image) = 'cat' AND year > 2000").await, @r#"
        Projection: t.uri
          Projection: t.uri, t.image, t.year
            Filter: __infer_1 = Utf8("cat") AND t.year > Int64(2000)
              Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                TableScan: t
        "#);
    }

    #[tokio::test]
    async fn an_aggregate_keeps_its_names() {
        assert_snapshot!(lift("SELECT classify(image), count(*) FROM t GROUP BY ROLLUP (classify(image))").await, @r#"
        Projection: classify(t.image), count(Int64(1)) AS count(*)
          Aggregate: groupBy=[[ROLLUP (__infer_1 AS classify(t.image))]], aggr=[[count(Int64(1))]]
            Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
              TableScan: t
        "#);
    }

    #[tokio::test]
    async fn a_join_runs_each_side_below() {
        assert_snapshot!(lift("SELECT t.uri FROM t JOIN u ON classify(t.image) = classify(u.image)").await, @r#"
        Projection: t.uri
          Projection: t.uri, t.image, t.year, u.uri, u.image, u.year
            Inner Join:  Filter: __infer_1 = __infer_2
              Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                TableScan: t
              Infer: model=resnet20-cifar10, image=u.image, outputs=[classify AS __infer_2]
                TableScan: u
        "#);
    }

    #[tokio::test]
    async fn other_plans_are_untouched() {
        assert_snapshot!(lift("SELECT uri FROM t WHERE image_width(image) > 100 ORDER BY year").await, @r#"
        Projection: t.uri
          Sort: t.year ASC NULLS LAST
            Projection: t.uri, t.year
              Filter: image_width(t.image) > Int64(100)
                TableScan: t
        "#);
    }

    #[tokio::test]
    async fn a_correlated_subquery_waits() {
        assert_snapshot!(
            lift("SELECT uri FROM t WHERE EXISTS (SELECT 1 FROM u WHERE classify(u.image) = t.uri)").await,
            @r#"
            Projection: t.uri
              Filter: EXISTS (<subquery>)
                Subquery:
                  Projection: Int64(1)
                    Filter: classify(u.image) = outer_ref(t.uri)
                      TableScan: u
                TableScan: t
            "#
        );
    }

    #[tokio::test]
    async fn an_unknown_model_is_refused() {
        let error = lift("SELECT classify(image, model => 'nope') FROM t").await;
        assert_eq!(error, "model 'nope' does not exist; known models: resnet20-cifar10");
    }
}
