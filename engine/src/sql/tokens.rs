//! [`Tokens`]: the words of our statements, which are no keywords to DataFusion's parser.

use std::fmt;

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Parsed;

/// The tokens that are left.
pub(crate) struct Tokens<'a, 'b> {
    parser: &'a mut Parser<'b>,
}

impl<'a, 'b> Tokens<'a, 'b> {
    pub(crate) fn new(parser: &'a mut Parser<'b>) -> Self {
        Self { parser }
    }

    /// Whether the next tokens are these words, in any case and without quotes.
    pub(crate) fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(at, expected)| match self.parser.peek_nth_token(at).token {
            Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected),
            _ => false,
        })
    }

    /// Takes these words, if they are next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let are = self.are(words);
        if are {
            words.iter().for_each(|_| drop(self.parser.next_token()));
        }
        are
    }

    /// Takes a word that must be next; `what` says so.
    pub(crate) fn expect(&mut self, word: &str, what: &str) -> Parsed<()> {
        if self.take(&[word]) { Ok(()) } else { self.refuse(what) }
    }

    /// Whether the token behind these words is a name.
    pub(crate) fn is_name(&self, words: usize) -> bool {
        matches!(self.parser.peek_nth_token(words).token, Token::Word(_))
    }

    /// A name, in double quotes or without.
    pub(crate) fn name(&mut self, what: &str) -> Parsed<Name> {
        match self.parser.peek_token().token {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(Name(word.value))
            }
            _ => self.refuse(what),
        }
    }

    /// A text in quotes.
    pub(crate) fn text(&mut self, what: &str) -> Parsed<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => self.refuse(what),
        }
    }

    /// A word, a text in any quotes, or a number.
    pub(crate) fn value(&mut self, what: &str) -> Parsed<String> {
        let value = match self.parser.peek_token().token {
            Token::Word(word) => word.value,
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                text
            }
            Token::Number(number, _) => number,
            _ => return self.refuse(what),
        };
        self.parser.next_token();
        Ok(value)
    }

    /// Takes a sign, if it is next.
    pub(crate) fn take_sign(&mut self, sign: &Token) -> bool {
        self.parser.consume_token(sign)
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.parser.peek_token().token, Token::EOF | Token::SemiColon)
    }

    /// That something else is next than what was expected.
    pub(crate) fn refuse<T>(&self, what: &str) -> Parsed<T> {
        self.parser.expected(what, self.parser.peek_token())
    }
}

/// The name of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// In quotes where it is no plain word.
impl fmt::Display for Name {
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

/// A text in single quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
