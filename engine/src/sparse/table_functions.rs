//! [`expand`]: table functions with GraphBLAS names, as the SQL that they stand for.
//!
//! | call | stands for |
//! | --- | --- |
//! | `mxm('a', 'b')` | `SELECT a.row, b.col, SUM(a.value * b.value) AS value FROM a JOIN b ON a.col = b.row GROUP BY a.row, b.col` |
//! | `mxv('a', 'x')` | `SELECT a.row AS idx, SUM(a.value * x.value) AS value FROM a JOIN x ON a.col = x.idx GROUP BY a.row` |
//! | `vxm('x', 'a')` | `SELECT a.col AS idx, SUM(x.value * a.value) AS value FROM x JOIN a ON x.idx = a.row GROUP BY a.col` |
//! | `transpose('a')` | `SELECT col AS row, row AS col, value FROM a` |
//! | `read_mtx('a.mtx')` | `SELECT * FROM 'a.mtx'` |
//!
//! Names are those of the GraphBLAS C API specification 2.1; there is no operator behind them but that of the rule
//! `sparse_matmul`.

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
use crate::sql::Sql;
use crate::storage::MatrixMarket;

/// Puts the SQL of our table functions in the place of their calls.
///
/// # Errors
/// The first call with wrong arguments.
pub(crate) fn expand(statement: &mut Statement) -> Result<()> {
    let Some(mut sql) = Sql::of(statement) else {
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

/// A table function: SQL that stands for a query.
pub struct TableFunction {
    /// Its name.
    pub name: &'static str,
    /// What it gives.
    pub description: &'static str,
    /// A query that runs in the root of the repository.
    pub example: &'static str,
    /// How it is called.
    pub syntax: &'static str,
    /// How many tables it takes first.
    tables: usize,
    options: &'static [&'static str],
    sql: fn(&Call) -> Result<String, String>,
}

/// Every table function.
pub const FUNCTIONS: [TableFunction; 5] = [
    TableFunction {
        name: "mxm",
        description: "The product of two matrices, tables of `row, col, value`: `SUM(a.value * b.value)` for each row of one and column of the other that a common key leads to, or what else the semiring says.",
        example: "SELECT * FROM mxm('examples/data/karate.mtx', 'examples/data/karate.mtx', semiring => 'plus_pair')",
        syntax: "mxm(a, b, [semiring => 'plus_times'], [row => 'row'], [col => 'col'], [value => 'value'])",
        tables: 2,
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
        tables: 2,
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
        tables: 2,
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
        description: "A matrix with its rows as columns.",
        example: "SELECT * FROM transpose('examples/data/karate.mtx')",
        syntax: "transpose(a, [row => 'row'], [col => 'col'], [value => 'value'])",
        tables: 1,
        options: &["row", "col", "value"],
        sql: |call| {
            let (row, col, value) = (call.column("row"), call.column("col"), call.column("value"));
            Ok(format!("SELECT {col} AS row, {row} AS col, {value} AS value FROM {} AS a", call.tables[0]))
        },
    },
    TableFunction {
        name: "read_mtx",
        description: "A Matrix Market file (`.mtx`, `.mtx.gz`) as a table of `row, col, value`, rows and columns counted from 0. `FROM 'file.mtx'` is the same.",
        example: "SELECT COUNT(*) FROM read_mtx('examples/data/karate.mtx')",
        syntax: "read_mtx('file.mtx')",
        tables: 1,
        options: &[],
        sql: |call| match call.tables[0].strip_prefix('\'').and_then(|name| name.strip_suffix('\'')) {
            Some(name) if MatrixMarket::has_name(name) => Ok(format!("SELECT * FROM {}", call.tables[0])),
            _ => Err(format!("{} is no Matrix Market file; '….mtx' and '….mtx.gz' are, in quotes", call.tables[0])),
        },
    },
];

/// The arguments of a call.
struct Call {
    /// As SQL has them after FROM.
    tables: Vec<String>,
    options: Vec<(String, String)>,
}

impl TableFunction {
    fn expand(&self, args: &[FunctionArg], alias: TableAlias, sample: Option<TableSampleKind>) -> Result<TableFactor> {
        let refuse = |problem| Error::Arguments { syntax: self.syntax, problem };
        let call = self.call(args).map_err(refuse)?;
        let sql = (self.sql)(&call).map_err(refuse)?;
        let query = Parser::new(&GenericDialect {}).try_with_sql(&sql)?.parse_query()?;
        Ok(TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample })
    }

    fn call(&self, args: &[FunctionArg]) -> Result<Call, String> {
        let mut call = Call { tables: Vec::new(), options: Vec::new() };
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) if call.options.is_empty() => {
                    call.tables.push(table(arg)?);
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(arg), .. } => {
                    let name = name.value.to_lowercase();
                    if !self.options.contains(&name.as_str()) {
                        let known = self.options.join(", ");
                        let known = if known.is_empty() { "it has none".to_owned() } else { format!("known: {known}") };
                        return Err(format!("there is no option '{name}'; {known}"));
                    }
                    let Expr::Value(value) = arg else {
                        return Err(format!("{name} must be a text in quotes, got {arg}"));
                    };
                    let Value::SingleQuotedString(text) = &value.value else {
                        return Err(format!("{name} must be a text in quotes, got {arg}"));
                    };
                    if call.option(&name).is_some() {
                        return Err(format!("option '{name}' is given twice"));
                    }
                    call.options.push((name, text.clone()));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => {
                    return Err(format!("{arg} stands behind an option; tables come first"));
                }
                other => return Err(format!("{other} is no table")),
            }
        }
        match (call.tables.len(), self.tables) {
            (found, wanted) if found == wanted => Ok(call),
            (found, 1) => Err(format!("it takes 1 table, got {found}")),
            (found, wanted) => Err(format!("it takes {wanted} tables, got {found}")),
        }
    }
}

/// A table, as it stands after FROM: its name, a name in quotes (a file's too), or a query in parentheses.
fn table(arg: &Expr) -> Result<String, String> {
    match arg {
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => Ok(arg.to_string()),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => Ok(arg.to_string()),
        _ => Err(format!("{arg} is no table; give a name, a name in quotes, or a query in parentheses")),
    }
}

impl Call {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The name of a column, in quotes.
    fn column(&self, name: &str) -> String {
        Ident::with_quote('"', self.option(name).unwrap_or(name)).to_string()
    }

    /// What the values of both tables add up to.
    fn aggregate(&self, left: &str, right: &str) -> Result<String, String> {
        let semiring = self.option("semiring").unwrap_or("plus_times").parse::<Semiring>();
        let semiring = semiring.map_err(|unknown| unknown.to_string())?;
        let value = self.column("value");
        Ok(semiring.sql(&format!("{left}.{value}"), &format!("{right}.{value}")))
    }
}
