//! A·A of sparse matrices through SQL, from a table to record batches, compared with the hash join; and a matrix in a Parquet file
//! times a vector.
//!
//! `cargo bench -p ocelli-benches --bench sparse_matmul [-- tiny small rmat14 er100k er1m spmv64m]`. With the variable
//! `OCELLI_BENCH_MATRICES=<folder>`, the matrices are `<folder>/<name>.parquet`, which `peers/sparse_matmul.py` writes and
//! multiplies with other systems.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::ParquetReadOptions;
use futures::StreamExt;
use ocelli::Ocelli;

const SQUARE: &str = "SELECT a.row, b.col, SUM(a.value * b.value) AS value
    FROM m AS a JOIN m AS b ON a.col = b.row GROUP BY a.row, b.col";

/// Samples per query; the median is reported.
const SAMPLES: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let requested: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let names = || MATRICES.iter().map(|(name, _)| *name).chain([VECTOR]);
    if let Some(unknown) = requested.iter().find(|requested| !names().any(|name| name == **requested)) {
        let names = names().collect::<Vec<_>>().join(", ");
        return Err(DataFusionError::Configuration(format!("unknown matrix '{unknown}'; expected one of {names}")));
    }
    let is_requested = |name: &str| requested.is_empty() || requested.iter().any(|requested| requested == name);
    if is_requested(VECTOR) {
        vector().await?;
    }
    for (name, make) in MATRICES {
        if is_requested(name) {
            square(name, matrix(name, *make).await?).await?;
        }
    }
    Ok(())
}

/// The name of the matrix-vector benchmark.
const VECTOR: &str = "spmv64m";

type Entries = Vec<(i64, i64, f64)>;

type Make = fn() -> Entries;

const MATRICES: &[(&str, Make)] = &[
    ("tiny", || uniform(10, 50)),
    ("small", || uniform(1000, 5000)),
    ("rmat14", || rmat(14, 16)),
    ("er100k", || uniform(100_000, 1_600_000)),
    ("er1m", || uniform(1_000_000, 4_000_000)),
];

/// Erdős–Rényi: uniformly random coordinates.
fn uniform(rows: i64, entries: usize) -> Entries {
    let mut random = fastrand::Rng::with_seed(7);
    (0..entries).map(|_| (random.i64(0..rows), random.i64(0..rows), random.f64())).collect()
}

/// Chakrabarti, Zhan, Faloutsos, "R-MAT: a recursive model for graph mining", SDM 2004, with Graph 500's parameters.
fn rmat(scale: u32, degree: usize) -> Entries {
    let mut random = fastrand::Rng::with_seed(7);
    let entry = |random: &mut fastrand::Rng| {
        let (mut row, mut col) = (0, 0);
        for _ in 0..scale {
            let quadrant = random.f64();
            row = 2 * row + i64::from(quadrant >= 0.76);
            col = 2 * col + i64::from((0.57..0.76).contains(&quadrant) || quadrant >= 0.95);
        }
        (row, col, random.f64())
    };
    (0..degree << scale).map(|_| entry(&mut random)).collect()
}

/// The table in batches of 8192 rows, in two partitions.
async fn matrix(name: &str, make: Make) -> Result<MemTable> {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    let schema = Arc::new(Schema::new(vec![
        field("row", DataType::Int64),
        field("col", DataType::Int64),
        field("value", DataType::Float64),
    ]));
    let file =
        std::env::var_os("OCELLI_BENCH_MATRICES").map(|folder| PathBuf::from(folder).join(format!("{name}.parquet")));
    let batches = match file.filter(|file| file.exists()) {
        Some(file) => {
            let context = Ocelli::builder().build()?.context().clone();
            let file = file.display().to_string();
            context.read_parquet(file, ParquetReadOptions::default()).await?.collect().await?
        }
        None => make()
            .chunks(8192)
            .map(|entries| {
                RecordBatch::try_new(
                    Arc::clone(&schema),
                    vec![
                        Arc::new(entries.iter().map(|entry| entry.0).collect::<Int64Array>()),
                        Arc::new(entries.iter().map(|entry| entry.1).collect::<Int64Array>()),
                        Arc::new(entries.iter().map(|entry| entry.2).collect::<Float64Array>()),
                    ],
                )
            })
            .collect::<std::result::Result<_, _>>()?,
    };
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    let (even, odd): (Vec<_>, Vec<_>) = batches.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let partitions = [even, odd].map(|part| part.into_iter().map(|(_, batch)| batch).collect());
    MemTable::try_new(schema, partitions.into())
}

