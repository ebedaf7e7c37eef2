//! [`is_infallible`]: whether an expression can be evaluated on any row without an error.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::functions::{core, math, string};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF};

/// Whether an expression returns a value, or NULL, for every row, whatever the row contains.
///
/// A join evaluates it on matched rows only, a sparse product on all rows of an operand: an error must not come from unmatched rows.
/// Anything not known to be infallible counts as fallible.
pub(crate) fn is_infallible(expr: &Expr, schema: &DFSchema) -> bool {
    let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    let all_infallible = |exprs: &[&Expr]| exprs.iter().all(|expr| is_infallible(expr, schema));
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => all_infallible(&[&alias.expr]),
        Expr::BinaryExpr(binary) => {
            let (left, right) = (type_of(&binary.left), type_of(&binary.right));
            let is_infallible_op = match binary.op {
                // Integers wrap around, floats have infinities.
                Operator::Plus | Operator::Minus | Operator::Multiply => {
                    (left.is_integer() && right.is_integer()) || (left.is_floating() && right.is_floating())
                }
                Operator::Divide => left.is_floating() && right.is_floating(),
                Operator::And | Operator::Or | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => true,
                Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => true,
                _ => false,
            };
            is_infallible_op && all_infallible(&[&binary.left, &binary.right])
        }
        Expr::Not(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsNotUnknown(inner) => all_infallible(&[inner]),
        Expr::Negative(inner) => type_of(inner).is_floating() && all_infallible(&[inner]),
        Expr::TryCast(cast) => all_infallible(&[&cast.expr]),
        Expr::Cast(cast) => {
            is_infallible_cast(&type_of(&cast.expr), cast.field.data_type()) && all_infallible(&[&cast.expr])
        }
        Expr::Between(between) => all_infallible(&[&between.expr, &between.low, &between.high]),
        Expr::InList(list) => all_infallible(&[&list.expr]) && list.list.iter().all(|item| is_infallible(item, schema)),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().flat_map(|(when, then)| [when, then]);
            branches.chain(&case.expr).chain(&case.else_expr).all(|expr| is_infallible(expr, schema))
        }
        Expr::ScalarFunction(call) => {
            let infallible = [
                core::coalesce(),
                core::greatest(),
                core::least(),
                core::nullif(),
                math::exp(),
                math::ln(),
                math::log10(),
                math::log2(),
                math::sqrt(),
                string::lower(),
                string::upper(),
            ];
            let is_listed = |udf: &ScalarUDF| infallible.iter().any(|listed| listed.as_ref() == udf);
            is_listed(&call.func) && call.args.iter().all(|argument| is_infallible(argument, schema))
        }
        _ => false,
    }
}

/// Whether a cast succeeds for every value.
fn is_infallible_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Dictionary, Float32, Float64};
    if let Dictionary(_, values) = from {
        return values.as_ref() == to || is_infallible_cast(values, to);
    }
    match (from, to) {
        (from, to) if from == to => true,
        (from, Float64 | Float32) => from.is_numeric() && !from.is_decimal() || *from == Boolean,
        (Boolean, to) => to.is_integer(),
        (from, to) if from.is_integer() && to.is_integer() => {
            let (narrow, wide) = (from.primitive_width(), to.primitive_width());
            match (from.is_signed_integer(), to.is_signed_integer()) {
                (true, true) | (false, false) => narrow <= wide,
                (false, true) => narrow < wide,
                (true, false) => false,
            }
        }
        (from, to) if from.is_string() && to.is_string() => true,
        (from, to) if from.is_binary() && to.is_binary() => true,
        _ => false,
    }
}
