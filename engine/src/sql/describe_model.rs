//! `DESCRIBE MODEL name`

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::error::Result;
use datafusion::prelude::DataFrame;

use super::Parsed;
use super::tokens::{Name, Tokens};
use crate::options::OcelliOptions;
use crate::session::Ocelli;

/// What is known of a model, and where from: a row for each thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DescribeModel {
    name: Name,
}

impl DescribeModel {
    /// `None` when the next tokens are another statement; a table may be called `model`.
    pub(super) fn parse(tokens: &mut Tokens) -> Parsed<Option<Self>> {
        if !tokens.is_name(2) || !(tokens.take(&["DESCRIBE", "MODEL"]) || tokens.take(&["DESC", "MODEL"])) {
            return Ok(None);
        }
        Ok(Some(Self { name: tokens.name("a name for the model")? }))
    }

    pub(super) fn run(self, ocelli: &Ocelli) -> Result<DataFrame> {
        let model = ocelli.engine().models.get(&self.name.0)?;
        let session = OcelliOptions::of(ocelli.context().state().config_options()).session_backend();
        let (properties, values): (Vec<&str>, Vec<String>) = model.description(session)?.into_iter().unzip();
        let column = |texts: StringArray| Arc::new(texts) as ArrayRef;
        let columns = [("property", column(properties.into())), ("value", column(values.into()))];
        ocelli.context().read_batch(RecordBatch::try_from_iter(columns)?)
    }
}

impl fmt::Display for DescribeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DESCRIBE MODEL {}", self.name)
    }
}
