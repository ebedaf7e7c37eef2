//! [`TableFunction`]: functions with GraphBLAS names, defined by the SQL that they expand to.
//!
//! | call | expands to |
//! | --- | --- |
//! | `mxm('a', 'b')` | `SELECT a.row, b.col, SUM(a.value * b.value) AS value FROM a JOIN b ON a.col = b.row GROUP BY a.row, b.col` |
//! | `mxv('a', 'x')` | `SELECT a.row AS idx, SUM(a.value * x.value) AS value FROM a JOIN x ON a.col = x.idx GROUP BY a.row` |
//! | `vxm('x', 'a')` | `SELECT a.col AS idx, SUM(x.value * a.value) AS value FROM x JOIN a ON x.idx = a.row GROUP BY a.col` |
//! | `transpose('a')` | `SELECT col AS row, row AS col, value FROM a` |
//! | `read_mtx('a.mtx')` | `SELECT * FROM 'a.mtx'` |
//!
//! `mxm('a', 'b', mask => 'm')` computes the rows and columns that are in `m`, by `WHERE EXISTS (SELECT 1 FROM m WHERE
//! m.row = a.row AND m.col = b.col)`.
//!
//! A table without other columns than its indices is a pattern, whose values are 1. Inner dimensions must be equal where
//! both are known: Matrix Market files have a shape, which the functions pass on.
//!
//! The names are those of the GraphBLAS C API specification 2.1. The functions have no operator of their own: the rule
//! `sparse_matmul` optimizes the expanded query.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, TableFactor, Value,
};

use super::operands::{Dimension, Operand, Operands, check_inner_dimensions};
use super::semiring::Semiring;
use crate::error::Error;
use crate::storage::MatrixMarketTable;

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
    sql: fn(&CallArguments) -> Result<Operand, String>,
}

/// Every table function.
pub const FUNCTIONS: [TableFunction; 5] = [
    TableFunction {
        name: "mxm",
        description: "The product of two matrices, tables of `row, col, value`, or of `row, col` whose values are 1: `SUM(a.value * b.value)` for each row of one and column of the other with a common key, or the aggregate of another semiring. With a mask, the name of a table or file with the columns of indices, only its entries are computed.",
        example: "SELECT * FROM mxm('examples/data/karate.mtx', 'examples/data/karate.mtx', semiring => 'plus_pair')",
        syntax: "mxm(a, b, [semiring => 'plus_times'], [mask => 'm'], [row => 'row'], [col => 'col'], [value => 'value'])",
        num_tables: 2,
        options: &["semiring", "mask", "row", "col", "value"],
        sql: |call| {
            let (row, col) = (call.column("row"), call.column("col"));
            let mask = call.option("mask").map_or_else(String::new, |mask| {
                let table = Value::SingleQuotedString(mask.to_owned());
                format!(" WHERE EXISTS (SELECT 1 FROM {table} AS m WHERE m.{row} = a.{row} AND m.{col} = b.{col})")
            });
            let sql = format!(
                "SELECT a.{row} AS row, b.{col} AS col, {} AS value FROM {} AS a JOIN {} AS b ON a.{col} = b.{row}{mask} GROUP BY a.{row}, b.{col}",
                call.aggregate(("a", MATRIX), ("b", MATRIX))?,
                call.tables[0].sql,
                call.tables[1].sql
            );
            check_inner_dimensions(call.dimension(0, "col"), call.dimension(1, "row"))?;
            Ok(result(sql, &[("row", call.dimension(0, "row")), ("col", call.dimension(1, "col"))]))
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
            let sql = format!(
                "SELECT a.{row} AS idx, {} AS value FROM {} AS a JOIN {} AS x ON a.{col} = x.{idx} GROUP BY a.{row}",
                call.aggregate(("a", MATRIX), ("x", VECTOR))?,
                call.tables[0].sql,
                call.tables[1].sql
            );
            check_inner_dimensions(call.dimension(0, "col"), call.dimension(1, "idx"))?;
            Ok(result(sql, &[("idx", call.dimension(0, "row"))]))
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
            let sql = format!(
                "SELECT a.{col} AS idx, {} AS value FROM {} AS x JOIN {} AS a ON x.{idx} = a.{row} GROUP BY a.{col}",
                call.aggregate(("x", VECTOR), ("a", MATRIX))?,
                call.tables[0].sql,
                call.tables[1].sql
            );
            check_inner_dimensions(call.dimension(0, "idx"), call.dimension(1, "row"))?;
            Ok(result(sql, &[("idx", call.dimension(1, "col"))]))
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
            let (row, col) = (call.column("row"), call.column("col"));
            let value = call.value(0, ("a", MATRIX), "1");
            let sql =
                format!("SELECT a.{col} AS row, a.{row} AS col, {value} AS value FROM {} AS a", call.tables[0].sql);
            Ok(result(sql, &[("row", call.dimension(0, "col")), ("col", call.dimension(0, "row"))]))
        },
    },
    TableFunction {
        name: "read_mtx",
        description: "A Matrix Market file (`.mtx`, `.mtx.gz`) as a table of `row, col, value`, with 0-based indices. `FROM 'file.mtx'` is the same.",
        example: "SELECT COUNT(*) FROM read_mtx('examples/data/karate.mtx')",
        syntax: "read_mtx('file.mtx')",
        num_tables: 1,
        options: &[],
        sql: |call| {
            let file = &call.tables[0];
            match file.sql.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')) {
                Some(name) if MatrixMarketTable::has_extension(name) => {
                    Ok(Operand { sql: format!("SELECT * FROM {}", file.sql), ..file.clone() })
                }
                _ => Err(format!("{} is not a Matrix Market file; pass '….mtx' or '….mtx.gz' in quotes", file.sql)),
            }
        },
    },
];

