//! [`limit_expression_depth`]: rejects expressions that are nested too deeply for the stack.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut, VisitorMut};

use super::StatementAst;

/// Rejects a statement with an expression of more than `max_depth` levels. `a + b + c` has three: operators of equal precedence are nested.
///
/// DataFusion copies, compares and prints expressions by recursion, not all of which is protected from an overflow of the stack.
///
/// # Errors
/// When an expression is nested more deeply.
pub(crate) fn limit_expression_depth(statement: &mut Statement, max_depth: usize) -> Result<()> {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return Ok(());
    };
    let mut visitor = DepthVisitor { depth: 0, deepest: 0, max_depth };
    let _: ControlFlow<()> = sql.visit(&mut visitor);
    let deepest = visitor.deepest;
    if deepest <= max_depth {
        return Ok(());
    }
    plan_err!(
        "an expression is nested {deepest} levels deep, more than ocelli.max_expression_depth = {max_depth}; shorten it, as with IN (…) in \
         place of many ORs, or raise the option on a thread with a large stack"
    )
}

struct DepthVisitor {
    depth: usize,
    deepest: usize,
    max_depth: usize,
}

impl VisitorMut for DepthVisitor {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        ControlFlow::Continue(())
    }

    /// Removes what is too deep, from the innermost on: dropping a syntax tree is a recursion, too.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > self.max_depth {
            *expr = Expr::Value(Value::Null.into());
        }
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn limited(sql: &str, max_depth: usize) -> Result<()> {
        limit_expression_depth(&mut DFParser::parse_sql(sql)?.pop_front().expect("a statement"), max_depth)
    }

    #[test]
    fn levels_of_operators_are_counted() {
        for (sql, depth) in [
            ("SELECT 1", 1),
            ("SELECT a + b + c, a FROM t WHERE d", 3),
            ("SELECT a + b * c", 3),
            ("EXPLAIN SELECT 1 WHERE NOT NOT a", 3),
            ("COPY (SELECT 1 + 2) TO 'x.csv'", 2),
            ("SELECT CAST(upper(a) AS INT)", 3),
        ] {
            assert!(limited(sql, depth).is_ok(), "{sql}");
            assert!(limited(sql, depth - 1).is_err(), "{sql}");
        }
        assert!(limited("COPY t TO 'x.csv'", 0).is_ok());
    }

    #[test]
    fn a_long_chain_is_rejected_and_dropped() {
        let terms = vec!["1"; 5_000].join(" + ");
        let error = limited(&format!("SELECT {terms}"), 500).unwrap_err().to_string();
        assert!(
            error.contains("an expression is nested 5000 levels deep, more than ocelli.max_expression_depth = 500; "),
            "{error}"
        );
    }
}
