//! Sparse products that do not fit into memory: operands and accumulators are spilled, and the rows are the same.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::physical_plan::{ExecutionPlan, collect};
use libtest_mimic::Trial;
use ocelli::{Ocelli, user_message};

use crate::trial;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// 300,000 entries of 24 bytes. The values are multiples of 0.5, so that sums are exact in any order.
const MATRIX: &str = "SELECT (i * 7919) % 30011 AS row, (i * 104729) % 29989 AS col, ((i * 31) % 17) / 2.0 AS value
    FROM generate_series(1, 300000) AS s (i)";

const SQUARE: &str = "SELECT COUNT(*), SUM(value), SUM(row * 3 + col), MAX(n) FROM (
    SELECT a.row, b.col, SUM(a.value * b.value) AS value, COUNT(*) AS n
    FROM m a JOIN m b ON a.col = b.row GROUP BY a.row, b.col)";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sparse_memory::spilled_panels_give_the_same_rows", spilled_panels_give_the_same_rows),
        trial("sparse_memory::inputs_that_fit_are_not_spilled", inputs_that_fit_are_not_spilled),
        trial("sparse_memory::accumulators_are_spilled", accumulators_are_spilled),
        trial(
            "sparse_memory::partitions_that_only_fit_separately_are_merged",
            partitions_that_only_fit_separately_are_merged,
        ),
        trial("sparse_memory::strings_are_spilled", strings_are_spilled),
        trial("sparse_memory::masks_are_spilled", masks_are_spilled),
        trial("sparse_memory::too_little_memory_is_reported", too_little_memory_is_reported),
    ]
}

/// The values of a query that returns one row, and the number of spill files.
async fn run(limit: Option<usize>, table: &str, sql: &str) -> Result<(Vec<f64>, usize), Box<dyn std::error::Error>> {
    let ocelli = session(limit)?;
    run_in(&ocelli, table, sql).await
}

/// The same query with the rewrite disabled.
async fn joined(table: &str, sql: &str) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let ocelli = session(None)?;
    ocelli.sql("SET ocelli.sparse_matmul = false").await?;
    Ok(run_in(&ocelli, table, sql).await?.0)
}

fn session(limit: Option<usize>) -> datafusion::error::Result<Ocelli> {
    let builder = Ocelli::builder().with_threads(2);
    match limit {
        Some(limit) => builder.with_memory_limit(limit).build(),
        None => builder.build(),
    }
}

async fn run_in(ocelli: &Ocelli, table: &str, sql: &str) -> Result<(Vec<f64>, usize), Box<dyn std::error::Error>> {
    ocelli.sql(&format!("CREATE VIEW m AS {table}")).await?;
    let plan = ocelli.sql(sql).await?.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).ok_or("one row")?;
    let values = batch.columns().iter().map(|column| match column.as_primitive_opt::<Int64Type>() {
        Some(integers) => integers.value(0) as f64,
        None => column.as_primitive::<Float64Type>().value(0),
    });
    Ok((values.collect(), spill_count(&plan)))
}

fn spill_count(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
    own + plan.children().into_iter().map(spill_count).sum::<usize>()
}

#[tokio::main]
async fn spilled_panels_give_the_same_rows() -> Outcome {
    let expected = joined(MATRIX, SQUARE).await?;
    // 3 MiB and 12 MiB, for two inputs of 7 MB each and a product of 70 MB.
    for limit in [3 << 20, 12 << 20] {
        let (actual, files) = run(Some(limit), MATRIX, SQUARE).await?;
        assert_eq!(actual, expected, "limit {limit}");
        assert!(files > 0, "limit {limit}");
    }
    Ok(())
}

#[tokio::main]
async fn inputs_that_fit_are_not_spilled() -> Outcome {
    let expected = joined(MATRIX, SQUARE).await?;
    assert_eq!(run(Some(200 << 20), MATRIX, SQUARE).await?, (expected.clone(), 0));
    assert_eq!(run(None, MATRIX, SQUARE).await?, (expected, 0));
    Ok(())
}

