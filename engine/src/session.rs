//! [`Ocelli`]: a session. The only place that assembles a `SessionState`.

mod copy_target;
mod function_kinds;
mod named_option;
mod optimizer_rules;
mod progress;
mod query_planner;
#[cfg(test)]
pub(crate) mod rule_test;
mod script;
mod show_functions;
mod size_options;
mod statement;

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use datafusion::catalog::DynamicFileCatalog;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use crate::infer::{InferContext, functions};
use crate::model::statements::ModelSession;
use crate::model::{ModelOptions, SYSTEM_SCHEMA, SystemSchemaProvider};
use crate::options::OcelliOptions;
use crate::storage::{AtomicWrite, FileTableFactory, MatrixMarketFormatFactory};

pub use progress::Progress;
use progress::ProgressCallback;
use query_planner::OcelliQueryPlanner;
pub use script::Script;
pub use statement::Statement;

/// A session: SQL and DataFrames with image inference and sparse matrix products.
///
/// Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Ocelli {
    context: SessionContext,
    infer_context: InferContext,
}

impl Ocelli {
    /// Configures a session.
    pub fn builder() -> OcelliBuilder {
        OcelliBuilder::default()
    }

    /// Plans one SQL statement. A query is executed when the [`DataFrame`] is collected or streamed; other statements take effect at once.
    ///
    /// # Errors
    /// When the statement cannot be parsed, planned or executed; [`user_message`](crate::user_message) gives the message for users.
    pub async fn sql(&self, sql: &str) -> Result<DataFrame> {
        match <[Statement; 1]>::try_from(self.parse_statements(sql)?) {
            Ok([statement]) => self.execute_statement(statement).await,
            Err(statements) => {
                plan_err!("expected one statement, got {}; split them with Ocelli::parse_statements", statements.len())
            }
        }
    }

    /// Parses all statements of a script before any of them is executed, in the session's dialect.
    ///
    /// # Errors
    /// The first syntax error.
    pub fn parse_statements(&self, text: &str) -> Result<Vec<Statement>> {
        self.script(text).collect()
    }

    /// The statements of a script, each parsed when it is asked for: execute it before the next, as the program does.
    pub fn script<'a>(&'a self, text: &'a str) -> Script<'a> {
        Script::new(self, text)
    }

    /// Plans or executes a statement of [`parse_statements`](Self::parse_statements) or [`script`](Self::script), like [`sql`](Self::sql).
    ///
    /// # Errors
    /// When the statement cannot be planned or executed.
    pub async fn execute_statement(&self, statement: Statement) -> Result<DataFrame> {
        statement.execute(self).await
    }

    /// Loads and registers a model, as `CREATE OR REPLACE MODEL name STORED AS ONNX LOCATION 'location'` does.
    ///
    /// # Errors
    /// [`Error::CreateModel`](crate::Error::CreateModel) when a file is missing or invalid; nothing is registered then.
    pub async fn register_model(&self, name: &str, location: &str) -> Result<()> {
        let model = self.models().create(name, location, ModelOptions::default()).await?;
        Ok(self.infer_context.models.register(model)?)
    }

    /// The context for statements about models.
    pub(crate) fn models(&self) -> ModelSession<'_> {
        ModelSession {
            context: &self.context,
            models: &self.infer_context.models,
            workers: &self.infer_context.workers,
        }
    }

    /// The underlying DataFusion session, for registering tables, object stores and functions, and for DataFrames.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }
}

impl fmt::Debug for Ocelli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ocelli").field("session_id", &self.context.session_id()).finish_non_exhaustive()
    }
}

/// Configuration of a session.
#[derive(Debug, Default, Clone)]
pub struct OcelliBuilder {
    memory_limit: Option<usize>,
    threads: Option<usize>,
    progress_callback: Option<ProgressCallback>,
}

