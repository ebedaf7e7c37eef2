//! [`Ocelli`]: a session, and the only place that puts one together.

mod optimizer_rules;
mod progress;
mod query_planner;
#[cfg(test)]
pub(crate) mod rule_test;
mod statement;

use std::sync::Arc;
use std::thread::available_parallelism;

use datafusion::catalog::DynamicFileCatalog;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::dialect::dialect_from_str;

use crate::infer::{Engine, functions};
use crate::model::statements::ModelSession;
use crate::model::{ModelOptions, SYSTEM, SystemSchema};
use crate::options::OcelliOptions;
use crate::storage::Files;

use progress::OnProgress;
pub use progress::Progress;
use query_planner::OcelliPlanner;
pub use statement::Statement;

/// A session: SQL and DataFrames over files of images.
///
/// Cheap to clone; clones are the same session.
#[derive(Clone)]
pub struct Ocelli {
    context: SessionContext,
    engine: Engine,
}

impl Ocelli {
    /// A session with other than the default limits.
    pub fn builder() -> OcelliBuilder {
        OcelliBuilder::default()
    }

    /// Plans one SQL statement. It runs when the rows of the [`DataFrame`] are asked for.
    ///
    /// # Errors
    /// Whatever is wrong with the statement; [`explain`](crate::explain) makes a sentence of it.
    pub async fn sql(&self, sql: &str) -> Result<DataFrame> {
        match <[Statement; 1]>::try_from(self.parse(sql)?) {
            Ok([statement]) => self.run(statement).await,
            Err(statements) => {
                plan_err!("one statement is expected, got {}; Ocelli::parse takes several apart", statements.len())
            }
        }
    }

    /// Splits a text into its statements, so that they can be run one by one.
    ///
    /// # Errors
    /// The first syntax error, before anything has run.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        let state = self.context.state();
        let options = &state.config_options().sql_parser;
        let Some(dialect) = dialect_from_str(options.dialect) else {
            return plan_err!("datafusion.sql_parser.dialect is '{}', which is no dialect", options.dialect);
        };
        let mut parser = DFParserBuilder::new(text)
            .with_dialect(dialect.as_ref())
            .with_recursion_limit(options.recursion_limit.into())
            .build()?;
        Statement::parse_all(&mut parser)
    }

    /// Plans a statement of [`parse`](Self::parse), like [`sql`](Self::sql).
    ///
    /// # Errors
    /// Whatever is wrong with the statement.
    pub async fn run(&self, statement: Statement) -> Result<DataFrame> {
        statement.run(self).await
    }

    /// Loads a model and gives it a name, as `CREATE OR REPLACE MODEL name STORED AS ONNX LOCATION 'location'` does.
    ///
    /// # Errors
    /// [`Error::CreateModel`](crate::Error::CreateModel) when a file is missing or cannot be used; nothing is registered then.
    pub async fn register_model(&self, name: &str, location: &str) -> Result<()> {
        let model = self.models().create(name, location, ModelOptions::default()).await?;
        Ok(self.engine.models.register(model)?)
    }

    pub(crate) fn models(&self) -> ModelSession<'_> {
        ModelSession { context: &self.context, models: &self.engine.models, workers: &self.engine.workers }
    }

    /// The DataFusion session behind it, for everything else: registering tables, object stores and functions, DataFrames.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }
}

/// The limits of a session.
#[derive(Debug, Default, Clone)]
pub struct OcelliBuilder {
    memory_limit: Option<usize>,
    threads: Option<usize>,
    on_progress: Option<OnProgress>,
}

impl OcelliBuilder {
    /// Bytes that operators may hold: sorts, aggregates and sparse products spill to disk then, others
    /// fail. Unlimited when not given.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Cores to use, at least one. All of them when not given.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Calls `report` some ten times a second while a query runs, and once when it has ended, on a thread of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> datafusion::error::Result<()> {
    /// let ocelli = ocelli::Ocelli::builder()
    ///     .on_progress(|progress| eprintln!("{} rows, {:.0} a second", progress.rows, progress.rate()))
    ///     .build()?;
    /// # ocelli.sql("SELECT 1").await?.collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(mut self, report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(OnProgress::new(report));
        self
    }

    /// Puts the session together.
    ///
    /// # Errors
    /// When the folder for spilled data cannot be made, or the bundled model's configuration cannot be read.
    pub fn build(self) -> Result<Ocelli> {
        let threads = self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = self.memory_limit {
            // The operators that can spill share evenly, so that one greedy sort does not starve the next.
            let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), CONSUMERS_NAMED);
            runtime = runtime.with_memory_pool(Arc::new(pool));
        }
        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_information_schema(true)
            // Rows dealt out to partitions come back in any order. The workers are shared, one partition is enough to keep them busy.
            .with_round_robin_repartition(false);
        // `'photos/**/*.parquet'` is meant as it is written.
        config.options_mut().execution.listing_table_ignore_subdirectory = false;
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?);
        let engine = Engine::bundled(threads)?;
        let state = extend_with(builder, engine.clone(), self.on_progress).build();
        let defaults = &state.config_options().catalog;
        if let Some(catalog) = state.catalog_list().catalog(&defaults.default_catalog) {
            catalog.register_schema(SYSTEM, Arc::new(SystemSchema { models: Arc::clone(&engine.models) }))?;
        }
        let files = Arc::new(Files::default());
        let catalogs = DynamicFileCatalog::new(Arc::clone(state.catalog_list()), Arc::clone(&files) as _);
        let state = SessionStateBuilder::from(state).with_catalog_list(Arc::new(catalogs)).build();
        let context = SessionContext::new_with_state(state);
        files.factory.session_store().with_state(context.state_weak_ref());
        Ok(Ocelli { context, engine })
    }
}

/// How many operators an out-of-memory message names.
const CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

/// Adds functions, options, rules and operators to a session that an application builds, with the bundled model alone.
///
/// The builder's query planner is replaced: DataFusion has one a session. File names as tables are left to the application
/// (`SessionContext::enable_url_table`); statements about models and table functions (`mxm`) are [`Ocelli::sql`]'s alone.
///
/// # Errors
/// When the bundled model's configuration cannot be read.
pub fn extend(mut builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
    let config = builder.config().get_or_insert_default();
    let engine = Engine::bundled(config.target_partitions())?;
    Ok(extend_with(builder, engine, None))
}

fn extend_with(
    mut builder: SessionStateBuilder,
    mut engine: Engine,
    on_progress: Option<OnProgress>,
) -> SessionStateBuilder {
    engine.runtime = Some(Arc::clone(builder.runtime_env().get_or_insert_default()));
    let config = builder.config().get_or_insert_default();
    if config.options().extensions.get::<OcelliOptions>().is_none() {
        config.options_mut().extensions.insert(OcelliOptions::default());
    }
    let model = OcelliOptions::of(config.options()).model;
    builder.scalar_functions().get_or_insert_default().extend(functions::of(&engine, &model));
    optimizer_rules::add_to(&mut builder.optimizer().get_or_insert_default().rules, Arc::clone(&engine.models));
    builder.with_query_planner(Arc::new(OcelliPlanner { engine, on_progress }))
}