/// A matrix of 300,000 rows times a vector of 99 elements: an accumulator for each row.
#[tokio::main]
async fn accumulators_are_spilled() -> Outcome {
    let matrix = "SELECT (i * 7919) % 300007 AS row, i % 100 AS col, ((i * 31) % 17) / 2.0 AS value
        FROM generate_series(1, 900000) AS s (i)";
    let sql = "SELECT COUNT(*), SUM(value), SUM(row), MAX(n), MIN(low) FROM (
        SELECT a.row, SUM(a.value * x.value) AS value, COUNT(*) AS n, MIN(a.value + x.value) AS low
        FROM m a JOIN (SELECT i AS idx, NULLIF(i, 50) / 2.0 AS value FROM generate_series(0, 98) AS s (i)) x ON a.col = x.idx
        GROUP BY a.row)";
    let expected = joined(matrix, sql).await?;
    let (actual, files) = run(Some(6 << 20), matrix, sql).await?;
    assert_eq!(actual, expected);
    assert!(files > 0);
    Ok(())
}

/// Two partitions whose accumulators fit into memory separately, but not together.
#[tokio::main]
async fn partitions_that_only_fit_separately_are_merged() -> Outcome {
    let matrix =
        "SELECT i AS row, i % 10 AS col, 1.0 AS value FROM generate_series(1, 200000) AS s (i) ORDER BY i % 7919";
    let sql = "SELECT COUNT(*), SUM(s), MIN(row), MAX(row) FROM (SELECT a.row, SUM(a.value * b.value) AS s
        FROM (SELECT * FROM m UNION ALL SELECT row + 1, col, value FROM m) a
        JOIN (SELECT i AS row, 1.0 AS value FROM generate_series(0, 9) AS s (i)) b ON a.col = b.row GROUP BY a.row)";
    let expected = joined(matrix, sql).await?;
    for limit in [8, 10, 12, 14, 16, 18, 20, 24] {
        assert_eq!(run(Some(limit << 20), matrix, sql).await?.0, expected, "limit {limit} MiB");
    }
    Ok(())
}

#[tokio::main]
async fn strings_are_spilled() -> Outcome {
    let strings =
        format!("SELECT 'row number ' || row AS t, 'key ' || row AS row, 'key ' || col AS col, value FROM ({MATRIX})");
    let square = "SELECT COUNT(*), SUM(value), SUM(LENGTH(t)), MAX(n) FROM (
        SELECT a.t, b.col, SUM(a.value * b.value) AS value, COUNT(*) AS n
        FROM m a JOIN m b ON a.col = b.row GROUP BY a.t, b.col)";
    let expected = joined(&strings, square).await?;
    let (actual, files) = run(Some(24 << 20), &strings, square).await?;
    assert_eq!(actual, expected);
    assert!(files > 0);
    Ok(())
}

#[tokio::main]
async fn masks_are_spilled() -> Outcome {
    for exists in ["EXISTS", "NOT EXISTS"] {
        let sql = format!(
            "SELECT COUNT(*), SUM(value), SUM(row * 3 + col), MAX(n) FROM (
                SELECT a.row, b.col, SUM(a.value * b.value) AS value, COUNT(*) AS n FROM m a JOIN m b ON a.col = b.row
                WHERE {exists} (SELECT 1 FROM m c WHERE c.row = a.row AND c.col = b.col) GROUP BY a.row, b.col)"
        );
        let expected = joined(MATRIX, &sql).await?;
        assert!(expected[0] > 0.0, "{exists}");
        assert_eq!(run(None, MATRIX, &sql).await?, (expected.clone(), 0), "{exists}");
        for limit in [4 << 20, 12 << 20] {
            let (actual, files) = run(Some(limit), MATRIX, &sql).await?;
            assert_eq!(actual, expected, "{exists}, limit {limit}");
            assert!(files > 0, "{exists}, limit {limit}");
        }
    }
    Ok(())
}

#[tokio::main]
async fn too_little_memory_is_reported() -> Outcome {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(200_000).build()?;
    ocelli.sql(&format!("CREATE VIEW m AS {MATRIX}")).await?;
    let error = ocelli.sql(SQUARE).await?.collect().await.map(|_| ()).expect_err("there is too little memory");
    let message = user_message(&error);
    assert!(message.starts_with("not enough memory: Failed to allocate"), "{message}");
    assert!(message.contains("SparseMatMulExec[panels]") && !message.contains('\n'), "{message}");
    Ok(())
}
