//! [`ShareInfer`] merges an `Infer` node into one below that runs the same model on the same images.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::infer::{InferNode, InferOutput};
use crate::options::OcelliOptions;
use crate::plan::{alias_input_expr, join_with_inputs, projection_input_expr, rewrite_to_input};

/// Common subexpression elimination across plan nodes: one pass of a model over an image computes all outputs that a query requests.
///
/// ```text
/// before                                                      after
/// Infer: image=t.image, outputs=[embed AS __infer_2]          Projection: t.image, t.year, __infer_2
///   Projection: t.image, t.year                                 Projection: t.image, t.year, __infer_2
///     Filter: __infer_1 = "cat"                                   Filter: __infer_1 = "cat"
///       Infer: image=t.image,                                       Infer: image=t.image, outputs=[classify AS __infer_1,
///              outputs=[classify AS __infer_1]                             embed AS __infer_2]
///         TableScan: t                                                TableScan: t
/// ```
///
/// - Outputs are pushed through nodes that pass the image on row by row: projections, filters, sorts, limits, windows, joins, aliases and
///   other `Infer` nodes.
/// - The lower node must run on all rows, or under the same guard.
/// - A lower node for which invalid images give NULL accepts no output for which they are errors: a filter in between can drop such rows.
#[derive(Debug)]
pub(crate) struct ShareInfer;

impl OptimizerRule for ShareInfer {
    fn name(&self) -> &str {
        "share_infer"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let Some(node) = InferNode::from_plan(&plan) else {
            return Ok(Transformed::no(plan));
        };
        if !OcelliOptions::from_config(&config.options()).share_infer {
            return Ok(Transformed::no(plan));
        }
        let Some((input, columns)) = OutputRequest::new(node).push_into(node.input())? else {
            return Ok(Transformed::no(plan));
        };
        // The columns of the removed node, in their order.
        let inherited = node.input().schema().columns().into_iter().map(Expr::Column);
        let outputs = columns.into_iter().zip(node.outputs());
        let outputs = outputs.map(|(column, output)| Expr::Column(column).alias_if_changed(output.name.clone()));
        let projected = inherited.map(Ok).chain(outputs).collect::<Result<Vec<Expr>>>()?;
        Ok(Transformed::yes(LogicalPlanBuilder::from(input).project(projected)?.build()?))
    }
}

/// The outputs requested by a node, rewritten in terms of the columns of a plan below it.
struct OutputRequest<'a> {
    node: &'a InferNode,
    image: Expr,
    guard: Option<Expr>,
}

/// A plan that provides the requested outputs, and their columns.
type Provided = Option<(LogicalPlan, Vec<Column>)>;

impl<'a> OutputRequest<'a> {
    fn new(node: &'a InferNode) -> Self {
        Self { node, image: Expr::Column(node.image().clone()), guard: node.guard().cloned().map(Expr::Column) }
    }

    /// Rewrites the request in terms of the input columns.
    fn rewrite_to_input(&self, definition: impl Fn(&Column) -> Option<Expr>) -> Option<Self> {
        let guard = match &self.guard {
            Some(guard) => Some(rewrite_to_input(guard, &definition)?),
            None => None,
        };
        Some(Self { node: self.node, image: rewrite_to_input(&self.image, &definition)?, guard })
    }

    /// Whether the image and the guard refer only to columns of a plan.
    fn refers_only_to(&self, plan: &LogicalPlan) -> bool {
        let mut columns = self.image.column_refs();
        columns.extend(self.guard.iter().flat_map(Expr::column_refs));
        columns.into_iter().all(|column| plan.schema().has_column(column))
    }

