//! [`trials`]: DataFusion's own `.slt` files for joins, aggregates and TPC-H, in a session with Ocelli's rules.
//!
//! The files are not in this repository. `OCELLI_DATAFUSION_SLT` is the path of their folder, `test_files`: that of a clone of
//! DataFusion, or the one that `tests/data/datafusion_suites.py` generates from the published crate, which lacks some data.
//!
//! ```text
//! record ─▶ Ocelli ─┬─ as expected ────────────────────────────────▶ passed
//!                   ├─ a plan with SparseMatMul ─▶ rerun with the rule disabled
//!                   └─ otherwise ─────▶ DataFusion ─┬─ the same ───▶ passed, and counted
//!                                                   └─ different ──▶ failed
//! ```

use std::fmt::Display;
use std::fs;
use std::future::ready;
use std::io;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions as ArrowOptions};
use datafusion::common::not_impl_err;
use datafusion::config::FormatOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use libtest_mimic::{Failed, Trial};
use sqllogictest::{
    AsyncDB, DBOutput, DefaultColumnType, Location, MakeConnection, Record, Runner, parse_file, strict_column_validator,
};
use tempfile::TempDir;

use crate::requirement::require;

/// The prefix of the rule's operators in a plan.
const OPERATOR: &str = "SparseMatMul";

/// The files, each with the maximum number of records for which DataFusion's own results may differ from the expected ones: those
/// that read tables which are not in the crate, or which DataFusion's runner creates in Rust.
const SUITES: &[(&str, usize)] = &[
    ("agg_func_substitute.slt", 0),
    ("aggregate.slt", 111),
    ("aggregate_any_value.slt", 0),
    ("aggregate_memory_spill.slt", 0),
    ("aggregate_repartition.slt", 0),
    ("aggregate_skip_partial.slt", 44),
    ("aggregates_simplify.slt", 0),
    ("aggregates_topk.slt", 0),
    ("array_agg.slt", 8),
    ("array_agg_sliding_window.slt", 0),
    ("count_star_rule.slt", 0),
    ("distinct_on.slt", 17),
    ("eliminate_outer_join.slt", 0),
    ("functional_dependencies.slt", 0),
    ("group.slt", 13),
    ("group_by.slt", 11),
    ("grouping.slt", 0),
    ("grouping_set_repartition.slt", 0),
    ("join_disable_repartition_joins.slt", 2),
    ("join_is_not_distinct_from.slt", 0),
    ("join_limit_pushdown.slt", 0),
    ("join_lists.slt", 0),
    ("join_only.slt", 0),
    ("joins.slt", 0),
    ("lateral_join.slt", 0),
    ("min_max/fixed_size_list.slt", 0),
    ("min_max/large_list.slt", 0),
    ("min_max/list.slt", 0),
    ("nested_loop_join_spill.slt", 0),
    ("null_aware_anti_join.slt", 0),
    ("optimizer_group_by_constant.slt", 0),
    ("ordered_aggregate_spill.slt", 0),
    ("propagate_empty_relation_outer_join.slt", 0),
    ("push_down_filter_outer_joins.slt", 0),
    ("push_down_topk_through_join.slt", 0),
    ("pwmj.slt", 0),
    ("same_column_name_cross_join.slt", 0),
    ("sort_merge_join.slt", 0),
    ("sort_merge_join_spill.slt", 0),
    ("subquery.slt", 1),
    ("tpch/tpch.slt", 0),
];

/// EXPLAIN records, by the start of their SQL, whose plans differ: DataFusion's TopK aggregation, which does not order NaN, is not used
/// for MIN and MAX of floats.
const FLOAT_MIN_MAX_PLANS: [(&str, &str); 1] =
    [("aggregates_topk.slt", "EXPLAIN SELECT min_y FROM (SELECT s, MIN(y) AS min_y FROM t0 ")];