impl OcelliBuilder {
    /// The memory limit of query execution in bytes: sorts, aggregates and sparse products spill to disk when they reach it, other
    /// operators fail. Unlimited by default.
    pub fn with_memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// The number of CPU threads, at least 1. All cores by default.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Calls `report` about ten times a second while a query runs, and once when it has ended, on a thread of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> datafusion::error::Result<()> {
    /// let ocelli = ocelli::Ocelli::builder()
    ///     .with_progress_callback(|progress| eprintln!("{} rows, {:.0} a second", progress.rows, progress.rows_per_second()))
    ///     .build()?;
    /// # ocelli.sql("SELECT 1").await?.collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_progress_callback(mut self, report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.progress_callback = Some(ProgressCallback::new(report));
        self
    }

    /// Builds the session.
    ///
    /// # Errors
    /// When the directory for spill files cannot be created, or the configuration of the built-in model cannot be read.
    pub fn build(self) -> Result<Ocelli> {
        let threads = self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        // DataFusion would keep the list of a folder's files for the whole session, and miss files that are written later.
        let mut runtime = RuntimeEnvBuilder::new().with_object_list_cache_limit(0);
        if let Some(bytes) = self.memory_limit {
            // Operators that can spill get equal shares, so that one large sort does not starve the next.
            let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), TOP_MEMORY_CONSUMERS);
            runtime = runtime.with_memory_pool(Arc::new(pool));
        }
        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_information_schema(true)
            // Round-robin repartitioning loses the order of rows. The worker pool is shared, so one partition keeps it busy.
            .with_round_robin_repartition(false);
        // `'photos/**/*.parquet'` includes subfolders.
        config.options_mut().execution.listing_table_ignore_subdirectory = false;
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?);
        let infer_context = InferContext::with_builtin_model(threads)?;
        let state = register_into(builder, infer_context.clone(), self.progress_callback).build();
        let defaults = &state.config_options().catalog;
        if let Some(catalog) = state.catalog_list().catalog(&defaults.default_catalog) {
            catalog.register_schema(
                SYSTEM_SCHEMA,
                Arc::new(SystemSchemaProvider { models: Arc::clone(&infer_context.models) }),
            )?;
        }
        let files = Arc::new(FileTableFactory::default());
        let catalogs = DynamicFileCatalog::new(Arc::clone(state.catalog_list()), Arc::clone(&files) as _);
        let state = SessionStateBuilder::from(state).with_catalog_list(Arc::new(catalogs)).build();
        let context = SessionContext::new_with_state(state);
        files.factory.session_store().with_state(context.state_weak_ref());
        Ok(Ocelli { context, infer_context })
    }
}

/// The number of memory consumers that an out-of-memory message lists.
const TOP_MEMORY_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

/// Registers functions, options, optimizer rules and operators in an application's own session, with the built-in model only.
///
/// An extended session lacks what [`Ocelli::sql`] does before planning: statements about models, omitted named arguments, and table
/// functions such as `mxm`. No other model can be registered. The builder's query planner is replaced, because a DataFusion session has
/// only one. Files as tables are left to the application (`SessionContext::enable_url_table`).
///
/// # Errors
/// When the configuration of the built-in model cannot be read.
pub fn extend(mut builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
    let config = builder.config().get_or_insert_default();
    let infer_context = InferContext::with_builtin_model(config.target_partitions())?;
    Ok(register_into(builder, infer_context, None))
}

fn register_into(
    mut builder: SessionStateBuilder,
    mut infer_context: InferContext,
    progress_callback: Option<ProgressCallback>,
) -> SessionStateBuilder {
    infer_context.runtime = Some(Arc::clone(builder.runtime_env().get_or_insert_default()));
    let config = builder.config().get_or_insert_default();
    if config.options().extensions.get::<OcelliOptions>().is_none() {
        config.options_mut().extensions.insert(OcelliOptions::default());
    }
    let model = OcelliOptions::from_config(config.options()).model;
    let scalar_functions = builder.scalar_functions().get_or_insert_default();
    scalar_functions.extend(ocelli_udf::byte_length_functions());
    scalar_functions.extend(functions::session_functions(&infer_context, &model));
    optimizer_rules::insert_rules(
        &mut builder.optimizer().get_or_insert_default().rules,
        Arc::clone(&infer_context.models),
    );
    builder.file_formats().get_or_insert_default().push(Arc::new(MatrixMarketFormatFactory));
    let builder = builder.with_physical_optimizer_rule(Arc::new(AtomicWrite));
    builder.with_query_planner(Arc::new(OcelliQueryPlanner { infer_context, progress_callback }))
}
