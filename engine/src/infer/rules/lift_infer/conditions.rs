//! [`visit_calls`]: finds the calls in an expression, each with its path condition.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions::core::{coalesce::CoalesceFunc, nvl::NVLFunc, nvl2::NVL2Func};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Case, Expr, Operator, lit};

use crate::infer::function::InferFunction;

/// Whether an expression is a call of a function that runs a model.
pub(super) fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(ScalarFunction { func, .. }) if InferFunction::from_udf(func).is_some())
}

/// Whether an expression contains such a call.
pub(super) fn has_call(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_call(expr))).unwrap_or(false)
}

/// A callback for a call and its path condition.
type CallVisitor<'a> = &'a mut dyn FnMut(&Expr, &[Expr]) -> Result<()>;

/// Visits each call in `expr` with its path condition (the term of symbolic execution): the conditions under which the call is evaluated.
///
/// ```text
/// CASE WHEN a THEN classify(x) WHEN b THEN classify(y) END
///     classify(x)  [a IS TRUE]
///     classify(y)  [a IS NOT TRUE, b IS TRUE]
/// ```
///
/// The conditions are a conjunction in evaluation order: each may be evaluated only for rows that fulfil those before it. Calls in the body
/// of a lambda function are not visited, because they have no input row.
pub(super) fn visit_calls(expr: &Expr, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    if !has_call(expr) {
        return Ok(());
    }
    match expr {
        Expr::Case(case) => visit_case(case, path_condition, visit),
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            visit_and_or(expr, binary.op, path_condition, visit)
        }
        Expr::ScalarFunction(function) => {
            if is_call(expr) {
                visit(expr, path_condition)?;
            }
            visit_arguments(function, path_condition, visit)
        }
        Expr::AggregateFunction(AggregateFunction { params, .. }) => {
            let sorts = params.order_by.iter().map(|sort| &sort.expr);
            visit_filtered(params.args.iter().chain(sorts), params.filter.as_deref(), path_condition, visit)
        }
        Expr::WindowFunction(function) => {
            let WindowFunction { params, .. } = function.as_ref();
            // Partitions and ranks include the rows that the FILTER excludes.
            let sorts = params.order_by.iter().map(|sort| &sort.expr);
            params.partition_by.iter().chain(sorts).try_for_each(|expr| visit_calls(expr, path_condition, visit))?;
            visit_filtered(params.args.iter(), params.filter.as_deref(), path_condition, visit)
        }
        Expr::Lambda(_) => Ok(()),
        other => visit_children(other, path_condition, visit),
    }
}

fn visit_children(expr: &Expr, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    expr.apply_children(|child| visit_calls(child, path_condition, visit).map(|()| TreeNodeRecursion::Continue))
        .map(|_| ())
}

/// Visits `expr` under additional conditions.
fn visit_under(expr: &Expr, conditions: Vec<Expr>, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    let length = path_condition.len();
    path_condition.extend(conditions);
    let result = visit_calls(expr, path_condition, visit);
    path_condition.truncate(length);
    result
}

fn visit_case(case: &Case, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    let length = path_condition.len();
    if let Some(base) = &case.expr {
        visit_calls(base, path_condition, visit)?;
    }
    for (when, then) in &case.when_then_expr {
        visit_calls(when, path_condition, visit)?;
        let when = match &case.expr {
            Some(base) => base.as_ref().clone().eq(when.as_ref().clone()),
            None => when.as_ref().clone(),
        };
        visit_under(then, vec![when.clone().is_true()], path_condition, visit)?;
        path_condition.push(when.is_not_true());
    }
    if let Some(otherwise) = &case.else_expr {
        visit_calls(otherwise, path_condition, visit)?;
    }
    path_condition.truncate(length);
    Ok(())
}

/// `a AND b AND c`, or the same with OR. Operands without calls are cheap and count as evaluated first, wherever they are written: a call is
/// needed only for rows that they leave undecided.
fn visit_and_or(expr: &Expr, op: Operator, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    let mut operands = Vec::new();
    flatten(expr, op, &mut operands);
    let (calls, cheap): (Vec<&Expr>, Vec<&Expr>) = operands.into_iter().partition(|operand| has_call(operand));
    let undecided = |operand: &Expr| match op {
        Operator::And => operand.clone().is_not_false(),
        _ => operand.clone().is_not_true(),
    };
    let length = path_condition.len();
    path_condition.extend(cheap.into_iter().map(undecided));
    for operand in calls {
        visit_calls(operand, path_condition, visit)?;
        path_condition.push(undecided(operand));
    }
    path_condition.truncate(length);
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

/// Arguments of a function. COALESCE, NVL and NVL2 evaluate some of them conditionally.
fn visit_arguments(function: &ScalarFunction, path_condition: &mut Vec<Expr>, visit: CallVisitor) -> Result<()> {
    let inner = function.func.inner();
    let args = &function.args;
    if inner.is::<CoalesceFunc>() || inner.is::<NVLFunc>() {
        let length = path_condition.len();
        for arg in args {
            visit_calls(arg, path_condition, visit)?;
            path_condition.push(arg.clone().is_null());
        }
        path_condition.truncate(length);
        return Ok(());
    }
    if let (true, [tested, value, otherwise]) = (inner.is::<NVL2Func>(), args.as_slice()) {
        visit_calls(tested, path_condition, visit)?;
        visit_under(value, vec![tested.clone().is_not_null()], path_condition, visit)?;
        return visit_under(otherwise, vec![tested.clone().is_null()], path_condition, visit);
    }
    args.iter().try_for_each(|arg| visit_calls(arg, path_condition, visit))
}

/// Arguments of an aggregate or window function: evaluated where its FILTER is true.
fn visit_filtered<'a>(
    mut args: impl Iterator<Item = &'a Expr>,
    filter: Option<&Expr>,
    path_condition: &mut Vec<Expr>,
    visit: CallVisitor,
) -> Result<()> {
    let condition = filter.map(|filter| filter.clone().is_true());
    if let Some(filter) = filter {
        visit_calls(filter, path_condition, visit)?;
    }
    args.try_for_each(|arg| visit_under(arg, condition.clone().into_iter().collect(), path_condition, visit))
}

/// Whether a path condition gives the same result when it is evaluated a second time, in a guard column.
pub(super) fn is_deterministic(path_condition: &[Expr]) -> bool {
    path_condition.iter().all(|condition| {
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

/// The disjunction of path conditions as one predicate. No condition is evaluated for rows that an earlier condition of its path excludes.
/// `None` without path conditions: the calls are evaluated for all rows.
pub(super) fn path_predicate(path_conditions: &[Vec<Expr>]) -> Option<Expr> {
    let to_predicate = |path_condition: &Vec<Expr>| match path_condition.as_slice() {
        [condition] => condition.clone(),
        conditions => {
            // Not AND, which evaluates its right side for all rows of a batch if the left side is true for many of them. CASE never does.
            let nested = conditions.iter().rfold(lit(1_i64), |inner, condition| {
                Expr::Case(Case::new(None, vec![(Box::new(condition.clone()), Box::new(inner))], None))
            });
            nested.is_not_null()
        }
    };
    path_conditions.iter().map(to_predicate).reduce(Expr::or)
}
