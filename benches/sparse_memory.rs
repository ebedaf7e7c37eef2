//! Peak memory of sparse products: `cargo bench -p ocelli-cli --bench sparse_memory`
//!
//! A·A with inputs of three times and a result of fifteen times the memory limit, which spills to disk; and a matrix in a Parquet file,
//! of growing size, times a vector.

mod peak_rss;

use std::error::Error;
use std::path::Path;

use ocelli::Ocelli;
use tokio::runtime::Runtime;

use peak_rss::report;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // Four million entries of 24 bytes, ten per row: 40 million products, and nearly as many result rows of 24 bytes.
    let matrix = folder.path().join("matrix.parquet");
    copy(&matrix, "SELECT (i * 7919) % 400009 AS row, (i * 104729) % 399989 AS col, i / 2.0 AS value", 4_000_000)?;
    let file = matrix.display();
    let square = format!(
        "SELECT COUNT(*) FROM (SELECT a.row, b.col, SUM(a.value * b.value)
        FROM '{file}' a JOIN '{file}' b ON a.col = b.row GROUP BY a.row, b.col)"
    );
    for limit in ["64MB", "128MB", "1GB"] {
        report(&format!("A x A, 2 x 96 MB, limit {limit}"), &["--memory-limit", limit], &square)?;
    }
    std::fs::remove_file(&matrix)?;
    // As many entries as fit on the disk, always a million rows and columns.
    for millions in [10, 30, 100] {
        let entries = "SELECT i / 100 AS row, (i * 104729) % 1000003 AS col, (i % 1000) / 2.0 AS value";
        copy(&matrix, entries, millions * 1_000_000)?;
        let vector = "SELECT i AS idx, 0.5 AS value FROM generate_series(0, 1000002) AS s (i)";
        let product = format!(
            "SELECT COUNT(*) FROM (SELECT a.row, SUM(a.value * x.value)
            FROM '{file}' a JOIN ({vector}) x ON a.col = x.idx GROUP BY a.row)"
        );
        report(&format!("A x vector, {millions} million entries, limit 1GB"), &["--memory-limit", "1GB"], &product)?;
    }
    Ok(())
}

/// Writes the rows of `select` over a range of integers `i`.
fn copy(file: &Path, select: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let copy = format!("COPY ({select} FROM generate_series(1, {count}) AS s (i)) TO '{}'", file.display());
    Runtime::new()?.block_on(async { Ocelli::builder().build()?.sql(&copy).await?.collect().await })?;
    Ok(())
}
