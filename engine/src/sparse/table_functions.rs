//! [`expand`]: table functions with GraphBLAS names, expanded to SQL.
//!
//! | call | expands to |
//! | --- | --- |
//! | `mxm('a', 'b')` | `SELECT a.row, b.col, SUM(a.value * b.value) AS value FROM a JOIN b ON a.col = b.row GROUP BY a.row, b.col` |
//! | `mxv('a', 'x')` | `SELECT a.row AS idx, SUM(a.value * x.value) AS value FROM a JOIN x ON a.col = x.idx GROUP BY a.row` |
//! | `vxm('x', 'a')` | `SELECT a.col AS idx, SUM(x.value * a.value) AS value FROM x JOIN a ON x.idx = a.row GROUP BY a.col` |
//! | `transpose('a')` | `SELECT col AS row, row AS col, value FROM a` |
//! | `read_mtx('a.mtx')` | `SELECT * FROM 'a.mtx'` |
//!
//! The names are those of the GraphBLAS C API specification 2.1. The functions have no operator of their own: the rule
//! `sparse_matmul` optimizes the expanded query.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectNamePart, TableAlias, TableFactor, TableSampleKind, Value,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::semiring::Semiring;
use crate::error::Error;
use crate::sql::StatementAst;
use crate::storage::MatrixMarketTable;

/// Replaces each call of a table function by the subquery that it expands to.
///
/// # Errors
/// When a call has invalid arguments.
pub(crate) fn expand(statement: &mut Statement) -> Result<()> {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return Ok(());
    };
    match sql.visit(&mut Expand) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Expand;

impl VisitorMut for Expand {
    type Break = DataFusionError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        let TableFactor::Table { name, alias, args: Some(args), sample, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(function) = FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(&name.value)) else {
            return ControlFlow::Continue(());
        };
        let alias = alias.clone().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(function.name),
            columns: Vec::new(),
            at: None,
        });
        match function.expand(&args.args, alias, sample.clone()) {
            Ok(expanded) => *factor = expanded,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// A table function, defined by the query that it expands to.
pub struct TableFunction {
    /// The name, in lower case.
    pub name: &'static str,
    /// What it returns.
    pub description: &'static str,
    /// A query that runs in the root of the repository.
    pub example: &'static str,
    /// Its signature.
    pub syntax: &'static str,
    /// The number of positional arguments, which are tables.
    num_tables: usize,
    /// The names of the named arguments.
    options: &'static [&'static str],
    sql: fn(&CallArguments) -> Result<String, String>,
}

/// Every table function.
pub const FUNCTIONS: [TableFunction; 5] = [
    TableFunction {
        name: "mxm",
        description: "The product of two matrices, tables of `row, col, value`: `SUM(a.value * b.value)` for each row of one and column of the other with a common key, or the aggregate of another semiring.",
        example: "SELECT * FROM mxm('examples/data/karate.mtx', 'examples/data/karate.mtx', semiring => 'plus_pair')",
        syntax: "mxm(a, b, [semiring => 'plus_times'], [row => 'row'], [col => 'col'], [value => 'value'])",
        num_tables: 2,
        options: &["semiring", "row", "col", "value"],
        sql: |call| {
            let (row, col) = (call.column("row"), call.column("col"));
            Ok(format!(
                "SELECT a.{row} AS row, b.{col} AS col, {} AS value FROM {} AS a JOIN {} AS b ON a.{col} = b.{row} GROUP BY a.{row}, b.{col}",
                call.aggregate("a", "b")?,
                call.tables[0],
                call.tables[1]
            ))
        },
    },
    TableFunction {
        name: "mxv",
        description: "The product of a matrix and a vector, a table of `idx, value`: a vector with a value for each row.",
        example: "SELECT * FROM mxv('examples/data/karate.mtx', (SELECT row AS idx, COUNT(*) AS value FROM 'examples/data/karate.mtx' GROUP BY row))",
        syntax: "mxv(a, x, [semiring => 'plus_times'], [row => 'row'], [col => 'col'], [idx => 'idx'], [value => 'value'])",
        num_tables: 2,
        options: &["semiring", "row", "col", "idx", "value"],
        sql: |call| {
            let (row, col, idx) = (call.column("row"), call.column("col"), call.column("idx"));
            Ok(format!(
                "SELECT a.{row} AS idx, {} AS value FROM {} AS a JOIN {} AS x ON a.{col} = x.{idx} GROUP BY a.{row}",
                call.aggregate("a", "x")?,
                call.tables[0],
                call.tables[1]
            ))
        },
    },
    TableFunction {
        name: "vxm",
        description: "The product of a vector and a matrix: a vector with a value for each column.",
        example: "SELECT * FROM vxm((SELECT 0 AS idx, 1 AS value), 'examples/data/karate.mtx')",
        syntax: "vxm(x, a, [semiring => 'plus_times'], [row => 'row'], [col => 'col'], [idx => 'idx'], [value => 'value'])",
        num_tables: 2,
        options: &["semiring", "row", "col", "idx", "value"],
        sql: |call| {
            let (row, col, idx) = (call.column("row"), call.column("col"), call.column("idx"));
            Ok(format!(
                "SELECT a.{col} AS idx, {} AS value FROM {} AS x JOIN {} AS a ON x.{idx} = a.{row} GROUP BY a.{col}",
                call.aggregate("x", "a")?,
                call.tables[0],
                call.tables[1]
            ))
        },
    },
    TableFunction {
        name: "transpose",
        description: "The transpose of a matrix: its rows become columns.",
        example: "SELECT * FROM transpose('examples/data/karate.mtx')",
        syntax: "transpose(a, [row => 'row'], [col => 'col'], [value => 'value'])",
        num_tables: 1,
        options: &["row", "col", "value"],
        sql: |call| {
            let (row, col, value) = (call.column("row"), call.column("col"), call.column("value"));
            Ok(format!("SELECT {col} AS row, {row} AS col, {value} AS value FROM {} AS a", call.tables[0]))
        },
    },
    TableFunction {
        name: "read_mtx",
        description: "A Matrix Market file (`.mtx`, `.mtx.gz`) as a table of `row, col, value`, with 0-based indices. `FROM 'file.mtx'` is the same.",
        example: "SELECT COUNT(*) FROM read_mtx('examples/data/karate.mtx')",
        syntax: "read_mtx('file.mtx')",
        num_tables: 1,
        options: &[],
        sql: |call| match call.tables[0].strip_prefix('\'').and_then(|name| name.strip_suffix('\'')) {
            Some(name) if MatrixMarketTable::has_extension(name) => Ok(format!("SELECT * FROM {}", call.tables[0])),
            _ => Err(format!("{} is not a Matrix Market file; pass '….mtx' or '….mtx.gz' in quotes", call.tables[0])),
        },
    },
];

