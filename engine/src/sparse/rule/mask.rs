//! [`MaskJoin`] and [`match_mask`]: semi-joins and anti-joins on the groups of a product become its mask.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan};

use super::input_columns::{Definition, step_into_input};
use super::no_match::{NoMatch, unsupported};
use super::side::{JoinSchemas, OperandProjection};
use crate::plan::{is_infallible, join_with_inputs, substitute_columns};
use crate::sparse::kernels::MaskKind;
use crate::sparse::node::SparseMatMulNode;
use crate::sparse::spec::JoinFallback;

/// A semi-join (EXISTS, IN) or an anti-join (NOT EXISTS), which keeps or drops rows of its left input.
pub(super) struct MaskJoin<'a> {
    pub(super) join: &'a Join,
    /// The keys of the left input, rewritten in terms of the columns of the join or the product below it.
    pub(super) keys: Vec<Expr>,
    kind: MaskKind,
}

impl<'a> MaskJoin<'a> {
    /// `None` for other joins.
    pub(super) fn new(join: &'a Join) -> Option<Self> {
        let kind = match join.join_type {
            JoinType::LeftSemi => MaskKind::Structural,
            JoinType::LeftAnti => MaskKind::Complemented,
            _ => return None,
        };
        Some(Self { join, keys: join.on.iter().map(|(key, _)| key.clone()).collect(), kind })
    }

    /// What the join is, for reasons.
    fn name(&self) -> &'static str {
        match self.kind {
            MaskKind::Structural => "semi-join",
            MaskKind::Complemented => "anti-join",
        }
    }

    /// Rewrites the keys by the definitions of their columns.
    pub(super) fn substitute(&mut self, definition: &Definition<'_>) -> Result<()> {
        for key in &mut self.keys {
            *key = substitute_columns(key.clone(), definition)?;
        }
        Ok(())
    }

    /// Checks that the join only compares keys, of which NULL is equal to none.
    pub(super) fn check_condition(&self) -> Result<(), NoMatch> {
        let (join, name) = (self.join, self.name());
        if join.null_aware {
            return unsupported("NOT IN drops all rows if its subquery has a NULL; NOT EXISTS can be a mask");
        }
        if join.null_equality != NullEquality::NullEqualsNothing {
            return unsupported(format!("the {name} treats NULL keys as equal"));
        }
        if join.on.is_empty() {
            return unsupported(format!("the {name} has no equality condition"));
        }
        if let Some(filter) = &join.filter {
            return unsupported(format!("the {name} has the condition {filter} in addition to equalities"));
        }
        Ok(())
    }

    /// The side of the product that all keys come from, `None` if they come from both.
    pub(super) fn side(&self, schemas: &JoinSchemas<'_>) -> Option<JoinSide> {
        let mut sides = self.keys.iter().map(|key| schemas.side_of(key));
        let first = sides.next()??;
        sides.all(|side| side == Some(first)).then_some(first)
    }

    /// The node with this join as its mask. `groups` are the left groups and the right groups of the node, as the keys
    /// name them.
    pub(super) fn apply(&self, node: SparseMatMulNode, groups: &[Expr]) -> Result<SparseMatMulNode, NoMatch> {
        let (join, name) = (self.join, self.name());
        let mut mask = OperandProjection::new(&join.right);
        let mut is_used = vec![false; self.keys.len()];
        for group in groups {
            let key = (0..self.keys.len()).find(|&key| !is_used[key] && self.keys[key] == *group);
            let Some(key) = key else {
                return unsupported(format!("the {name} does not compare the group key {group}"));
            };
            is_used[key] = true;
            let (left, right) = &join.on[key];
            let (left_type, right_type) = (left.get_type(join.left.schema())?, right.get_type(join.right.schema())?);
            if left_type != right_type {
                return unsupported(format!("the {name} compares {left_type} with {right_type}"));
            }
            if left_type.is_nested() {
                return unsupported(format!(
                    "the {name} compares {left_type}, whose equal values may have different bits"
                ));
            }
            if right.is_volatile() {
                return unsupported(format!("{right} is volatile"));
            }
            if !is_infallible(right, join.right.schema()) {
                return unsupported(format!("{right} may fail on rows that the join does not read"));
            }
            mask.keys.push(right.clone());
        }
        if let Some(key) = (0..self.keys.len()).find(|&key| !is_used[key]) {
            return unsupported(format!("the {name} compares {}, which is not a group key", self.keys[key]));
        }
        Ok(node.with_mask(self.kind, mask.into_logical_plan()?)?)
    }
}

