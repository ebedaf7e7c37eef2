//! [`TokenCursor`]: parses the words of our statements, which are not keywords of DataFusion's parser.

use std::fmt;

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::ParseResult;

/// A cursor over the remaining tokens.
pub(crate) struct TokenCursor<'a, 'b> {
    parser: &'a mut Parser<'b>,
}

impl<'a, 'b> TokenCursor<'a, 'b> {
    pub(crate) fn new(parser: &'a mut Parser<'b>) -> Self {
        Self { parser }
    }

    /// Whether the next tokens are these words, unquoted and in any case.
    pub(crate) fn peek_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(at, expected)| match self.parser.peek_nth_token(at).token {
            Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected),
            _ => false,
        })
    }

    /// Consumes these words if they are next.
    pub(crate) fn consume_words(&mut self, words: &[&str]) -> bool {
        let matches = self.peek_words(words);
        if matches {
            words.iter().for_each(|_| drop(self.parser.next_token()));
        }
        matches
    }

    /// Consumes a required word; `what` describes it in the error.
    pub(crate) fn expect(&mut self, word: &str, what: &str) -> ParseResult<()> {
        if self.consume_words(&[word]) { Ok(()) } else { self.expected(what) }
    }

    /// Whether the token after `words` tokens is an identifier.
    pub(crate) fn peek_is_identifier(&self, words: usize) -> bool {
        matches!(self.parser.peek_nth_token(words).token, Token::Word(_))
    }

    /// Consumes an identifier, quoted or not.
    pub(crate) fn name(&mut self, what: &str) -> ParseResult<ModelName> {
        match self.parser.peek_token().token {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(ModelName(word.value))
            }
            _ => self.expected(what),
        }
    }

    /// Consumes a string literal.
    pub(crate) fn string_literal(&mut self, what: &str) -> ParseResult<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => self.expected(what),
        }
    }

    /// Consumes a word, a string in any quotes, or a number.
    pub(crate) fn value(&mut self, what: &str) -> ParseResult<String> {
        let value = match self.parser.peek_token().token {
            Token::Word(word) => word.value,
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                text
            }
            Token::Number(number, _) => number,
            _ => return self.expected(what),
        };
        self.parser.next_token();
        Ok(value)
    }

    /// Consumes a token if it is next.
    pub(crate) fn consume_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.parser.peek_token().token, Token::EOF | Token::SemiColon)
    }

    /// The error for an unexpected token.
    pub(crate) fn expected<T>(&self, what: &str) -> ParseResult<T> {
        self.parser.expected(what, self.parser.peek_token())
    }
}

/// The name of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelName(pub(crate) String);

/// Quoted unless it is a plain identifier.
impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if is_plain(&self.0) && !self.0.eq_ignore_ascii_case("if") {
            return f.write_str(&self.0);
        }
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string literal.
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
