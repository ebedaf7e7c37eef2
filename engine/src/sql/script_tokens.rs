//! [`ScriptTokens`]: the tokens of a script, statement by statement.

use std::any::TypeId;
use std::collections::VecDeque;

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::ParseResult;

/// Splits a script at its semicolons. What follows a statement is read in the dialect that is set when the next one is asked for.
///
/// A character that is no token ends the script only where it is reached, so that the statements before it run.
pub(crate) struct ScriptTokens<'a> {
    text: &'a str,
    /// Where the tokens that were not returned start.
    start: Location,
    /// The tokens from `start` on, in `dialect`.
    ahead: VecDeque<TokenWithSpan>,
    /// The error after `ahead`.
    failure: Option<TokenizerError>,
    dialect: Option<TypeId>,
}

impl<'a> ScriptTokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, start: Location::new(1, 1), ahead: VecDeque::new(), failure: None, dialect: None }
    }

    /// The tokens of the next statement with its semicolon, at their locations in the script; `None` at its end.
    pub(crate) fn next(&mut self, dialect: &dyn Dialect) -> ParseResult<Option<Vec<TokenWithSpan>>> {
        if self.dialect != Some(dialect.dialect()) {
            self.tokenize(dialect);
        }
        let mut statement = Vec::new();
        while let Some(token) = self.ahead.pop_front() {
            self.start = token.span.end;
            if statement.is_empty() && is_between_statements(&token.token) {
                continue;
            }
            let is_end = token.token == Token::SemiColon;
            statement.push(token);
            if is_end {
                return Ok(Some(statement));
            }
        }
        match self.failure.take() {
            Some(error) => Err(error.into()),
            None if statement.is_empty() => Ok(None),
            None => Ok(Some(statement)),
        }
    }

    /// Whether the rest, in the dialect of the last statement, has no statement.
    pub(crate) fn is_finished(&self) -> bool {
        self.failure.is_none() && self.ahead.iter().all(|token| is_between_statements(&token.token))
    }

    fn tokenize(&mut self, dialect: &dyn Dialect) {
        let start = self.start;
        let in_script = |location: Location| match location.line {
            1 => Location::new(start.line, start.column + location.column - 1),
            line => Location::new(start.line + line - 1, location.column),
        };
        let mut tokens = Vec::new();
        let rest = &self.text[byte_offset(self.text, start)..];
        let read = Tokenizer::new(dialect, rest).tokenize_with_location_into_buf_with_mapper(&mut tokens, |found| {
            TokenWithSpan::new(found.token, Span::new(in_script(found.span.start), in_script(found.span.end)))
        });
        let failure = read.err();
        self.failure =
            failure.map(|error| TokenizerError { message: error.message, location: in_script(error.location) });
        self.ahead = tokens.into();
        self.dialect = Some(dialect.dialect());
    }
}

fn is_between_statements(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::SemiColon)
}

/// The offset of a location in bytes. Lines and columns count from 1, and columns count characters.
fn byte_offset(text: &str, location: Location) -> usize {
    let before = |one_based: u64| usize::try_from(one_based.saturating_sub(1)).unwrap_or(usize::MAX);
    let line: usize = text.split_inclusive('\n').take(before(location.line)).map(str::len).sum();
    let column: usize = text[line..].chars().take(before(location.column)).map(char::len_utf8).sum();
    line + column
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::{GenericDialect, MySqlDialect};

    use super::*;

    fn text(tokens: &[TokenWithSpan]) -> String {
        tokens.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn a_script_is_split_at_its_semicolons() {
        let mut script = ScriptTokens::new("-- a;b\n ; SELECT ';' /* ; */;\n;SELECT 2 -- end");
        let mut next = || script.next(&GenericDialect {}).unwrap().map(|tokens| text(&tokens));
        assert_eq!(next().as_deref(), Some("SELECT ';' /* ; */;"));
        assert_eq!(next().as_deref(), Some("SELECT 2 -- end"));
        assert_eq!(next(), None);
    }

    #[test]
    fn comments_are_no_statements() {
        for empty in ["", ";; ", "-- foo\n/* bar */", "--"] {
            let mut script = ScriptTokens::new(empty);
            assert_eq!(script.next(&GenericDialect {}), Ok(None), "{empty}");
            assert!(script.is_finished());
        }
    }

    #[test]
    fn the_rest_is_read_in_a_new_dialect_at_its_location() {
        let mut script = ScriptTokens::new("SELECT 'ä';\r\nSELECT 'b'; SELECT \"it\\\"s\"\n, 1");
        script.next(&GenericDialect {}).unwrap();
        script.next(&GenericDialect {}).unwrap();
        assert!(!script.is_finished());
        let tokens = script.next(&MySqlDialect {}).unwrap().unwrap();
        assert!(tokens.iter().any(|token| token.token == Token::DoubleQuotedString("it\"s".to_owned())), "{tokens:?}");
        let starts: Vec<(u64, u64)> =
            tokens.iter().map(|token| (token.span.start.line, token.span.start.column)).collect();
        assert_eq!((starts[0], starts.last()), ((2, 13), Some(&(3, 3))));
    }

    #[test]
    fn an_invalid_token_fails_the_statement_that_has_it() {
        let mut script = ScriptTokens::new("SELECT 1;\nSELECT 'abc");
        assert!(script.next(&GenericDialect {}).unwrap().is_some());
        assert!(!script.is_finished());
        let error = script.next(&GenericDialect {}).unwrap_err();
        assert!(error.to_string().ends_with("Unterminated string literal at Line: 2, Column: 8"), "{error}");
        assert_eq!(script.next(&GenericDialect {}), Ok(None));
    }
}
