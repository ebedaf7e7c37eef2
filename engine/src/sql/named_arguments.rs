//! [`resolve_named_arguments`]: named arguments such as `embed(image, normalize => true)` as positional ones.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Value, visit_expressions_mut,
};

use super::StatementAst;

/// Rewrites calls with named arguments to positional arguments, with NULL for omitted ones.
///
/// DataFusion accepts named arguments in any order, but none may be missing before the last. `parameters` lists the names of our
/// functions and of their parameters.
pub(crate) fn resolve_named_arguments(statement: &mut Statement, parameters: &[(String, Vec<String>)]) {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return;
    };
    let _: ControlFlow<()> = visit_expressions_mut(&mut sql, |expr| {
        if let Expr::Function(function) = expr
            && let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice()
            && let Some((_, parameters)) = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name.value))
            && let FunctionArguments::List(list) = &mut function.args
            && let Some(positional) = to_positional(&list.args, parameters)
        {
            list.args = positional;
        }
        ControlFlow::Continue(())
    });
}

/// The arguments by position; `None` leaves the call, and its errors, to DataFusion.
fn to_positional(args: &[FunctionArg], parameters: &[String]) -> Option<Vec<FunctionArg>> {
    let mut positional: Vec<Option<FunctionArgExpr>> = Vec::new();
    let mut has_names = false;
    for arg in args {
        match arg {
            FunctionArg::Unnamed(arg) if !has_names => positional.push(Some(arg.clone())),
            FunctionArg::Named { name, arg, .. } => {
                has_names = true;
                let at = parameters.iter().position(|parameter| parameter.eq_ignore_ascii_case(&name.value))?;
                positional.resize(positional.len().max(at + 1), None);
                if positional[at].replace(arg.clone()).is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    // The image itself is required.
    if !has_names || positional.first()?.is_none() {
        return None;
    }
    let null = || FunctionArgExpr::Expr(Expr::Value(Value::Null.into()));
    Some(positional.into_iter().map(|arg| FunctionArg::Unnamed(arg.unwrap_or_else(null))).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn resolved(sql: &str) -> String {
        let parameters = [
            ("classify", vec!["image", "model", "on_error"]),
            ("classify_topk", vec!["image", "k", "model", "on_error"]),
            ("embed", vec!["image", "model", "normalize"]),
            ("image_resize", vec!["image", "width", "height", "resample"]),
        ]
        .map(|(name, arguments)| (name.to_owned(), arguments.into_iter().map(str::to_owned).collect()));
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        resolve_named_arguments(&mut statement, &parameters);
        statement.to_string()
    }

    #[test]
    fn omitted_arguments_are_null() {
        for (call, same) in [
            ("embed(image, normalize => true)", "embed(image, NULL, true)"),
            ("image_resize(image, resample => 'box', height => h)", "image_resize(image, NULL, h, 'box')"),
            ("Classify_TopK(model => 'm', image => x, on_error => 'struct')", "Classify_TopK(x, NULL, 'm', 'struct')"),
            (
                "upper(classify(image, on_error => 'struct')['value'])",
                "upper(classify(image, NULL, 'struct')['value'])",
            ),
        ] {
            assert_eq!(resolved(&format!("SELECT {call} FROM t")), format!("SELECT {same} FROM t"));
            assert_eq!(resolved(&format!("EXPLAIN SELECT {call} FROM t")), format!("EXPLAIN SELECT {same} FROM t"));
            let copy = |call| format!("COPY (SELECT {call} FROM t) TO x STORED AS PARQUET");
            assert_eq!(resolved(&copy(call)), copy(same));
        }
    }

    #[test]
    fn other_calls_are_unchanged() {
        for call in [
            "classify(image)",
            "other(image, on_error => 'struct')",
            "classify(image, nope => 1)",
            "classify(image, model => 'a', model => 'b')",
            "classify(model => 'a')",
            "embed(normalize => true, image)",
        ] {
            let sql = format!("SELECT {call} FROM t");
            assert_eq!(resolved(&sql), sql);
        }
    }
}
