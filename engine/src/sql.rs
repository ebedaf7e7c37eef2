//! Parsing of our statements, and rewriting of SQL before it is planned.

mod constant_arguments;
mod expression_depth;
mod ignored_clauses;
mod named_arguments;
mod script_tokens;
mod tokens;

use std::ops::ControlFlow;

use datafusion::sql::parser::CopyToSource;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::parser::ParserError;

pub(crate) use constant_arguments::fold_constant_arguments;
pub(crate) use expression_depth::limit_expression_depth;
pub(crate) use ignored_clauses::reject_ignored_clauses;
pub(crate) use named_arguments::resolve_named_arguments;
pub(crate) use script_tokens::ScriptTokens;
pub(crate) use tokens::{ModelName, TokenCursor, quote_literal};

/// The SQL inside a DataFusion statement, for AST visitors.
pub(crate) enum StatementAst<'a> {
    Statement(&'a mut ast::Statement),
    Query(&'a mut ast::Query),
}

impl<'a> StatementAst<'a> {
    pub(crate) fn from_statement(statement: &'a mut datafusion::sql::parser::Statement) -> Option<Self> {
        use datafusion::sql::parser::Statement;
        match statement {
            Statement::Statement(statement) => Some(Self::Statement(statement)),
            Statement::Explain(explain) => Self::from_statement(&mut explain.statement),
            Statement::CopyTo(copy) => match &mut copy.source {
                CopyToSource::Query(query) => Some(Self::Query(query)),
                CopyToSource::Relation(_) => None,
            },
            Statement::CreateExternalTable(_) | Statement::Reset(_) => None,
        }
    }
}

impl VisitMut for StatementAst<'_> {
    fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self {
            Self::Statement(statement) => statement.visit(visitor),
            Self::Query(query) => query.visit(visitor),
        }
    }
}

/// The result of parsing a statement.
pub(crate) type ParseResult<T> = Result<T, ParserError>;
