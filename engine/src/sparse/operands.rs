//! [`Operands`]: the columns and shapes of the tables that calls of table functions name.

use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Value};

use crate::storage::MatrixMarketTable;

/// One dimension of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) size: i64,
    /// What it counts: `columns of 'a.mtx'`.
    what: String,
}

/// An operand as SQL, and what is known of its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Operand {
    pub(super) sql: String,
    /// `None` if they are not known before planning.
    pub(super) columns: Option<Vec<String>>,
    /// The dimensions of columns of indices, where they are known.
    pub(super) dimensions: Vec<(String, Dimension)>,
}

/// The tables that a statement names as operands.
#[derive(Debug, Default)]
pub(super) struct Operands(Vec<Operand>);

impl Operands {
    /// Opens the tables. Those that cannot be opened remain unknown: planning reports why.
    ///
    /// A name in `ctes` may refer to a common table expression.
    pub(super) async fn read(names: &[Expr], ctes: &[String], context: &SessionContext) -> Self {
        let mut operands = Self::default();
        for expr in names {
            let sql = expr.to_string();
            let Some(name) = table_name(expr) else { continue };
            if operands.0.iter().any(|operand| operand.sql == sql) || ctes.iter().any(|cte| cte == name.table()) {
                continue;
            }
            let Ok(table) = context.table_provider(name).await else { continue };
            let columns = table.schema().fields().iter().map(|field| field.name().clone()).collect();
            let shape = table.downcast_ref::<MatrixMarketTable>().map(MatrixMarketTable::shape);
            let dimensions = shape.map_or_else(Vec::new, |(rows, columns)| dimensions(&sql, rows, columns));
            operands.0.push(Operand { sql, columns: Some(columns), dimensions });
        }
        operands
    }

    /// What is known of an operand.
    pub(super) fn get(&self, sql: String) -> Operand {
        match self.0.iter().find(|operand| operand.sql == sql) {
            Some(operand) => operand.clone(),
            None => Operand { sql, ..Operand::default() },
        }
    }
}

fn dimensions(sql: &str, rows: i64, columns: i64) -> Vec<(String, Dimension)> {
    let dimension =
        |name: &str, size, what: &str| (name.to_owned(), Dimension { size, what: format!("{what} of {sql}") });
    vec![dimension("row", rows, "rows"), dimension("col", columns, "columns")]
}

/// Checks that a product is defined: the inner dimensions are equal, where both are known.
///
/// # Errors
/// A message with both dimensions.
pub(super) fn check_inner_dimensions(left: Option<&Dimension>, right: Option<&Dimension>) -> Result<(), String> {
    match (left, right) {
        (Some(left), Some(right)) if left.size != right.size => Err(format!(
            "the {} {} do not match the {} {}; transpose(…) of a matrix exchanges its rows and columns",
            left.size, left.what, right.size, right.what
        )),
        _ => Ok(()),
    }
}

/// The table that an argument names, as DataFusion resolves it in a FROM clause.
pub(super) fn table_name(expr: &Expr) -> Option<TableReference> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(TableReference::bare(name.as_str())),
            _ => None,
        },
        Expr::Identifier(name) => Some(TableReference::bare(normalize(name))),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [schema, table] => Some(TableReference::partial(normalize(schema), normalize(table))),
            [catalog, schema, table] => {
                Some(TableReference::full(normalize(catalog), normalize(schema), normalize(table)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// An identifier in lower case, unless it is quoted.
pub(super) fn normalize(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_dimensions_are_compared_where_known() {
        let all = dimensions("'a.mtx'", 300, 500);
        let (rows, columns) = (&all[0].1, &all[1].1);
        assert_eq!(check_inner_dimensions(Some(columns), Some(columns)), Ok(()));
        assert_eq!(check_inner_dimensions(Some(columns), None), Ok(()));
        assert_eq!(
            check_inner_dimensions(Some(columns), Some(rows)).unwrap_err(),
            "the 500 columns of 'a.mtx' do not match the 300 rows of 'a.mtx'; transpose(…) of a matrix exchanges its \
             rows and columns"
        );
    }
}