/// The tables that DataFusion's runner creates before the first record of `joins.slt`, in addition to a function.
const JOINS_TABLES: [&str; 4] = [
    "CREATE EXTERNAL TABLE test_partition_table (
       c1 INT UNSIGNED NOT NULL, c2 BIGINT UNSIGNED NOT NULL, c3 BOOLEAN NOT NULL
     ) STORED AS CSV OPTIONS ('format.has_header' 'true')
     LOCATION '../core/tests/data/partitioned_csv/partition-0.csv'",
    "CREATE DATABASE my_catalog",
    "CREATE SCHEMA my_catalog.my_schema",
    "CREATE TABLE my_catalog.my_schema.table_with_many_types AS SELECT arrow_cast('foo', 'Binary') AS binary_col",
];

/// One trial per file, or a single ignored one if the files are missing.
pub(crate) fn trials() -> Vec<Trial> {
    let test_files = match test_files() {
        Ok(test_files) => test_files,
        Err(missing) => return vec![require("datafusion", Some(missing), Trial::test("datafusion", || Ok(())))],
    };
    let trial = |&(file, max_deviations): &(&'static str, usize)| {
        let test_files = test_files.clone();
        Trial::test(format!("datafusion/{file}"), move || run(&test_files, file, max_deviations))
    };
    SUITES.iter().map(trial).collect()
}

fn test_files() -> Result<PathBuf, String> {
    let folder = std::env::var_os("OCELLI_DATAFUSION_SLT").ok_or("OCELLI_DATAFUSION_SLT is not set")?;
    Path::new(&folder).canonicalize().map_err(|error| format!("OCELLI_DATAFUSION_SLT: {error}"))
}

fn run(test_files: &Path, file: &str, max_deviations: usize) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(compare(test_files, file))?;
    let SuiteResult { records, products, plans, .. } = result;
    let (deviations, failed) = (result.deviations.len(), result.failed.len());
    eprintln!(
        "datafusion/{file}: {records} records, {failed} failed, {deviations} equal to DataFusion but not to the file; \
         {products} queries ran {OPERATOR}, {plans} plans compared without it"
    );
    if failed > 0 {
        return Err(result.failed.join("\n\n").into());
    }
    if deviations > max_deviations {
        let locations: Vec<String> = result.deviations.iter().map(Location::to_string).collect();
        let locations = locations.join("\n");
        return Err(format!("DataFusion deviates from the file in over {max_deviations} records:\n{locations}").into());
    }
    Ok(())
}

/// The result of running a file.
#[derive(Default)]
struct SuiteResult {
    records: usize,
    /// The number of queries whose plans contain the operator.
    products: usize,
    /// The number of EXPLAIN records whose plans contain the operator.
    plans: usize,
    /// Records for which both sessions return the same result, which differs from the expected one.
    deviations: Vec<Location>,
    failed: Vec<String>,
}

async fn compare(test_files: &Path, file: &str) -> Result<SuiteResult, Failed> {
    let (ocelli, datafusion) =
        (Session::new(test_files, file, true).await?, Session::new(test_files, file, false).await?);
    let (context, products) = (ocelli.context.clone(), Arc::clone(&ocelli.products));
    let (mut ocelli, mut datafusion) = (runner(ocelli), runner(datafusion));
    let mut result = SuiteResult::default();
    for record in parse_file::<DefaultColumnType>(test_files.join(file))? {
        result.records += usize::from(matches!(record, Record::Statement { .. } | Record::Query { .. }));
        let verb = verb(&record);
        let mut error = ocelli.run_async(record.clone()).await.err();
        if verb == "EXPLAIN" && error.as_ref().is_some_and(|error| error.to_string().contains(OPERATOR)) {
            result.plans += 1;
            context.sql("SET ocelli.sparse_matmul = false").await?;
            error = ocelli.run_async(record.clone()).await.err();
            context.sql("SET ocelli.sparse_matmul = true").await?;
        }
        if has_float_min_max_plan(file, &record) {
            continue;
        }
        // Statements that may change the session run in both sessions; other queries are skipped, because they take minutes.
        if error.is_none() && matches!(&*verb, "SELECT" | "WITH" | "EXPLAIN") {
            continue;
        }
        let expected = datafusion.run_async(record).await.err();
        let Some(error) = error else {
            continue;
        };
        match expected.map(|expected| expected.to_string()) {
            Some(expected) if expected == error.to_string() => result.deviations.push(error.location()),
            Some(expected) => result.failed.push(format!("{error}\nDataFusion alone: {expected}")),
            None => result.failed.push(error.to_string()),
        }
    }
    result.products = products.load(Ordering::Relaxed);
    Ok(result)
}

