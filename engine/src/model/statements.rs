//! Statements about models: `CREATE`, `DROP`, `SHOW` and `DESCRIBE MODEL`.

mod create_model;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::error::Result;
use datafusion::prelude::{DataFrame, SessionContext};

use super::{Model, ModelOptions, ModelRegistry};
use crate::error::Error;
use crate::options::OcelliOptions;
use crate::runtime::WorkerPool;
use crate::sql::{ModelName, ParseResult, TokenCursor};
use crate::storage::ObjectStoreResolver;

pub(crate) use create_model::CreateModel;

/// The session and the models that a statement acts on.
pub(crate) struct ModelSession<'a> {
    pub(crate) context: &'a SessionContext,
    pub(crate) models: &'a ModelRegistry,
    pub(crate) workers: &'a Arc<WorkerPool>,
}

impl ModelSession<'_> {
    /// Creates a model from the session's object stores, with its backend preferences, without registering it.
    pub(crate) async fn create(&self, name: &str, location: &str, options: ModelOptions) -> Result<Model> {
        let session = OcelliOptions::from_config(self.context.state().config_options()).backend_preferences();
        let (stores, workers) = (ObjectStoreResolver::new(self.context.runtime_env()), Arc::clone(self.workers));
        Ok(Model::create(name, location, options, session, stores, workers).await?)
    }
}

/// `DROP MODEL [IF EXISTS] name`: removes a model. Running queries keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DropModel {
    name: ModelName,
    if_exists: bool,
}

impl DropModel {
    /// `None` if the next tokens are another statement.
    pub(crate) fn parse(tokens: &mut TokenCursor) -> ParseResult<Option<Self>> {
        if !tokens.consume_words(&["DROP", "MODEL"]) {
            return Ok(None);
        }
        let if_exists = tokens.consume_words(&["IF", "EXISTS"]);
        if tokens.consume_words(&["IF"]) {
            return tokens.expected("EXISTS");
        }
        Ok(Some(Self { name: tokens.name("a name for the model")?, if_exists }))
    }

    pub(crate) fn execute(self, session: &ModelSession<'_>) -> Result<DataFrame> {
        match session.models.deregister(&self.name.0) {
            Err(Error::ModelNotFound { .. }) if self.if_exists => {}
            removed => removed?,
        }
        session.context.read_empty()
    }
}

impl fmt::Display for DropModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let if_exists = if self.if_exists { "IF EXISTS " } else { "" };
        write!(f, "DROP MODEL {if_exists}{}", self.name)
    }
}

/// `SHOW MODELS`: the rows of `system.models`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShowModels;

impl ShowModels {
    /// `None` if the next tokens are another statement.
    pub(crate) fn parse(tokens: &mut TokenCursor) -> Option<Self> {
        tokens.consume_words(&["SHOW", "MODELS"]).then_some(Self)
    }

    pub(crate) async fn execute(self, session: &ModelSession<'_>) -> Result<DataFrame> {
        session.context.table("system.models").await
    }
}

impl fmt::Display for ShowModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW MODELS")
    }
}

/// `DESCRIBE MODEL name`: the properties of a model and their sources, one per row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribeModel {
    name: ModelName,
}

impl DescribeModel {
    /// `None` if the next tokens are another statement; a table may be named `model`.
    pub(crate) fn parse(tokens: &mut TokenCursor) -> ParseResult<Option<Self>> {
        if !tokens.peek_is_identifier(2)
            || !(tokens.consume_words(&["DESCRIBE", "MODEL"]) || tokens.consume_words(&["DESC", "MODEL"]))
        {
            return Ok(None);
        }
        Ok(Some(Self { name: tokens.name("a name for the model")? }))
    }

    pub(crate) fn execute(self, session: &ModelSession<'_>) -> Result<DataFrame> {
        let model = session.models.get(&self.name.0)?;
        let preferences = OcelliOptions::from_config(session.context.state().config_options()).backend_preferences();
        let (properties, values): (Vec<&str>, Vec<String>) = model.description(preferences)?.into_iter().unzip();
        let column = |strings: StringArray| Arc::new(strings) as ArrayRef;
        let columns = [("property", column(properties.into())), ("value", column(values.into()))];
        session.context.read_batch(RecordBatch::try_from_iter(columns)?)
    }
}

impl fmt::Display for DescribeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DESCRIBE MODEL {}", self.name)
    }
}
