//! Runs every `.slt` file of `slt/` as a trial: SQL in, rows out. The format is that of SQLite's sqllogictest.
//!
//! `cargo test -p ocelli-tests --test slt` runs all files, `cargo test -p ocelli-tests --test slt lift_infer` those whose names match.
//! `cargo test -p ocelli-tests --test slt -- --complete` writes the results into the files: review the diff before you commit it.
//!
//! With the variable `OCELLI_DATAFUSION_SLT`, DataFusion's own files run, too: see [`datafusion_suites`].
//!
//! Each file has its own session, whose working directory is the root of the repository. After `control substitution on`,
//! `${DATA}` is `tests/data`, `${EXAMPLES}` is `examples/data` and `${__TEST_DIR__}` an empty folder.

mod datafusion_suites;
#[path = "integration/requirement.rs"]
mod requirement;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use libtest_mimic::{Arguments, Failed, Trial};
use ocelli::{Ocelli, user_message};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, strict_column_validator};

fn main() {
    let (complete, rest): (Vec<String>, Vec<String>) = std::env::args().partition(|arg| arg == "--complete");
    let args = Arguments::from_iter(rest);
    // Cargo runs tests in the folder of their package.
    let root = Path::new("..").canonicalize().expect("the repository exists");
    std::env::set_current_dir(&root).expect("the repository exists");
    let complete = !complete.is_empty();
    let trials = files(&root.join("tests/slt")).into_iter().map(|file| {
        let name = file.strip_prefix(root.join("tests/slt")).unwrap_or(&file).display().to_string();
        let root = root.clone();
        Trial::test(name, move || run(&file, &root, complete))
    });
    let mut trials: Vec<Trial> = trials.collect();
    if !complete {
        trials.extend(datafusion_suites::trials());
    }
    libtest_mimic::run(&args, trials).exit();
}

/// The `.slt` files of a folder and its subfolders, sorted by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    let nested = entries.into_iter().flat_map(|entry| match entry.is_dir() {
        true => files(&entry),
        false => vec![entry],
    });
    nested.filter(|file| file.extension().is_some_and(|extension| extension == "slt")).collect()
}

fn run(file: &Path, root: &Path, complete: bool) -> Result<(), Failed> {
    let root_text = root.display().to_string();
    let mut runner = Runner::new(|| async { Session::new(&root_text).await });
    runner.with_column_validator(strict_column_validator);
    runner.set_var("DATA".to_owned(), "tests/data".to_owned());
    runner.set_var("EXAMPLES".to_owned(), "examples/data".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    if complete {
        let update = runner.update_test_file(
            file,
            " ",
            sqllogictest::default_validator,
            sqllogictest::default_normalizer,
            strict_column_validator,
        );
        return runtime.block_on(update).map_err(|error| Failed::from(error.to_string()));
    }
    runtime.block_on(runner.run_file_async(file)).map_err(|error| Failed::from(error.display(false).to_string()))
}

/// The session behind sqllogictest's [`AsyncDB`].
struct Session {
    ocelli: Ocelli,
    /// The path of the repository, to be removed from plans.
    root: String,
}

/// An error, displayed as its `user_message`.
#[derive(Debug)]
struct UserError(DataFusionError);

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&user_message(&self.0))
    }
}

impl std::error::Error for UserError {}

impl From<DataFusionError> for UserError {
    fn from(error: DataFusionError) -> Self {
        Self(error)
    }
}

impl Session {
    async fn new(root: &str) -> Result<Self, UserError> {
        // Two threads, so that effects of partitioning show on every machine; rten, because every machine has it.
        let ocelli = Ocelli::builder().with_threads(2).build()?;
        ocelli.sql("SET ocelli.backend = 'rten'").await?;
        Ok(Self { ocelli, root: root.trim_start_matches('/').to_owned() })
    }

    async fn rows(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        let frame = self.ocelli.sql(sql).await?;
        let fields = frame.schema().fields().clone();
        let is_plan = fields.first().is_some_and(|field| field.name() == "plan_type");
        let types: Vec<_> = fields.iter().map(|field| column_type(field.data_type())).collect();
        let batches = frame.collect().await?;
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(format_rows(batch)?);
        }
        if is_plan {
            rows = rows.iter().flat_map(|row| self.plan_lines(row)).collect();
        }
        Ok(DBOutput::Rows { types, rows })
    }

    /// A plan as one row per line, its indentation as dashes, because leading spaces are lost.
    fn plan_lines(&self, row: &[String]) -> Vec<Vec<String>> {
        let [kind, plan] = row else {
            return vec![row.to_vec()];
        };
        let plan = without_temporary_folders(&plan.replace(&self.root, "ROOT"));
        let lines = plan.lines().map(|line| {
            let text = line.trim_start();
            vec![format!("{}{text}", "-".repeat(line.len() - text.len()))]
        });
        std::iter::once(vec![format!("[{kind}]")]).chain(lines).collect()
    }
}

/// `/tmp/.tmpAbCdEf/x` as `/TEMP/x`: the six characters are random.
fn without_temporary_folders(plan: &str) -> String {
    let temp = format!("{}/.tmp", std::env::temp_dir().display());
    let mut parts = plan.split(temp.trim_start_matches('/'));
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plan, part| plan + "TEMP" + part.get(6..).unwrap_or_default())
}

#[async_trait]
impl AsyncDB for Session {
    type Error = UserError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, UserError> {
        Ok(self.rows(sql).await?)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "ocelli"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DefaultColumnType::Text,
        integer if integer.is_integer() => DefaultColumnType::Integer,
        real if real.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

fn format_rows(batch: &RecordBatch) -> Result<Vec<Vec<String>>, DataFusionError> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let text = |column: &ArrayRef, formatter: &ArrayFormatter<'_>, row: usize| {
        let text = formatter.value(row).to_string();
        // An empty cell would be lost between separators.
        if text.is_empty() && column.is_valid(row) { "(empty)".to_owned() } else { text }
    };
    let row =
        |row| batch.columns().iter().zip(&columns).map(|(column, formatter)| text(column, formatter, row)).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}