/// The arguments of a call.
struct CallArguments {
    /// As SQL table factors.
    tables: Vec<String>,
    options: Vec<(String, String)>,
}

impl TableFunction {
    fn expand(&self, args: &[FunctionArg], alias: TableAlias, sample: Option<TableSampleKind>) -> Result<TableFactor> {
        let invalid = |problem| Error::InvalidArguments { syntax: self.syntax, problem };
        let call = self.parse_arguments(args).map_err(invalid)?;
        let sql = (self.sql)(&call).map_err(invalid)?;
        let query = Parser::new(&GenericDialect {}).try_with_sql(&sql)?.parse_query()?;
        Ok(TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample })
    }

    fn parse_arguments(&self, args: &[FunctionArg]) -> Result<CallArguments, String> {
        let mut call = CallArguments { tables: Vec::new(), options: Vec::new() };
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) if call.options.is_empty() => {
                    call.tables.push(table_factor(arg)?);
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(arg), .. } => {
                    let name = name.value.to_lowercase();
                    if !self.options.contains(&name.as_str()) {
                        let valid = match self.options {
                            [] => "the function has no options".to_owned(),
                            options => format!("expected one of {}", options.join(", ")),
                        };
                        return Err(format!("unknown option '{name}'; {valid}"));
                    }
                    let Expr::Value(value) = arg else {
                        return Err(format!("{name} must be a string literal, got {arg}"));
                    };
                    let Value::SingleQuotedString(text) = &value.value else {
                        return Err(format!("{name} must be a string literal, got {arg}"));
                    };
                    if call.option(&name).is_some() {
                        return Err(format!("option '{name}' is given twice"));
                    }
                    call.options.push((name, text.clone()));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => {
                    return Err(format!("positional argument {arg} follows a named option; pass tables first"));
                }
                other => return Err(format!("{other} is not a table")),
            }
        }
        match (call.tables.len(), self.num_tables) {
            (found, expected) if found == expected => Ok(call),
            (found, 1) => Err(format!("it takes 1 table, got {found}")),
            (found, expected) => Err(format!("it takes {expected} tables, got {found}")),
        }
    }
}

/// An argument as an SQL table factor: a name, a quoted name (of a file too), or a subquery in parentheses.
fn table_factor(arg: &Expr) -> Result<String, String> {
    match arg {
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => Ok(arg.to_string()),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => Ok(arg.to_string()),
        _ => Err(format!("{arg} is not a table; pass a name, a quoted name, or a subquery in parentheses")),
    }
}

impl CallArguments {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// The column name given by an option, as a quoted identifier. By default, columns are named like their option.
    fn column(&self, name: &str) -> String {
        Ident::with_quote('"', self.option(name).unwrap_or(name)).to_string()
    }

    /// The aggregate over the values of two table aliases.
    fn aggregate(&self, left: &str, right: &str) -> Result<String, String> {
        let semiring = self.option("semiring").unwrap_or("plus_times").parse::<Semiring>();
        let semiring = semiring.map_err(|error| error.to_string())?;
        let value = self.column("value");
        Ok(semiring.aggregate_sql(&format!("{left}.{value}"), &format!("{right}.{value}")))
    }
}
