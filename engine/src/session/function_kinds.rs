//! [`check_function_kinds`]: table functions in FROM, other functions in expressions, with messages that say where a function belongs.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, ObjectNamePart, TableFactor, VisitMut, VisitorMut};

use crate::error::nearest;
use crate::sparse::TABLE_FUNCTIONS;
use crate::sql::StatementAst;

/// Checks that functions in FROM are table functions, and that those in expressions are not. Calls of our table functions have been
/// expanded before, with those in their arguments.
///
/// # Errors
/// The first call of the other kind, or of a table function that does not exist.
pub(super) fn check_function_kinds(statement: &mut Statement, state: &SessionState) -> Result<()> {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return Ok(());
    };
    match sql.visit(&mut FindMisplaced { state }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => plan_err!("{problem}"),
    }
}

struct FindMisplaced<'a> {
    state: &'a SessionState,
}

impl FindMisplaced<'_> {
    fn is_table_function(&self, name: &str) -> bool {
        self.state.table_functions().contains_key(name) || TABLE_FUNCTIONS.iter().any(|function| function.name == name)
    }

    /// Whether a function may be called in an expression.
    fn is_expression_function(&self, name: &str) -> bool {
        self.state.scalar_functions().contains_key(name)
            || self.state.higher_order_functions().contains_key(name)
            || self.state.aggregate_functions().contains_key(name)
            || self.state.window_functions().contains_key(name)
    }

    fn missing_table_function(&self, name: &str) -> String {
        if self.is_expression_function(name) {
            return format!("function '{name}' does not return a table; call it in SELECT, as in SELECT {name}(…)");
        }
        let ours = TABLE_FUNCTIONS.iter().map(|function| function.name);
        let known = self.state.table_functions().keys().map(String::as_str).chain(ours);
        match nearest(name, known) {
            Some(near) => format!("table function '{name}' does not exist; did you mean '{near}'?"),
            None => format!("table function '{name}' does not exist; SHOW FUNCTIONS lists the functions"),
        }
    }
}

impl VisitorMut for FindMisplaced<'_> {
    type Break = String;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        let name = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => function_name(name),
            _ => None,
        };
        match name {
            Some(name) if !self.is_table_function(&name) => ControlFlow::Break(self.missing_table_function(&name)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        match function_name(&function.name) {
            Some(name) if self.is_table_function(&name) && !self.is_expression_function(&name) => ControlFlow::Break(
                format!("function '{name}' returns a table; call it in FROM, as in SELECT * FROM {name}(…)"),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The name of a function, in lower case unless it is quoted. `None` if it is qualified.
fn function_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] if name.quote_style.is_some() => Some(name.value.clone()),
        [ObjectNamePart::Identifier(name)] => Some(name.value.to_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn problem(sql: &str) -> Option<String> {
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        let state = SessionContext::new().state();
        check_function_kinds(&mut statement, &state).err().map(|error| crate::user_message(&error))
    }

    #[test]
    fn misplaced_and_unknown_functions_are_named() {
        for (sql, sentence) in [
            ("SELECT * FROM mxx('a', 'b')", "table function 'mxx' does not exist; did you mean 'mxm'?"),
            (
                "SELECT * FROM nonsense(1)",
                "table function 'nonsense' does not exist; SHOW FUNCTIONS lists the functions",
            ),
            (
                "SELECT * FROM Upper('a')",
                "function 'upper' does not return a table; call it in SELECT, as in SELECT upper(…)",
            ),
            ("SELECT mxm('a', 'b')", "function 'mxm' returns a table; call it in FROM, as in SELECT * FROM mxm(…)"),
            (
                "SELECT 1 WHERE EXISTS (SELECT mxv('a'))",
                "function 'mxv' returns a table; call it in FROM, as in SELECT * FROM mxv(…)",
            ),
        ] {
            assert_eq!(problem(sql).as_deref(), Some(sentence), "{sql}");
        }
    }

    #[test]
    fn calls_in_their_place_are_accepted() {
        for sql in [
            "SELECT * FROM mxm('a', 'b')",
            "SELECT generate_series(1, 2), upper('a') FROM generate_series(1, 2)",
            "SELECT * FROM t",
            "SELECT no_such_function(1)",
            "COPY t TO 'x.csv'",
        ] {
            assert_eq!(problem(sql), None, "{sql}");
        }
    }
}