    /// Adds the outputs to a node in `plan` that can compute them.
    fn push_into(&self, plan: &LogicalPlan) -> Result<Provided> {
        match plan {
            LogicalPlan::Projection(projection) => self.push_into_projection(projection),
            LogicalPlan::SubqueryAlias(alias) => self.push_into_alias(alias),
            LogicalPlan::Join(join) => self.push_into_join(join),
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_) => {
                let inputs = plan.inputs();
                let [input] = inputs.as_slice() else { return Ok(None) };
                // The columns that a window appends do not exist below it.
                if !self.refers_only_to(input) {
                    return Ok(None);
                }
                let Some((input, columns)) = self.push_into(input)? else { return Ok(None) };
                Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, columns)))
            }
            plan => match InferNode::from_plan(plan) {
                Some(node) if self.refers_only_to(node.input()) => self.push_into_infer(node),
                _ => Ok(None),
            },
        }
    }

    fn push_into_infer(&self, node: &InferNode) -> Result<Provided> {
        if self.is_subsumed_by(node) {
            let (node, columns) = add_outputs(node, self.node.outputs())?;
            return Ok(Some((node.into_logical_plan(), columns)));
        }
        let Some((input, columns)) = self.push_into(node.input())? else { return Ok(None) };
        Ok(Some((node.with_input(input)?.into_logical_plan(), columns)))
    }

    /// Whether a node runs the same model on the same image of at least the same rows, and the request adds no errors to it.
    fn is_subsumed_by(&self, node: &'a InferNode) -> bool {
        // Both nodes are compared in terms of the input of the projection that computes their images and guards.
        let (Some(request), Some(provider)) =
            (self.rewrite_to_base(node.input()), Self::new(node).rewrite_to_base(node.input()))
        else {
            return false;
        };
        let fails_query = |outputs: &[InferOutput]| outputs.iter().any(|output| output.value.fails_query());
        node.model() == self.node.model()
            && provider.image == request.image
            && (provider.guard.is_none() || provider.guard == request.guard)
            && (fails_query(node.outputs()) || !fails_query(self.node.outputs()))
    }

    /// Rewrites the request in terms of the input of the projection at the root of `plan`, or below `Infer` nodes at its root.
    fn rewrite_to_base(&self, plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Projection(projection) => {
                self.rewrite_to_input(|column| projection_input_expr(projection, column))
            }
            plan => match InferNode::from_plan(plan) {
                Some(node) if self.refers_only_to(node.input()) => self.rewrite_to_base(node.input()),
                _ => self.rewrite_to_input(|column| Some(Expr::Column(column.clone()))),
            },
        }
    }

    fn push_into_projection(&self, projection: &Projection) -> Result<Provided> {
        let Some(request) = self.rewrite_to_input(|column| projection_input_expr(projection, column)) else {
            return Ok(None);
        };
        let Some((input, columns)) = request.push_into(&projection.input)? else { return Ok(None) };
        let mut exprs = projection.expr.clone();
        for column in &columns {
            let expr = Expr::Column(column.clone());
            if !exprs.contains(&expr) {
                exprs.push(expr);
            }
        }
        Ok(Some((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), columns)))
    }

    fn push_into_alias(&self, alias: &SubqueryAlias) -> Result<Provided> {
        let Some(request) = self.rewrite_to_input(|column| alias_input_expr(alias, column)) else { return Ok(None) };
        let Some((input, columns)) = request.push_into(&alias.input)? else { return Ok(None) };
        let columns = columns.into_iter().map(|column| Column::new(Some(alias.alias.clone()), column.name)).collect();
        let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
        Ok(Some((LogicalPlan::SubqueryAlias(alias), columns)))
    }

    /// Pushes into the input that has the image. An outer join sets the columns of an unmatched row to NULL, and the outputs with them.
    /// That is the result for an image that is such a column (NULL), but not for an image that is computed from such columns.
    fn push_into_join(&self, join: &Join) -> Result<Provided> {
        let is_column = matches!(self.image, Expr::Column(_));
        let from_left = self.refers_only_to(&join.left)
            && !matches!(join.join_type, RightSemi | RightAnti | RightMark)
            && (is_column || !matches!(join.join_type, JoinType::Right | JoinType::Full));
        let from_right = self.refers_only_to(&join.right)
            && !matches!(join.join_type, LeftSemi | LeftAnti | LeftMark)
            && (is_column || !matches!(join.join_type, JoinType::Left | JoinType::Full));
        let (left, right, columns) = if from_left {
            let Some((left, columns)) = self.push_into(&join.left)? else { return Ok(None) };
            (Arc::new(left), Arc::clone(&join.right), columns)
        } else if from_right {
            let Some((right, columns)) = self.push_into(&join.right)? else { return Ok(None) };
            (Arc::clone(&join.left), Arc::new(right), columns)
        } else {
            return Ok(None);
        };
        let join = join_with_inputs(join, left, right, join.on.clone(), join.filter.clone())?;
        Ok(Some((LogicalPlan::Join(join), columns)))
    }
}

