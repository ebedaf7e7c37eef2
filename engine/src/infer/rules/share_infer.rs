//! [`ShareInfer`] lets a node below compute what a node above asks of the same image and model.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::infer::{InferNode, InferOutput};
use crate::options::OcelliOptions;
use crate::plan::{in_alias, in_projection, made_of};

/// One pass of a model over an image, for all that is asked of it anywhere in a query.
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
/// - It looks through projections, filters, sorts, limits, windows, joins, aliases and other `Infer` nodes: what passes the
///   image on, row by row.
/// - The node below must look at every row, or at the same ones.
/// - A node for which bad images are NULL takes no output for which they are errors: a filter between the two may drop them.
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
        let Some(above) = InferNode::from_plan(&plan) else {
            return Ok(Transformed::no(plan));
        };
        if !OcelliOptions::from_config(&config.options()).share_infer {
            return Ok(Transformed::no(plan));
        }
        let wanted = RequestedOutputs {
            node: above,
            image: Expr::Column(above.image().clone()),
            guard: above.guard().cloned().map(Expr::Column),
        };
        let Some((input, columns)) = wanted.below(above.input())? else {
            return Ok(Transformed::no(plan));
        };
        // The columns of the node that is gone, in their order.
        let passed = above.input().schema().columns().into_iter().map(Expr::Column);
        let outputs = columns.into_iter().zip(above.outputs());
        let outputs = outputs.map(|(column, output)| Expr::Column(column).alias_if_changed(output.name.clone()));
        let projected = passed.map(Ok).chain(outputs).collect::<Result<Vec<Expr>>>()?;
        Ok(Transformed::yes(LogicalPlanBuilder::from(input).project(projected)?.build()?))
    }
}

/// What a node asks for, in terms of the columns of some plan below it.
struct RequestedOutputs<'a> {
    node: &'a InferNode,
    image: Expr,
    guard: Option<Expr>,
}

/// A plan with the wanted columns, and which they are.
type Found = Option<(LogicalPlan, Vec<Column>)>;

impl<'a> RequestedOutputs<'a> {
    /// The same in terms of what the columns are made of.
    fn made_of(&self, below: impl Fn(&Column) -> Option<Expr>) -> Option<Self> {
        let guard = match &self.guard {
            Some(guard) => Some(made_of(guard, &below)?),
            None => None,
        };
        Some(Self { node: self.node, image: made_of(&self.image, &below)?, guard })
    }

    /// Whether all its columns are among those of a plan.
    fn is_of(&self, plan: &LogicalPlan) -> bool {
        let mut columns = self.image.column_refs();
        columns.extend(self.guard.iter().flat_map(Expr::column_refs));
        columns.into_iter().all(|column| plan.schema().has_column(column))
    }

    /// Finds a node in `plan` that can give the outputs, and has it give them.
    fn below(&self, plan: &LogicalPlan) -> Result<Found> {
        match plan {
            LogicalPlan::Projection(projection) => self.below_projection(projection),
            LogicalPlan::SubqueryAlias(alias) => self.below_alias(alias),
            LogicalPlan::Join(join) => self.below_join(join),
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_) => {
                let inputs = plan.inputs();
                let [input] = inputs.as_slice() else { return Ok(None) };
                // A window's own columns are not there yet.
                if !self.is_of(input) {
                    return Ok(None);
                }
                let Some((input, columns)) = self.below(input)? else { return Ok(None) };
                Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, columns)))
            }
            plan => match InferNode::from_plan(plan) {
                Some(node) if self.is_of(node.input()) => self.below_infer(node),
                _ => Ok(None),
            },
        }
    }

    fn below_infer(&self, node: &InferNode) -> Result<Found> {
        if self.can_be_given_by(node) {
            let (node, columns) = add_outputs(node, self.node.outputs())?;
            return Ok(Some((node.into_plan(), columns)));
        }
        let Some((input, columns)) = self.below(node.input())? else { return Ok(None) };
        Ok(Some((node.with_input(input)?.into_plan(), columns)))
    }

    /// Whether a node runs the same model on the same image of the same rows, and fails for no other.
    fn can_be_given_by(&self, node: &'a InferNode) -> bool {
        let mine =
            Self { node, image: Expr::Column(node.image().clone()), guard: node.guard().cloned().map(Expr::Column) };
        // Both in terms of what the projection right below computes for the nodes.
        let (Some(wanted), Some(mine)) = (self.made_below(node.input()), mine.made_below(node.input())) else {
            return false;
        };
        let raises = |outputs: &[InferOutput]| outputs.iter().any(|output| output.value.fails_query());
        node.model() == self.node.model()
            && mine.image == wanted.image
            && (mine.guard.is_none() || mine.guard == wanted.guard)
            && (raises(node.outputs()) || !raises(self.node.outputs()))
    }

    /// In terms of a projection's input, when the plan, or what other nodes stand on, is one.
    fn made_below(&self, plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Projection(projection) => self.made_of(|column| in_projection(projection, column)),
            plan => match InferNode::from_plan(plan) {
                Some(node) if self.is_of(node.input()) => self.made_below(node.input()),
                _ => self.made_of(|column| Some(Expr::Column(column.clone()))),
            },
        }
    }

    fn below_projection(&self, projection: &Projection) -> Result<Found> {
        let Some(wanted) = self.made_of(|column| in_projection(projection, column)) else { return Ok(None) };
        let Some((input, columns)) = wanted.below(&projection.input)? else { return Ok(None) };
        let mut exprs = projection.expr.clone();
        for column in &columns {
            let expr = Expr::Column(column.clone());
            if !exprs.contains(&expr) {
                exprs.push(expr);
            }
        }
        Ok(Some((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), columns)))
    }

    fn below_alias(&self, alias: &SubqueryAlias) -> Result<Found> {
        let Some(wanted) = self.made_of(|column| in_alias(alias, column)) else { return Ok(None) };
        let Some((input, columns)) = wanted.below(&alias.input)? else { return Ok(None) };
        let columns = columns.into_iter().map(|column| Column::new(Some(alias.alias.clone()), column.name)).collect();
        let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
        Ok(Some((LogicalPlan::SubqueryAlias(alias), columns)))
    }

    /// The side of a join that has the image. A row without a partner gets NULL for the other side's columns, outputs among
    /// them: the right answer for an image that is such a column, and not for one that is made of them.
    fn below_join(&self, join: &Join) -> Result<Found> {
        let is_column = matches!(self.image, Expr::Column(_));
        let from_left = self.is_of(&join.left)
            && !matches!(join.join_type, RightSemi | RightAnti | RightMark)
            && (is_column || !matches!(join.join_type, JoinType::Right | JoinType::Full));
        let from_right = self.is_of(&join.right)
            && !matches!(join.join_type, LeftSemi | LeftAnti | LeftMark)
            && (is_column || !matches!(join.join_type, JoinType::Left | JoinType::Full));
        let (left, right, columns) = if from_left {
            let Some((left, columns)) = self.below(&join.left)? else { return Ok(None) };
            (Arc::new(left), Arc::clone(&join.right), columns)
        } else if from_right {
            let Some((right, columns)) = self.below(&join.right)? else { return Ok(None) };
            (Arc::clone(&join.left), Arc::new(right), columns)
        } else {
            return Ok(None);
        };
        let join = Join::try_new(
            left,
            right,
            join.on.clone(),
            join.filter.clone(),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        Ok(Some((LogicalPlan::Join(join), columns)))
    }
}

