//! [`reject_ignored_clauses`]: clauses that DataFusion's parser reads and its planner ignores.

use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Select, TableFactor, VisitMut, VisitorMut};

use super::StatementAst;

/// Rejects clauses that would change the rows of a query, if DataFusion did not ignore them.
///
/// # Errors
/// The first such clause.
pub(crate) fn reject_ignored_clauses(statement: &mut Statement) -> Result<()> {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return Ok(());
    };
    match sql.visit(&mut FindIgnored) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => plan_err!("{problem}"),
    }
}

struct FindIgnored;

impl VisitorMut for FindIgnored {
    type Break = &'static str;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<&'static str> {
        let (sample, has_ordinality, has_partitions) = match factor {
            TableFactor::Table { sample, with_ordinality, partitions, .. } => {
                (sample.as_ref(), *with_ordinality, !partitions.is_empty())
            }
            TableFactor::Derived { sample, .. } => (sample.as_ref(), false, false),
            TableFactor::Function { with_ordinality, .. } => (None, *with_ordinality, false),
            _ => (None, false, false),
        };
        found(&[
            (sample.is_some(), "TABLESAMPLE is not supported; use WHERE random() < 0.1 for about a tenth of the rows"),
            (has_ordinality, "WITH ORDINALITY is not supported; use row_number() OVER ()"),
            (has_partitions, "PARTITION after a table is not supported; use WHERE on the partition column"),
        ])
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<&'static str> {
        found(&[
            (select.prewhere.is_some(), "PREWHERE is not supported; use WHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY is not supported; use WITH RECURSIVE"),
            (
                select.value_table_mode.is_some(),
                "SELECT AS STRUCT and SELECT AS VALUE are not supported; use named_struct",
            ),
        ])
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<&'static str> {
        found(&[
            (query.for_clause.is_some(), "FOR XML and FOR JSON are not supported; use COPY … TO 'file.json'"),
            (
                query.format_clause.is_some(),
                "FORMAT is not supported; use COPY … TO 'file.csv', or --format of the program",
            ),
            (query.settings.is_some(), "SETTINGS is not supported; use SET before the query"),
        ])
    }
}

/// The first problem that applies.
fn found(problems: &[(bool, &'static str)]) -> ControlFlow<&'static str> {
    match problems.iter().find(|(applies, _)| *applies) {
        Some((_, problem)) => ControlFlow::Break(*problem),
        None => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn check(sql: &str) -> Result<()> {
        reject_ignored_clauses(&mut DFParser::parse_sql(sql).unwrap().pop_front().unwrap())
    }

    #[test]
    fn ignored_clauses_are_rejected_wherever_they_are() {
        for (sql, clause) in [
            ("SELECT * FROM t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
            ("SELECT * FROM t TABLESAMPLE (10 ROWS)", "TABLESAMPLE"),
            ("SELECT * FROM (SELECT 1) TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
            ("EXPLAIN SELECT 1 WHERE EXISTS (SELECT 1 FROM t TABLESAMPLE (1 ROWS))", "TABLESAMPLE"),
            ("COPY (SELECT * FROM t TABLESAMPLE (1 ROWS)) TO 'x.csv'", "TABLESAMPLE"),
            ("CREATE VIEW v AS SELECT * FROM t TABLESAMPLE (1 ROWS)", "TABLESAMPLE"),
            ("SELECT * FROM generate_series(1, 2) WITH ORDINALITY", "WITH ORDINALITY"),
            ("SELECT * FROM t PARTITION (p0)", "PARTITION"),
            ("SELECT a FROM t PREWHERE a > 1", "PREWHERE"),
            ("SELECT a FROM t CONNECT BY a = 1", "CONNECT BY"),
            ("SELECT a FROM t FORMAT JSON", "FORMAT"),
            ("SELECT a FROM t SETTINGS x = 1", "SETTINGS"),
        ] {
            let error = check(sql).unwrap_err().to_string();
            assert!(error.contains(clause), "{sql}: {error}");
        }
    }

    #[test]
    fn clauses_that_change_no_rows_are_accepted() {
        for sql in ["SELECT 1", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t WITH (NOLOCK)", "SELECT sample FROM t"] {
            assert!(check(sql).is_ok(), "{sql}");
        }
    }
}