async fn square(name: &str, table: MemTable) -> Result<()> {
    let ocelli = Ocelli::builder().build()?;
    ocelli.context().register_table("m", Arc::new(table))?;
    let entries = ocelli.context().table("m").await?.count().await?;
    println!("{name}: {entries} entries");
    compare(&ocelli, SQUARE, entries).await
}

/// y = A·x, both in Parquet files; the matrix is generated if it is not given.
async fn vector() -> Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let folder = tempfile::tempdir()?;
    let given = std::env::var_os("OCELLI_BENCH_MATRICES").map(PathBuf::from);
    let (m, x) = match given.filter(|folder| folder.join("spmv64m.parquet").exists()) {
        Some(given) => (given.join("spmv64m.parquet"), given.join("spmv64m_x.parquet")),
        None => {
            let (m, x) = (folder.path().join("m.parquet"), folder.path().join("x.parquet"));
            for (name, sql, file) in [
                ("m", "SELECT * FROM m ORDER BY row, col", &m),
                ("x", "SELECT DISTINCT col AS idx, 0.5 AS value FROM m", &x),
            ] {
                if name == "m" {
                    let table = matrix("er1m", || uniform(1_000_000, 4_000_000)).await?;
                    ocelli.context().register_table("m", Arc::new(table))?;
                }
                ocelli.sql(&format!("COPY ({sql}) TO '{}'", file.display())).await?.collect().await?;
            }
            (m, x)
        }
    };
    let (m, x) = (m.display(), x.display());
    let entries = ocelli.sql(&format!("SELECT row FROM '{m}'")).await?.count().await?;
    println!("spmv: {entries} entries in Parquet");
    let sql = format!("SELECT a.row, SUM(a.value * x.value) FROM '{m}' a JOIN '{x}' x ON a.col = x.idx GROUP BY a.row");
    compare(&ocelli, &sql, entries).await
}

/// Times a query as a product and as a join.
async fn compare(ocelli: &Ocelli, sql: &str, entries: usize) -> Result<()> {
    let mut times = Vec::new();
    for on in [true, false] {
        ocelli.sql(&format!("SET ocelli.sparse_matmul = {on}")).await?;
        let mut samples = Vec::new();
        let mut rows = 0;
        for _ in 0..SAMPLES {
            let (time, found) = time(ocelli, sql).await?;
            samples.push(time);
            rows = found;
        }
        samples.sort_unstable();
        let time = samples[SAMPLES / 2];
        let method = if on { "sparse product" } else { "join" };
        let rate = entries as f64 / time.as_secs_f64() / 1e6;
        println!("  {method:<16} {:>9.4} s  {rate:>8.1} M entries/s  {rows:>10} rows", time.as_secs_f64());
        times.push(time.as_secs_f64());
    }
    println!("  speed of the sparse product: {:.2} x the join", times[1] / times[0]);
    Ok(())
}

/// Runs a query, reads its batches and drops them.
async fn time(ocelli: &Ocelli, sql: &str) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let partitions = ocelli.sql(sql).await?.execute_stream_partitioned().await?;
    let read = partitions.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let mut rows = 0;
            while let Some(batch) = stream.next().await.transpose()? {
                rows += batch.num_rows();
            }
            Ok::<_, DataFusionError>(rows)
        })
    });
    let mut rows = 0;
    for task in read.collect::<Vec<_>>() {
        rows += task.await.map_err(|error| DataFusionError::External(Box::new(error)))??;
    }
    Ok((start.elapsed(), rows))
}