/// The node with more outputs, unless it has equal ones, and the columns of all that were asked for.
fn add_outputs(node: &InferNode, wanted: &[InferOutput]) -> Result<(InferNode, Vec<Column>)> {
    let mut outputs = node.outputs().to_vec();
    let mut columns = Vec::new();
    for output in wanted {
        let name = match outputs.iter().find(|known| known.value == output.value) {
            Some(known) => known.name.clone(),
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

    /// How many nodes are left.
    async fn nodes(sql: &str) -> usize {
        share(sql).await.matches("Infer:").count()
    }

    #[tokio::test]
    async fn a_filter_and_a_projection_share_one_pass() {
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
    async fn aliases_and_joins_are_looked_through() {
        let sql =
            "SELECT classify(s.picture) FROM (SELECT image AS picture, year FROM t WHERE classify(image) = 'cat') AS s
                   LEFT JOIN u ON s.year = u.year";
        assert_snapshot!(share(sql).await, @r#"
        Projection: __infer_2 AS classify(s.picture)
          Projection: s.picture, s.year, u.uri, u.image, u.year, s.__infer_1 AS __infer_2
            Left Join:  Filter: s.year = u.year
              SubqueryAlias: s
                Projection: t.image AS picture, t.year, __infer_1
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
        assert_eq!(nodes(&format!("SELECT {guarded} FROM t WHERE {guarded} = 'cat'")).await, 1);
        let image = "classify(coalesce(image, X'ff'))";
        assert_eq!(nodes(&format!("SELECT {image} FROM t WHERE {image} = 'cat'")).await, 1);
    }

    #[tokio::test]
    async fn other_images_rows_and_errors_are_not_shared() {
        assert_eq!(nodes("SELECT classify(t.image) FROM t JOIN u ON classify(u.image) = 'cat'").await, 2);
        let guarded = "CASE WHEN year > 2000 THEN classify(image) END";
        assert_eq!(nodes(&format!("SELECT classify(image) FROM t WHERE {guarded} = 'cat'")).await, 2);
        assert_eq!(nodes("SELECT classify(image) FROM t WHERE try_classify(image) = 'cat'").await, 2);
        assert_eq!(nodes("SELECT try_classify(image) FROM t WHERE classify(image) = 'cat'").await, 1);
    }

    #[tokio::test]
    async fn an_image_that_differs_at_every_look_is_not_shared() {
        let drawn = "SELECT CASE WHEN random() > 0.5 THEN image END AS image FROM t WHERE classify(image) = 'cat'";
        assert_eq!(nodes(&format!("SELECT classify(image) FROM ({drawn})")).await, 2);
    }

    #[tokio::test]
    async fn an_image_made_of_missing_columns_is_not_shared() {
        let image = "classify(coalesce(image, X'ff'))";
        let joined = |join: &str| {
            format!(
                "SELECT {image} FROM (SELECT image, year FROM t WHERE {image} = 'cat') AS s {join} JOIN (SELECT year AS y FROM u) ON year = y"
            )
        };
        assert_eq!(nodes(&joined("RIGHT")).await, 2);
        assert_eq!(nodes(&joined("LEFT")).await, 1);
    }
}
