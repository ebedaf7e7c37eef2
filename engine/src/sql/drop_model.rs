//! `DROP MODEL [IF EXISTS] name`

use std::fmt;

use datafusion::error::Result;
use datafusion::prelude::DataFrame;

use super::Parsed;
use super::tokens::{Name, Tokens};
use crate::error::Error;
use crate::session::Ocelli;

/// Forgets a model. Queries that run keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DropModel {
    name: Name,
    if_exists: bool,
}

impl DropModel {
    /// `None` when the next tokens are another statement.
    pub(super) fn parse(tokens: &mut Tokens) -> Parsed<Option<Self>> {
        if !tokens.take(&["DROP", "MODEL"]) {
            return Ok(None);
        }
        let if_exists = tokens.take(&["IF", "EXISTS"]);
        if tokens.take(&["IF"]) {
            return tokens.refuse("EXISTS");
        }
        Ok(Some(Self { name: tokens.name("a name for the model")?, if_exists }))
    }

    pub(super) fn run(self, ocelli: &Ocelli) -> Result<DataFrame> {
        let models = &ocelli.engine().models;
        match models.remove(&self.name.0) {
            Err(Error::UnknownModel { .. }) if self.if_exists => {}
            removed => removed?,
        }
        ocelli.context().read_empty()
    }
}

impl fmt::Display for DropModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let if_exists = if self.if_exists { "IF EXISTS " } else { "" };
        write!(f, "DROP MODEL {if_exists}{}", self.name)
    }
}