/// The table function that a table factor calls, and its arguments.
pub(super) fn call(factor: &TableFactor) -> Option<(&'static TableFunction, &[FunctionArg])> {
    match factor {
        TableFactor::Table { name, args: Some(args), .. } => Some((function(name)?, &args.args)),
        _ => None,
    }
}

/// The table function that an argument of another one calls, and its arguments.
pub(super) fn nested_call(arg: &Expr) -> Option<(&'static TableFunction, &[FunctionArg])> {
    match arg {
        Expr::Function(call) => match &call.args {
            FunctionArguments::List(list) => Some((function(&call.name)?, &list.args)),
            FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    }
}

fn function(name: &ObjectName) -> Option<&'static TableFunction> {
    static ALL: [TableFunction; 5] = FUNCTIONS;
    let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
    ALL.iter().find(|function| function.name.eq_ignore_ascii_case(&name.value))
}

/// The options that name the columns of indices of a matrix, and of a vector.
const MATRIX: &[&str] = &["row", "col"];
const VECTOR: &[&str] = &["idx"];

/// The query of a function: its columns of indices, with their dimensions, and `value`.
fn result(sql: String, indices: &[(&str, Option<&Dimension>)]) -> Operand {
    let columns = indices.iter().map(|(name, _)| (*name).to_owned()).chain(["value".to_owned()]).collect();
    let dimensions = indices.iter().filter_map(|(name, dimension)| Some(((*name).to_owned(), (*dimension)?.clone())));
    Operand { sql, columns: Some(columns), dimensions: dimensions.collect() }
}

/// The arguments of a call.
struct CallArguments {
    tables: Vec<Operand>,
    options: Vec<(String, String)>,
}

impl TableFunction {
    /// The query that a call expands to.
    ///
    /// # Errors
    /// When an argument is invalid.
    pub(super) fn expand(&self, args: &[FunctionArg], operands: &Operands) -> Result<Operand, Error> {
        self.query(args, operands).map_err(|problem| Error::InvalidArguments { syntax: self.syntax, problem })
    }

    fn query(&self, args: &[FunctionArg], operands: &Operands) -> Result<Operand, String> {
        (self.sql)(&self.parse_arguments(args, operands)?)
    }

    fn parse_arguments(&self, args: &[FunctionArg], operands: &Operands) -> Result<CallArguments, String> {
        let mut call = CallArguments { tables: Vec::new(), options: Vec::new() };
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) if call.options.is_empty() => {
                    call.tables.push(table_factor(arg, operands)?);
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

/// An argument as an SQL table factor: a name, a quoted name (of a file too), another call, or a subquery in parentheses.
fn table_factor(arg: &Expr, operands: &Operands) -> Result<Operand, String> {
    if let Some((function, args)) = nested_call(arg) {
        let query = function.query(args, operands).map_err(|problem| format!("in {}, {problem}", function.syntax))?;
        return Ok(Operand { sql: format!("({})", query.sql), ..query });
    }
    match arg {
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => Ok(operands.get(arg.to_string())),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => Ok(operands.get(arg.to_string())),
        _ => Err(format!("{arg} is not a table; pass a name, a quoted name, or a subquery in parentheses")),
    }
}

impl CallArguments {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// The name of a column. By default, columns are named like their option.
    fn column_name<'a>(&'a self, option: &'a str) -> &'a str {
        self.option(option).unwrap_or(option)
    }

    /// The name of a column as a quoted identifier.
    fn column(&self, option: &str) -> String {
        Ident::with_quote('"', self.column_name(option)).to_string()
    }

    /// The dimension of a column of indices.
    fn dimension(&self, table: usize, option: &str) -> Option<&Dimension> {
        let column = self.column_name(option);
        self.tables[table].dimensions.iter().find(|(name, _)| name == column).map(|(_, dimension)| dimension)
    }

    /// The values of a table under its alias: `one` for a pattern, a table of indices only.
    fn value(&self, table: usize, (alias, indices): (&str, &[&str]), one: &str) -> String {
        let is_pattern = |columns: &Vec<String>| {
            columns.len() == indices.len()
                && indices.iter().all(|index| columns.iter().any(|column| column == self.column_name(index)))
        };
        match &self.tables[table].columns {
            Some(columns) if self.option("value").is_none() && is_pattern(columns) => one.to_owned(),
            _ => format!("{alias}.{}", self.column("value")),
        }
    }

    /// The aggregate over the values of both tables, each given by its alias and the options of its indices.
    fn aggregate(&self, left: (&str, &[&str]), right: (&str, &[&str])) -> Result<String, String> {
        let semiring = self.option("semiring").unwrap_or("plus_times").parse::<Semiring>();
        let semiring = semiring.map_err(|error| error.to_string())?;
        let one = semiring.one_sql();
        Ok(semiring.aggregate_sql(&self.value(0, left, one), &self.value(1, right, one)))
    }
}
