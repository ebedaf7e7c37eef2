//! Sparse products of DataFrames, by `sparse_matmul` and by DataFusion's `join` and `aggregate`.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::{min, sum};
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;
use libtest_mimic::Trial;
use ocelli::{DataFrameSparseExt, Ocelli, user_message};

use crate::trial;

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sparse_frames::sparse_matmul_runs_as_sparse_product", sparse_matmul_runs_as_sparse_product),
        trial("sparse_frames::join_and_aggregate_run_as_sparse_product", join_and_aggregate_run_as_sparse_product),
        trial("sparse_frames::invalid_frames_are_rejected", invalid_frames_are_rejected),
        trial("sparse_frames::a_plan_can_be_executed_again", a_plan_can_be_executed_again),
        trial("sparse_frames::a_dropped_stream_stops_the_product", a_dropped_stream_stops_the_product),
    ]
}

const MATRIX: &str = "SELECT * FROM (VALUES (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)) AS m (row, col, value)";

/// The rows as strings, sorted, and whether they come from a sparse product.
async fn rows(frame: DataFrame) -> Result<(Vec<String>, bool), Box<dyn std::error::Error>> {
    let plan = frame.clone().explain(false, false)?.to_string().await?;
    let mut rows: Vec<String> = frame.to_string().await?.lines().skip(3).map(str::to_owned).collect();
    rows.sort();
    Ok((rows.into_iter().filter(|row| row.starts_with("| ")).collect(), plan.contains("method=spgemm")))
}

#[tokio::main]
async fn sparse_matmul_runs_as_sparse_product() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let matrix = ocelli.sql(MATRIX).await?;
    let square = ["| 0   | 0   | 6.0   |", "| 0   | 1   | 8.0   |", "| 1   | 0   | 12.0  |", "| 1   | 1   | 22.0  |"];
    let (found, is_product) = rows(matrix.clone().sparse_matmul(&matrix)?).await?;
    assert_eq!((found, is_product), (square.map(str::to_owned).to_vec(), true));
    let shortest = matrix.clone().sparse_matmul_with(&matrix, "min_plus".parse()?)?;
    let expected = ["| 0   | 0   | 5.0   |", "| 0   | 1   | 6.0   |", "| 1   | 0   | 7.0   |", "| 1   | 1   | 5.0   |"];
    assert_eq!(rows(shortest).await?, (expected.map(str::to_owned).to_vec(), true));
    Ok(())
}

#[tokio::main]
async fn join_and_aggregate_run_as_sparse_product() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let left = ocelli.sql(MATRIX).await?.alias("l")?;
    let right = ocelli.sql(&format!("SELECT row AS k, col AS j, value AS v FROM ({MATRIX})")).await?;
    let product = left
        .join(right, JoinType::Inner, &["col"], &["k"], None)?
        .aggregate(vec![col("row"), col("j")], vec![sum(col("value") * col("v")), min(col("v") + col("value"))])?;
    let (found, is_product) = rows(product).await?;
    assert_eq!((found.len(), is_product), (4, true));
    assert!(found[3].contains("22.0") && found[3].contains("5.0"), "{found:?}");
    Ok(())
}

#[tokio::main]
async fn invalid_frames_are_rejected() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let matrix = ocelli.sql(MATRIX).await?;
    for (other, message) in [
        ("SELECT 1 AS row, 2 AS col", "column 'b.value' does not exist; the columns are row, col, value"),
        (
            "SELECT 1 AS row, 2 AS col, 'x' AS value",
            "cannot evaluate Float64 * Utf8: arithmetic needs numeric operands; use CAST(… AS DOUBLE) on strings",
        ),
    ] {
        let other = ocelli.sql(other).await?;
        let product = matrix.clone().sparse_matmul(&other);
        let found = match product {
            Ok(frame) => frame.collect().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(found.map_err(|error| user_message(&error)), Err(message.to_owned()));
    }
    assert_eq!(
        "plus_minus".parse::<ocelli::Semiring>().map_err(|error| error.to_string()[..39].to_owned()),
        Err("unknown semiring 'plus_minus'; expected".to_owned())
    );
    Ok(())
}

/// Some joins re-execute their inputs if memory is insufficient.
#[tokio::main]
async fn a_plan_can_be_executed_again() -> Outcome {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let matrix = ocelli.sql(MATRIX).await?;
    let vector = format!(
        "SELECT m.row, SUM(m.value * m.value) FROM ({MATRIX}) m JOIN ({MATRIX}) n ON m.col = n.row GROUP BY m.row"
    );
    for (frame, rows) in [(matrix.clone().sparse_matmul(&matrix)?, 4), (ocelli.sql(&vector).await?, 2)] {
        let plan = frame.create_physical_plan().await?;
        for _ in 0..3 {
            let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
            assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), rows);
        }
        // A single partition, then all partitions.
        let alone = plan.execute(0, ocelli.context().task_ctx())?.count().await;
        assert!(alone <= 1);
        let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), rows);
    }
    Ok(())
}

/// A product of 400 million rows, of which one batch per partition is read.
#[tokio::main]
async fn a_dropped_stream_stops_the_product() -> Outcome {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let matrix = "SELECT i AS row, i % 2 AS col, 1.0 AS value FROM generate_series(1, 20000) AS s (i)";
    let sql = format!(
        "SELECT a.row, b.row, SUM(a.value * b.value) FROM ({matrix}) a JOIN ({matrix}) b ON a.col = b.col GROUP BY a.row, b.row"
    );
    for partition in ocelli.sql(&sql).await?.execute_stream_partitioned().await?.iter_mut() {
        assert!(partition.next().await.transpose()?.is_some_and(|batch| batch.num_rows() > 0));
    }
    Ok(())
}