/// Adds the requested outputs that the node does not have. Returns the columns of all requested outputs.
fn add_outputs(node: &InferNode, requested: &[InferOutput]) -> Result<(InferNode, Vec<Column>)> {
    let mut outputs = node.outputs().to_vec();
    let mut columns = Vec::new();
    for output in requested {
        let name = match outputs.iter().find(|existing| existing.value == output.value) {
            Some(existing) => existing.name.clone(),
            None => {
                outputs.push(output.clone());
                output.name.clone()
            }
        };
        columns.push(Column::new_unqualified(name));
    }
    Ok((node.with_outputs(outputs)?, columns))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::infer::rules::LiftInfer;
    use crate::model::ModelRegistry;
    use crate::session::rule_test::rewrite_after;

    async fn share(sql: &str) -> String {
        let lift: Arc<dyn OptimizerRule + Send + Sync> =
            Arc::new(LiftInfer::new(Arc::new(ModelRegistry::with_builtin_model().unwrap())));
        rewrite_after(vec![lift], Arc::new(ShareInfer), sql).await.unwrap_or_else(|error| crate::user_message(&error))
    }

    /// The number of `Infer` nodes.
    async fn num_nodes(sql: &str) -> usize {
        share(sql).await.matches("Infer:").count()
    }

    #[tokio::test]
    async fn filter_and_projection_share_one_pass() {
        assert_snapshot!(share("SELECT embed(image) FROM t WHERE classify(image) = 'cat'").await, @r#"
        Projection: __infer_2 AS embed(t.image)
          Projection: t.uri, t.image, t.year, __infer_2
            Projection: t.uri, t.image, t.year, __infer_2
              Filter: __infer_1 = Utf8("cat")
                Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1, embed AS __infer_2]
                  TableScan: t
        "#);
    }

    #[tokio::test]
    async fn equal_calls_share_one_column() {
        assert_snapshot!(share("SELECT classify(image) FROM t WHERE classify(image) = 'cat'").await, @r#"
        Projection: __infer_2 AS classify(t.image)
          Projection: t.uri, t.image, t.year, __infer_1 AS __infer_2
            Projection: t.uri, t.image, t.year, __infer_1
              Filter: __infer_1 = Utf8("cat")
                Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                  TableScan: t
        "#);
    }

    #[tokio::test]
    async fn outputs_are_pushed_through_aliases_and_joins() {
        let sql =
            "SELECT classify(s.photo) FROM (SELECT image AS photo, year FROM t WHERE classify(image) = 'cat') AS s
                   LEFT JOIN u ON s.year = u.year";
        assert_snapshot!(share(sql).await, @r#"
        Projection: __infer_2 AS classify(s.photo)
          Projection: s.photo, s.year, u.uri, u.image, u.year, s.__infer_1 AS __infer_2
            Left Join:  Filter: s.year = u.year
              SubqueryAlias: s
                Projection: t.image AS photo, t.year, __infer_1
                  Projection: t.uri, t.image, t.year, __infer_1
                    Filter: __infer_1 = Utf8("cat")
                      Infer: model=resnet20-cifar10, image=t.image, outputs=[classify AS __infer_1]
                        TableScan: t
              TableScan: u
        "#);
    }

    #[tokio::test]
    async fn equal_guards_and_images_are_shared() {
        let guarded = "CASE WHEN year > 2000 THEN classify(image) END";
        assert_eq!(num_nodes(&format!("SELECT {guarded} FROM t WHERE {guarded} = 'cat'")).await, 1);
        let image = "classify(coalesce(image, X'ff'))";
        assert_eq!(num_nodes(&format!("SELECT {image} FROM t WHERE {image} = 'cat'")).await, 1);
    }

    #[tokio::test]
    async fn different_images_guards_and_error_modes_are_not_shared() {
        assert_eq!(num_nodes("SELECT classify(t.image) FROM t JOIN u ON classify(u.image) = 'cat'").await, 2);
        let guarded = "CASE WHEN year > 2000 THEN classify(image) END";
        assert_eq!(num_nodes(&format!("SELECT classify(image) FROM t WHERE {guarded} = 'cat'")).await, 2);
        assert_eq!(num_nodes("SELECT classify(image) FROM t WHERE try_classify(image) = 'cat'").await, 2);
        assert_eq!(num_nodes("SELECT try_classify(image) FROM t WHERE classify(image) = 'cat'").await, 1);
    }

    #[tokio::test]
    async fn volatile_images_are_not_shared() {
        let volatile = "SELECT CASE WHEN random() > 0.5 THEN image END AS image FROM t WHERE classify(image) = 'cat'";
        assert_eq!(num_nodes(&format!("SELECT classify(image) FROM ({volatile})")).await, 2);
    }

    #[tokio::test]
    async fn images_computed_from_unmatched_columns_are_not_shared() {
        let image = "classify(coalesce(image, X'ff'))";
        let joined = |join: &str| {
            format!(
                "SELECT {image} FROM (SELECT image, year FROM t WHERE {image} = 'cat') AS s {join} JOIN (SELECT year AS y FROM u) ON year = y"
            )
        };
        assert_eq!(num_nodes(&joined("RIGHT")).await, 2);
        assert_eq!(num_nodes(&joined("LEFT")).await, 1);
    }
}
