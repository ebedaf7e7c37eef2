//! [`expand`]: replaces calls of table functions by subqueries, before a statement is planned.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Query, TableAlias, TableFactor, TableSampleKind, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::operands::{Operands, normalize, table_name};
use super::table_functions::{TableFunction, call, nested_call};
use crate::sql::StatementAst;

/// Replaces each call of a table function by the subquery that it expands to.
///
/// # Errors
/// When a call has invalid arguments.
pub(crate) async fn expand(statement: &mut Statement, context: &SessionContext) -> Result<()> {
    let mut calls = Calls::default();
    visit(statement, &mut calls)?;
    if !calls.any {
        return Ok(());
    }
    let operands = Operands::read(&calls.operands, &calls.ctes, context).await;
    visit(statement, &mut Expand { operands })
}

/// Checks the arguments of calls without a session, so that a script fails before its first statement is executed.
///
/// # Errors
/// When a call has invalid arguments.
pub(crate) fn check(statement: &mut Statement) -> Result<()> {
    visit(statement, &mut Check)
}

fn visit(statement: &mut Statement, visitor: &mut impl VisitorMut<Break = DataFusionError>) -> Result<()> {
    let Some(mut sql) = StatementAst::from_statement(statement) else {
        return Ok(());
    };
    match sql.visit(visitor) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Finds the calls of a statement.
#[derive(Default)]
struct Calls {
    any: bool,
    /// The tables that they name.
    operands: Vec<Expr>,
    /// The names of common table expressions.
    ctes: Vec<String>,
}

impl VisitorMut for Calls {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| normalize(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        if let Some((_, args)) = call(factor) {
            self.any = true;
            self.add_operands(args);
        }
        ControlFlow::Continue(())
    }
}

impl Calls {
    fn add_operands(&mut self, args: &[FunctionArg]) {
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg else { continue };
            match nested_call(arg) {
                Some((_, args)) => self.add_operands(args),
                None if table_name(arg).is_some() => self.operands.push(arg.clone()),
                None => {}
            }
        }
    }
}

struct Check;

impl VisitorMut for Check {
    type Break = DataFusionError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        match call(factor).map(|(function, args)| function.expand(args, &Operands::default())) {
            Some(Err(error)) => ControlFlow::Break(error.into()),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Expand {
    operands: Operands,
}

impl VisitorMut for Expand {
    type Break = DataFusionError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        let Some((function, args)) = call(factor) else {
            return ControlFlow::Continue(());
        };
        let subquery = function.expand(args, &self.operands).map_err(DataFusionError::from);
        let TableFactor::Table { alias, sample, .. } = &*factor else {
            return ControlFlow::Continue(());
        };
        match subquery.and_then(|operand| derived_table(function, &operand.sql, alias.clone(), sample.clone())) {
            Ok(expanded) => *factor = expanded,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// A subquery as table factor.
fn derived_table(
    function: &TableFunction,
    sql: &str,
    alias: Option<TableAlias>,
    sample: Option<TableSampleKind>,
) -> Result<TableFactor> {
    let default = || TableAlias { explicit: true, name: Ident::new(function.name), columns: Vec::new(), at: None };
    let subquery = Parser::new(&GenericDialect {}).try_with_sql(sql)?.parse_query()?;
    Ok(TableFactor::Derived { lateral: false, subquery, alias: Some(alias.unwrap_or_else(default)), sample })
}