/// Moves a semi-join or anti-join above a product into it, if it compares all groups.
///
/// ```text
/// LeftSemi Join: a.row = m.row, b.col = m.col      SparseMatMul: a.row x b.col, mask=[row, col]
///   SparseMatMul: a.row x b.col                      Projection: …a
///     Projection: …a                                 Projection: …b
///     Projection: …b                                 TableScan: m
///   TableScan: m
/// ```
pub(super) fn match_mask(join: &Join) -> Result<LogicalPlan, NoMatch> {
    let Some(mut mask) = MaskJoin::new(join) else {
        return Err(NoMatch::NotAJoin);
    };
    let mut plan = join.left.as_ref();
    while let Some((input, definition)) = step_into_input(plan) {
        mask.substitute(definition.as_ref())?;
        plan = input;
    }
    let Some(node) = product(plan) else {
        return Err(NoMatch::NotAJoin);
    };
    mask.check_condition()?;
    let (num_row_groups, num_col_groups) = (node.spec.num_row_groups, node.spec.num_col_groups);
    if num_row_groups == 0 || num_col_groups == 0 {
        let name = mask.name();
        return unsupported(format!(
            "the {name} is above a matrix-vector product; below the GROUP BY it filters the matrix"
        ));
    }
    if node.spec.mask.is_some() {
        return unsupported("the product has a mask already");
    }
    let groups: Vec<Expr> =
        node.schema.columns().into_iter().take(num_row_groups + num_col_groups).map(Expr::Column).collect();
    let masked = mask.apply(node.clone(), &groups)?.with_fallback(masked_fallback(&mask, node, &groups)?);
    let mut masked = Some(masked.into_logical_plan());
    // The first product from the top is this one.
    let rewritten = join.left.as_ref().clone().transform_down(|plan| {
        Ok(match masked.take_if(|_| product(&plan).is_some()) {
            Some(masked) => Transformed::new(masked, true, TreeNodeRecursion::Stop),
            None => Transformed::no(plan),
        })
    });
    Ok(rewritten.data()?)
}

/// The product that a plan is.
fn product(plan: &LogicalPlan) -> Option<&SparseMatMulNode> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// The join that the product without the mask may fall back to, below the semi-join or anti-join.
fn masked_fallback(mask: &MaskJoin<'_>, node: &SparseMatMulNode, groups: &[Expr]) -> Result<Option<JoinFallback>> {
    let Some(fallback) = &node.fallback else {
        return Ok(None);
    };
    // Parameters of a prepared statement are bound in the inputs of a node, and the fallback is not one.
    if mask.join.right.get_parameter_names().is_ok_and(|parameters| !parameters.is_empty()) {
        return Ok(None);
    }
    let columns = fallback.plan.schema().columns();
    let key = |key: &Expr| {
        let group = groups.iter().position(|group| group == key)?;
        Some(Expr::Column(columns[fallback.projection[group]].clone()))
    };
    let on = mask.keys.iter().zip(&mask.join.on).map(|(left, (_, right))| Some((key(left)?, right.clone())));
    let Some(on) = on.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let join = join_with_inputs(mask.join, Arc::clone(&fallback.plan), Arc::clone(&mask.join.right), on, None)?;
    let plan = Arc::new(LogicalPlan::Join(join));
    Ok(Some(JoinFallback { plan, projection: fallback.projection.clone() }))
}
