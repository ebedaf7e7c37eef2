//! [`walk`] finds the calls in an expression, and what must be true of a row for each to be wanted.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions::core::{coalesce::CoalesceFunc, nvl::NVLFunc, nvl2::NVL2Func};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Case, Expr, Operator, lit};

use crate::infer::function::InferFunction;

/// Whether an expression is a call that runs a model.
pub(super) fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(ScalarFunction { func, .. }) if InferFunction::of(func).is_some())
}

/// Whether there is such a call anywhere in it.
pub(super) fn has_call(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_call(expr))).unwrap_or(false)
}

/// Calls `visit` with each call in `expr`, and the conditions on the way to it.
///
/// ```text
/// CASE WHEN a THEN classify(x) WHEN b THEN classify(y) END
///     classify(x)  [a IS TRUE]
///     classify(y)  [a IS NOT TRUE, b IS TRUE]
/// ```
///
/// The conditions stand in the order in which they may be evaluated: each only for rows that fulfil those before it. Calls
/// in the body of a lambda function have no row to stand in, and are not visited.
pub(super) fn walk(
    expr: &Expr,
    path: &mut Vec<Expr>,
    visit: &mut dyn FnMut(&Expr, &[Expr]) -> Result<()>,
) -> Result<()> {
    if !has_call(expr) {
        return Ok(());
    }
    match expr {
        Expr::Case(case) => walk_case(case, path, visit),
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            walk_chain(expr, binary.op, path, visit)
        }
        Expr::ScalarFunction(function) => {
            if is_call(expr) {
                visit(expr, path)?;
            }
            walk_arguments(function, path, visit)
        }
        Expr::AggregateFunction(AggregateFunction { params, .. }) => {
            let sorts = params.order_by.iter().map(|sort| &sort.expr);
            walk_filtered(params.args.iter().chain(sorts), params.filter.as_deref(), path, visit)
        }
        Expr::WindowFunction(function) => {
            let WindowFunction { params, .. } = function.as_ref();
            // Rows that the FILTER leaves out have their partitions and places all the same.
            let sorts = params.order_by.iter().map(|sort| &sort.expr);
            params.partition_by.iter().chain(sorts).try_for_each(|expr| walk(expr, path, visit))?;
            walk_filtered(params.args.iter(), params.filter.as_deref(), path, visit)
        }
        Expr::Lambda(_) => Ok(()),
        other => walk_children(other, path, visit),
    }
}

type Visit<'a> = &'a mut dyn FnMut(&Expr, &[Expr]) -> Result<()>;

fn walk_children(expr: &Expr, path: &mut Vec<Expr>, visit: Visit) -> Result<()> {
    expr.apply_children(|child| walk(child, path, visit).map(|()| TreeNodeRecursion::Continue)).map(|_| ())
}

/// Walks `expr` where `conditions` hold too.
fn walk_where(expr: &Expr, conditions: Vec<Expr>, path: &mut Vec<Expr>, visit: Visit) -> Result<()> {
    let length = path.len();
    path.extend(conditions);
    let walked = walk(expr, path, visit);
    path.truncate(length);
    walked
}

fn walk_case(case: &Case, path: &mut Vec<Expr>, visit: Visit) -> Result<()> {
    let length = path.len();
    if let Some(base) = &case.expr {
        walk(base, path, visit)?;
    }
    for (when, then) in &case.when_then_expr {
        walk(when, path, visit)?;
        let when = match &case.expr {
            Some(base) => base.as_ref().clone().eq(when.as_ref().clone()),
            None => when.as_ref().clone(),
        };
        walk_where(then, vec![when.clone().is_true()], path, visit)?;
        path.push(when.is_not_true());
    }
    if let Some(otherwise) = &case.else_expr {
        walk(otherwise, path, visit)?;
    }
    path.truncate(length);
    Ok(())
}

/// `a AND b AND c`, or with OR. What calls no model is cheap and decides first, wherever it stands.
fn walk_chain(expr: &Expr, op: Operator, path: &mut Vec<Expr>, visit: Visit) -> Result<()> {
    let mut operands = Vec::new();
    flatten(expr, op, &mut operands);
    let (calls, cheap): (Vec<&Expr>, Vec<&Expr>) = operands.into_iter().partition(|operand| has_call(operand));
    let undecided = |operand: &Expr| match op {
        Operator::And => operand.clone().is_not_false(),
        _ => operand.clone().is_not_true(),
    };
    let length = path.len();
    path.extend(cheap.into_iter().map(undecided));
    for operand in calls {
        walk(operand, path, visit)?;
        path.push(undecided(operand));
    }
    path.truncate(length);
    Ok(())
}

fn flatten<'a>(expr: &'a Expr, op: Operator, operands: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryExpr(binary) if binary.op == op => {
            flatten(&binary.left, op, operands);
            flatten(&binary.right, op, operands);
        }
        other => operands.push(other),
    }
}

/// Arguments of a function, of which some leave the later ones alone.
fn walk_arguments(function: &ScalarFunction, path: &mut Vec<Expr>, visit: Visit) -> Result<()> {
    let inner = function.func.inner();
    let args = &function.args;
    if inner.is::<CoalesceFunc>() || inner.is::<NVLFunc>() {
        let length = path.len();
        for arg in args {
            walk(arg, path, visit)?;
            path.push(arg.clone().is_null());
        }
        path.truncate(length);
        return Ok(());
    }
    if let (true, [tested, value, otherwise]) = (inner.is::<NVL2Func>(), args.as_slice()) {
        walk(tested, path, visit)?;
        walk_where(value, vec![tested.clone().is_not_null()], path, visit)?;
        return walk_where(otherwise, vec![tested.clone().is_null()], path, visit);
    }
    args.iter().try_for_each(|arg| walk(arg, path, visit))
}

/// What an aggregate or window function looks at is wanted where its FILTER is true.
fn walk_filtered<'a>(
    mut args: impl Iterator<Item = &'a Expr>,
    filter: Option<&Expr>,
    path: &mut Vec<Expr>,
    visit: Visit,
) -> Result<()> {
    let condition = filter.map(|filter| filter.clone().is_true());
    if let Some(filter) = filter {
        walk(filter, path, visit)?;
    }
    args.try_for_each(|arg| walk_where(arg, condition.clone().into_iter().collect(), path, visit))
}

/// Whether conditions can be evaluated a second time, for a column of their own.
pub(super) fn are_repeatable(path: &[Expr]) -> bool {
    path.iter().all(|condition| {
        let is_subquery = |expr: &Expr| {
            matches!(
                expr,
                Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::ScalarSubquery(_)
                    | Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
            )
        };
        !condition.is_volatile() && !condition.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
    })
}

/// Whether one of the paths is open for a row. None of it is evaluated for rows that an earlier condition of the path keeps out.
pub(super) fn guard(paths: &[Vec<Expr>]) -> Option<Expr> {
    let opens = |path: &Vec<Expr>| match path.as_slice() {
        [condition] => condition.clone(),
        path => {
            // AND evaluates its right side for all rows of a batch when the left is true for many; CASE never does.
            let open = path.iter().rfold(lit(1_i64), |inner, condition| {
                Expr::Case(Case::new(None, vec![(Box::new(condition.clone()), Box::new(inner))], None))
            });
            open.is_not_null()
        }
    };
    paths.iter().map(opens).reduce(Expr::or)
}
