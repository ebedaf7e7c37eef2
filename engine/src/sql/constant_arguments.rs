//! [`fold_constant_arguments`]: constant expressions as arguments, such as `k => 2 + 3`, as literals.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr as LogicalExpr, Volatility};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ExprWithAlias, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, UnaryOperator, Value,
    visit_expressions_mut,
};

use super::StatementAst;

/// Replaces constant expressions in arguments by their values, where `is_constant(function, position)` holds.
///
/// DataFusion evaluates constant expressions when a plan is optimized. The type of a call may depend on an argument, as on the model of
/// `classify`, and is needed before. An expression whose value is not a number, a string, a boolean or NULL, or that cannot be evaluated,
/// is left as it is.
pub(crate) fn fold_constant_arguments(
    statement: &mut Statement,
    state: &SessionState,
    is_constant: impl Fn(&str, usize) -> bool,
) {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return;
    };
    let _: ControlFlow<()> = visit_expressions_mut(&mut sql, |expr| {
        if let Expr::Function(function) = expr
            && let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice()
            && let FunctionArguments::List(list) = &mut function.args
        {
            let name = name.value.to_lowercase();
            for (position, argument) in list.args.iter_mut().enumerate() {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument
                    && is_constant(&name, position)
                    && !matches!(argument, Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                    && let Some(literal) = evaluate(argument, state).and_then(|value| to_literal(&value))
                {
                    *argument = literal;
                }
            }
        }
        ControlFlow::Continue(())
    });
}

/// The value of an expression without columns. `None` if it has none, or if it depends on more than its operands.
fn evaluate(expr: &Expr, state: &SessionState) -> Option<ScalarValue> {
    let schema = DFSchema::empty();
    let expr = ExprWithAlias { expr: expr.clone(), alias: None };
    let expr = state.create_logical_expr_from_sql_expr(expr, &schema).ok()?;
    let is_immutable = |expr: &LogicalExpr| match expr {
        LogicalExpr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
        LogicalExpr::ScalarSubquery(_) | LogicalExpr::Exists(_) | LogicalExpr::InSubquery(_) => false,
        _ => true,
    };
    if expr.exists(|expr| Ok(!is_immutable(expr))).ok()? {
        return None;
    }
    let expr = state.create_physical_expr(expr, &schema).ok()?;
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row).ok()?;
    match expr.evaluate(&row).ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0).ok(),
    }
}

/// A value as it is written in SQL. `None` for types without a literal, and for NaN and infinity.
fn to_literal(value: &ScalarValue) -> Option<Expr> {
    let literal = |value: Value| Some(Expr::Value(value.into()));
    if value.is_null() {
        return literal(Value::Null);
    }
    if let ScalarValue::Boolean(Some(value)) = value {
        return literal(Value::Boolean(*value));
    }
    if let Some(text) = value.try_as_str().flatten() {
        return literal(Value::SingleQuotedString(text.to_owned()));
    }
    if !value.data_type().is_numeric() {
        return None;
    }
    let Ok(ScalarValue::Utf8(Some(number))) = value.cast_to(&DataType::Utf8) else {
        return None;
    };
    let (is_negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.as_str()),
    };
    let number = digits.starts_with(|first: char| first.is_ascii_digit()).then(|| digits.to_owned())?;
    let number = Expr::Value(Value::Number(number, false).into());
    Some(match is_negative {
        true => Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) },
        false => number,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn folded(argument: &str) -> String {
        let mut statement = DFParser::parse_sql(&format!("SELECT f(x, {argument})")).unwrap().pop_front().unwrap();
        fold_constant_arguments(&mut statement, &SessionContext::new().state(), |name, at| name == "f" && at > 0);
        statement.to_string()
    }

    #[test]
    fn constant_expressions_are_evaluated() {
        for (argument, value) in [
            ("2 + 3", "5"),
            ("-(1 + 1)", "-2"),
            ("0.1 + 0.2", "0.30000000000000004"),
            ("2.0 * 2", "4.0"),
            ("'a' || 'b''c'", "'ab''c'"),
            ("lower('LANCZOS')", "'lanczos'"),
            ("1 < 2", "true"),
            ("CAST(NULL AS INT) + 1", "NULL"),
            ("CAST('7' AS INT)", "7"),
            ("CASE WHEN true THEN 1 ELSE 2 END", "1"),
        ] {
            assert_eq!(folded(argument), format!("SELECT f(x, {value})"), "{argument}");
        }
    }

    #[test]
    fn other_arguments_are_unchanged() {
        for argument in ["a + 1", "1 / 0", "$1 + 1", "(SELECT 1)", "random()", "[1, 2]", "0.0 / 0.0", "5", "g(1 + 1)"] {
            assert_eq!(folded(argument), format!("SELECT f(x, {argument})"));
        }
        let mut statement = DFParser::parse_sql("SELECT f(1 + 1), g(1, 1 + 1)").unwrap().pop_front().unwrap();
        fold_constant_arguments(&mut statement, &SessionContext::new().state(), |name, at| name == "f" && at > 0);
        assert_eq!(statement.to_string(), "SELECT f(1 + 1), g(1, 1 + 1)");
    }
}
