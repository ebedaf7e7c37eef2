//! `CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name STORED AS ONNX LOCATION '…' [OPTIONS ('key' 'value', …)]`

use std::fmt;

use datafusion::error::Result;
use datafusion::prelude::DataFrame;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::ModelSession;
use crate::error::Error;
use crate::model::ModelOptions;
use crate::options::DEFAULT_MODEL;
use crate::sql::{ModelName, ParseResult, TokenCursor, quote_literal};

/// Loads a model and registers it under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateModel {
    name: ModelName,
    or_replace: bool,
    if_not_exists: bool,
    location: String,
    /// Pairs of key and value, as written.
    options: Vec<(String, String)>,
}

impl CreateModel {
    /// `None` if the next tokens are another statement.
    pub(crate) fn parse(tokens: &mut TokenCursor) -> ParseResult<Option<Self>> {
        let or_replace = tokens.peek_words(&["CREATE", "OR", "REPLACE", "MODEL"]);
        if !tokens.consume_words(&["CREATE", "OR", "REPLACE", "MODEL"]) && !tokens.consume_words(&["CREATE", "MODEL"]) {
            return Ok(None);
        }
        if or_replace && tokens.peek_words(&["IF", "NOT"]) {
            return tokens.expected("a name for the model (OR REPLACE and IF NOT EXISTS exclude each other)");
        }
        let if_not_exists = tokens.consume_words(&["IF", "NOT", "EXISTS"]);
        if tokens.consume_words(&["IF"]) {
            return tokens.expected("NOT EXISTS");
        }
        let name = tokens.name("a name for the model")?;
        tokens.expect("STORED", "STORED AS ONNX")?;
        tokens.expect("AS", "AS")?;
        tokens.expect("ONNX", "ONNX")?;
        tokens.expect("LOCATION", "LOCATION")?;
        let location = tokens.string_literal("the location in quotes")?;
        let mut options = Vec::new();
        if tokens.consume_words(&["OPTIONS"]) {
            options = parse_option_list(tokens)?;
        } else if !tokens.is_end() {
            return tokens.expected("OPTIONS or the end of the statement");
        }
        Ok(Some(Self { name, or_replace, if_not_exists, location, options }))
    }

    pub(crate) async fn execute(self, session: &ModelSession<'_>) -> Result<DataFrame> {
        let (models, context) = (session.models, session.context);
        let ModelName(name) = self.name;
        let exists = models.get(&name).is_ok();
        if name.eq_ignore_ascii_case(DEFAULT_MODEL) && self.or_replace {
            return Err(Error::BuiltinModel { name: DEFAULT_MODEL }.into());
        }
        if exists && self.if_not_exists {
            return context.read_empty();
        }
        if exists && !self.or_replace {
            return Err(Error::ModelAlreadyExists { name }.into());
        }
        let invalid = |reason| Error::CreateModel { model: name.clone(), location: self.location.clone(), reason };
        let options = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let options = ModelOptions::parse(options).map_err(invalid)?;
        let model = session.create(&name, &self.location, options).await?;
        // Another statement may have registered the name in the meantime.
        match (self.or_replace, self.if_not_exists) {
            (true, _) => models.register(model)?,
            (false, if_not_exists) => {
                if !models.register_if_absent(model) && !if_not_exists {
                    return Err(Error::ModelAlreadyExists { name }.into());
                }
            }
        }
        context.read_empty()
    }
}

/// `('key' 'value', …)`
fn parse_option_list(tokens: &mut TokenCursor) -> ParseResult<Vec<(String, String)>> {
    if !tokens.consume_token(&Token::LParen) {
        return tokens.expected("( and pairs of an option and its value");
    }
    let mut pairs = Vec::new();
    while !tokens.consume_token(&Token::RParen) {
        if !pairs.is_empty() && !tokens.consume_token(&Token::Comma) {
            return tokens.expected(", or )");
        }
        let key = tokens.value("the name of an option")?;
        let value = tokens.value(&format!("a value for option '{key}'"))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

impl fmt::Display for CreateModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.or_replace { "CREATE OR REPLACE MODEL " } else { "CREATE MODEL " })?;
        if self.if_not_exists {
            f.write_str("IF NOT EXISTS ")?;
        }
        write!(f, "{} STORED AS ONNX LOCATION {}", self.name, quote_literal(&self.location))?;
        let pairs: Vec<String> = self
            .options
            .iter()
            .map(|(key, value)| format!("{} {}", quote_literal(key), quote_literal(value)))
            .collect();
        if pairs.is_empty() { Ok(()) } else { write!(f, " OPTIONS ({})", pairs.join(", ")) }
    }
}
