//! [`resolve_show_functions`]: SHOW FUNCTIONS as a query, because DataFusion's lists only functions with declared types.

use datafusion::error::Result;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{ShowStatementFilter, Statement as SqlStatement};

use crate::sparse::TABLE_FUNCTIONS;
use crate::sql::quote_literal;

/// Replaces `SHOW FUNCTIONS [LIKE 'pattern']` by a query of all functions, one per row and in order: those of the session, and the table
/// functions that are expanded to SQL.
pub(super) fn resolve_show_functions(statement: &mut Statement) -> Result<()> {
    let Statement::Statement(sql) = &*statement else {
        return Ok(());
    };
    let SqlStatement::ShowFunctions { filter } = sql.as_ref() else {
        return Ok(());
    };
    let filter = match filter {
        None => String::new(),
        Some(ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern)) => {
            format!("WHERE function_name LIKE {}", quote_literal(pattern))
        }
        Some(ShowStatementFilter::ILike(pattern)) => format!("WHERE function_name ILIKE {}", quote_literal(pattern)),
        Some(ShowStatementFilter::Where(condition)) => format!("WHERE {condition}"),
    };
    let table_functions = TABLE_FUNCTIONS.iter().map(|function| {
        let [name, description, syntax] = [function.name, function.description, function.syntax].map(quote_literal);
        format!("({name}, 'TABLE', 'TABLE', {description}, {syntax})")
    });
    let query = format!(
        "SELECT function_name, return_type, function_type, description, syntax_example FROM (\
         SELECT routine_name AS function_name, string_agg(DISTINCT data_type, ', ' ORDER BY data_type) AS return_type, \
         function_type, description, syntax_example FROM information_schema.routines \
         GROUP BY routine_name, function_type, description, syntax_example \
         UNION ALL VALUES {}) AS functions {filter} ORDER BY function_name, function_type",
        table_functions.collect::<Vec<_>>().join(", ")
    );
    if let Some(query) = DFParser::parse_sql(&query)?.pop_front() {
        *statement = query;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(sql: &str) -> String {
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        resolve_show_functions(&mut statement).unwrap();
        statement.to_string()
    }

    #[test]
    fn filters_are_conditions_on_the_name() {
        for (sql, condition) in [
            ("SHOW FUNCTIONS LIKE 'cl%'", "WHERE function_name LIKE 'cl%' ORDER BY"),
            ("SHOW FUNCTIONS ILIKE 'CL%'", "WHERE function_name ILIKE 'CL%' ORDER BY"),
            ("SHOW FUNCTIONS WHERE return_type = 'TABLE'", "WHERE return_type = 'TABLE' ORDER BY"),
        ] {
            assert!(resolved(sql).contains(condition), "{}", resolved(sql));
        }
        assert!(resolved("SHOW FUNCTIONS").contains("AS functions ORDER BY"));
        assert_eq!(resolved("SHOW TABLES"), "SHOW TABLES");
    }
}