fn has_float_min_max_plan(file: &str, record: &Record<DefaultColumnType>) -> bool {
    let Record::Query { sql, .. } = record else {
        return false;
    };
    FLOAT_MIN_MAX_PLANS.iter().any(|(suite, start)| *suite == file && sql.starts_with(start))
}

/// The first keyword of a query in upper case; empty for other records.
fn verb(record: &Record<DefaultColumnType>) -> String {
    let Record::Query { sql, .. } = record else {
        return String::new();
    };
    sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

fn runner(session: Session) -> Runner<Session, impl MakeConnection<Conn = Session>> {
    let mut runner = Runner::new(move || ready(Ok::<_, io::Error>(session.clone())));
    runner.add_label("Datafusion");
    runner.with_column_validator(strict_column_validator);
    runner
}

/// A session configured like that of DataFusion's own runner, with or without Ocelli.
#[derive(Clone)]
struct Session {
    context: SessionContext,
    test_files: PathBuf,
    /// The folder of this session that replaces `test_files/scratch`.
    scratch: Arc<TempDir>,
    /// The number of executed plans that contain the operator.
    products: Arc<AtomicUsize>,
}

impl Session {
    async fn new(test_files: &Path, file: &str, with_ocelli: bool) -> Result<Self> {
        // The expected plans have four partitions.
        let config = SessionConfig::new().with_target_partitions(4);
        let builder = SessionStateBuilder::new().with_config(config).with_default_features();
        let builder = if with_ocelli { ocelli::extend(builder)? } else { builder };
        let session = Self {
            context: SessionContext::new_with_state(builder.build()),
            test_files: test_files.to_owned(),
            scratch: Arc::new(TempDir::new()?),
            products: Arc::default(),
        };
        if with_ocelli {
            session.context.sql("SET ocelli.sparse_matmul = true").await?;
        }
        fs::create_dir_all(session.scratch.path().join(Path::new(file).file_stem().unwrap_or_default()))?;
        if file == "joins.slt" {
            for table in JOINS_TABLES {
                session.context.sql(&session.with_local_paths(table)).await?;
            }
            let arguments = vec![DataType::Float64, DataType::Float64];
            let body = |_: &[ColumnarValue]| -> Result<ColumnarValue> { not_impl_err!("joins.slt only plans it") };
            let example = create_udf("example", arguments, DataType::Float64, Volatility::Immutable, Arc::new(body));
            session.context.register_udf(example);
        }
        Ok(session)
    }

    /// For each folder: its prefix in the files, its local path, and its name in expected plans.
    fn folders(&self) -> [(&'static str, String, &'static str); 4] {
        let text = |path: &Path| path.display().to_string();
        let root =
            self.test_files.ancestors().nth(3).filter(|root| root.parent().is_some()).unwrap_or(&self.test_files);
        [
            (
                "'test_files/scratch/",
                text(self.scratch.path()),
                "WORKSPACE_ROOT/datafusion/sqllogictest/test_files/scratch",
            ),
            ("'test_files/", text(&self.test_files), "WORKSPACE_ROOT/datafusion/sqllogictest/test_files"),
            ("'../../", text(root), "WORKSPACE_ROOT"),
            ("'../", text(&root.join("datafusion")), "WORKSPACE_ROOT/datafusion"),
        ]
    }

    /// Replaces the folders in SQL of the files by their local paths.
    fn with_local_paths(&self, sql: &str) -> String {
        let folders = self.folders();
        folders.iter().fold(sql.to_owned(), |sql, (start, folder, _)| sql.replace(*start, &format!("'{folder}/")))
    }

    /// Replaces local paths by the names in expected plans.
    fn with_expected_paths(&self, text: &str) -> String {
        let folders = self.folders();
        folders
            .iter()
            .fold(text.to_owned(), |text, (_, folder, name)| text.replace(folder.trim_start_matches('/'), name))
    }

    async fn rows(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>> {
        let frame = self.context.sql(&self.with_local_paths(sql)).await?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let is_product = displayable(plan.as_ref()).indent(false).to_string().contains(OPERATOR);
        self.products.fetch_add(usize::from(is_product), Ordering::Relaxed);
        let schema = plan.schema();
        let types: Vec<_> = schema.fields().iter().map(|field| column_type(field.data_type())).collect();
        let is_plan = schema.fields().first().is_some_and(|field| field.name() == "plan_type");
        let mut rows = Vec::new();
        for batch in collect(plan, task).await? {
            rows.extend(format_rows(&batch)?.into_iter().flat_map(split_lines));
        }
        if is_plan {
            rows.iter_mut().flatten().for_each(|cell| *cell = self.with_expected_paths(cell));
        }
        if types.is_empty() && rows.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        Ok(DBOutput::Rows { types, rows })
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = io::Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, io::Error> {
        let rows = self.rows(sql).await;
        rows.map_err(|error| {
            io::Error::other(self.with_expected_paths(&format!("DataFusion error: {}", error.strip_backtrace())))
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "DataFusion"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        text if text.is_string() => DefaultColumnType::Text,
        integer if integer.is_integer() => DefaultColumnType::Integer,
        real if real.is_floating() || real.is_decimal() => DefaultColumnType::FloatingPoint,
        DataType::Dictionary(_, values) if values.is_string() => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn format_rows(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let columns = batch.columns().iter().map(format_column).collect::<Result<Vec<_>>>()?;
    Ok((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect())
}

fn format_column(column: &ArrayRef) -> Result<Vec<String>> {
    let column = match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values)?,
        DataType::Float16 => cast(column, &DataType::Float32)?,
        _ => Arc::clone(column),
    };
    let options = FormatOptions { null: "NULL".to_owned(), ..FormatOptions::default() };
    let options: ArrowOptions<'_> = (&options).try_into()?;
    let formatter = ArrayFormatter::try_new(&column, &options)?;
    let text = |row| match column.data_type() {
        _ if column.is_null(row) => "NULL".to_owned(),
        DataType::Float32 => format_float(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format_float(column.as_primitive::<Float64Type>().value(row)),
        decimal if decimal.is_decimal() => trim_trailing_zeros(&formatter.value(row).to_string()),
        text if text.is_string() => match formatter.value(row).to_string() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => text.trim_end_matches('\n').replace('\0', "\\0"),
        },
        _ => formatter.value(row).to_string(),
    };
    Ok((0..column.len()).map(text).collect())
}

/// Formats a number with at most twelve decimal places and without an exponent.
fn format_float(value: impl Display) -> String {
    let text = value.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match &*text {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        _ if decimals > 12 => trim_trailing_zeros(&format!("{value:.12}")),
        text => trim_trailing_zeros(text),
    }
}

fn trim_trailing_zeros(number: &str) -> String {
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if number == "-0" { "0".to_owned() } else { number.to_owned() }
}

/// Splits a row whose last cell has several lines, such as a plan, into one numbered row per line, its indentation as dashes.
fn split_lines(mut row: Vec<String>) -> Vec<Vec<String>> {
    let Some(cell) = row.pop_if(|cell| cell.contains('\n')) else {
        return vec![row];
    };
    let lines = cell.split('\n').enumerate().map(|(line, text)| {
        let content = text.trim_start();
        vec![format!("{:02}){}{content}", line + 1, "-".repeat(text.len() - content.len()))]
    });
    once(row).chain(lines).collect()
}
