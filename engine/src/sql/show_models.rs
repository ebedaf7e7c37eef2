//! `SHOW MODELS`

use std::fmt;

use datafusion::error::Result;
use datafusion::prelude::DataFrame;

use super::tokens::Tokens;
use crate::session::Ocelli;

/// The rows of `system.models`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShowModels;

impl ShowModels {
    /// `None` when the next tokens are another statement.
    pub(super) fn parse(tokens: &mut Tokens) -> Option<Self> {
        tokens.take(&["SHOW", "MODELS"]).then_some(Self)
    }

    pub(super) async fn run(self, ocelli: &Ocelli) -> Result<DataFrame> {
        ocelli.context().table("system.models").await
    }
}

impl fmt::Display for ShowModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW MODELS")
    }
}
