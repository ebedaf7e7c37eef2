//! Parsing and rewriting of SQL before it is planned: tokens of our statements, named arguments.

mod named_arguments;
mod tokens;

use std::ops::ControlFlow;

use datafusion::sql::parser::CopyToSource;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::parser::ParserError;

pub(crate) use named_arguments::fill_gaps;
pub(crate) use tokens::{Name, Tokens, quoted};

/// The SQL in a statement of DataFusion, to be visited.
pub(crate) enum Sql<'a> {
    Statement(&'a mut ast::Statement),
    Query(&'a mut ast::Query),
}

impl<'a> Sql<'a> {
    pub(crate) fn of(statement: &'a mut datafusion::sql::parser::Statement) -> Option<Self> {
        use datafusion::sql::parser::Statement;
        match statement {
            Statement::Statement(statement) => Some(Self::Statement(statement)),
            Statement::Explain(explain) => Self::of(&mut explain.statement),
            Statement::CopyTo(copy) => match &mut copy.source {
                CopyToSource::Query(query) => Some(Self::Query(query)),
                CopyToSource::Relation(_) => None,
            },
            Statement::CreateExternalTable(_) | Statement::Reset(_) => None,
        }
    }
}

impl VisitMut for Sql<'_> {
    fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self {
            Self::Statement(statement) => statement.visit(visitor),
            Self::Query(query) => query.visit(visitor),
        }
    }
}

/// What a parser of one statement gives.
pub(crate) type Parsed<T> = Result<T, ParserError>;
