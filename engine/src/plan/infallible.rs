//! [`cannot_fail`]: whether an expression can be computed of any row.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::functions::{core, math, string};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF};

/// Whether an expression gives a value for every row, whatever is in it.
///
/// A join computes it of the rows that meet another one, a product of all: an error must not come from rows that nobody asked
/// for. What is not known to be safe is not.
pub(crate) fn cannot_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    let all = |parts: &[&Expr]| parts.iter().all(|part| cannot_fail(part, schema));
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => all(&[&alias.expr]),
        Expr::BinaryExpr(binary) => {
            let (left, right) = (type_of(&binary.left), type_of(&binary.right));
            let is_safe = match binary.op {
                // Integers wrap around, floats have infinities.
                Operator::Plus | Operator::Minus | Operator::Multiply => {
                    (left.is_integer() && right.is_integer()) || (left.is_floating() && right.is_floating())
                }
                Operator::Divide => left.is_floating() && right.is_floating(),
                Operator::And | Operator::Or | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => true,
                Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => true,
                _ => false,
            };
            is_safe && all(&[&binary.left, &binary.right])
        }
        Expr::Not(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsNotUnknown(inner) => all(&[inner]),
        Expr::Negative(inner) => type_of(inner).is_floating() && all(&[inner]),
        Expr::TryCast(cast) => all(&[&cast.expr]),
        Expr::Cast(cast) => never_fails(&type_of(&cast.expr), cast.field.data_type()) && all(&[&cast.expr]),
        Expr::Between(between) => all(&[&between.expr, &between.low, &between.high]),
        Expr::InList(list) => all(&[&list.expr]) && list.list.iter().all(|item| cannot_fail(item, schema)),
        Expr::Case(case) => {
            let parts = case.when_then_expr.iter().flat_map(|(when, then)| [when, then]);
            parts.chain(&case.expr).chain(&case.else_expr).all(|part| cannot_fail(part, schema))
        }
        Expr::ScalarFunction(call) => {
            let safe = [
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
            let is_safe = |udf: &ScalarUDF| safe.iter().any(|known| known.as_ref() == udf);
            is_safe(&call.func) && call.args.iter().all(|argument| cannot_fail(argument, schema))
        }
        _ => false,
    }
}

/// Whether a cast gives a value for every value.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Dictionary, Float32, Float64};
    if let Dictionary(_, values) = from {
        return values.as_ref() == to || never_fails(values, to);
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
