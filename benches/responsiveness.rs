//! The longest wait of a timer of the application while a query runs on the same thread:
//! `cargo bench -p ocelli-benches --bench responsiveness`
//!
//! Each query runs on a Tokio runtime of one thread, with a task that ticks every 5 ms. A tick waits while something blocks the thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use ocelli::Ocelli;
use tokio::runtime::Builder;

/// The interval of the ticks.
const TICK: Duration = Duration::from_millis(5);
/// Repetitions of the twelve example images.
const REPEATS: usize = 40;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    std::env::set_current_dir("..")?;
    let folder = tempfile::tempdir()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // A limit, so that the largest queries spill.
        let ocelli = Ocelli::builder().with_memory_limit(256 << 20).build()?;
        prepare(&ocelli, folder.path()).await?;
        println!("{:<44} {:>10} {:>18}", "query", "seconds", "longest wait, ms");
        for (name, sql) in queries(folder.path()) {
            let longest = Arc::new(AtomicU64::new(0));
            let ticker = tokio::spawn(tick(Arc::clone(&longest)));
            let start = Instant::now();
            run(&ocelli, &sql).await?;
            let seconds = start.elapsed().as_secs_f64();
            // A block at the end of the query is seen by the tick after it.
            tokio::time::sleep(2 * TICK).await;
            ticker.abort();
            let longest = Duration::from_micros(longest.load(Ordering::Relaxed)).as_secs_f64() * 1e3;
            println!("{name:<44} {seconds:>10.2} {longest:>18.1}");
        }
        Ok(())
    })
}

/// Records how much later than it should each tick comes, in microseconds.
async fn tick(longest: Arc<AtomicU64>) {
    loop {
        let start = Instant::now();
        tokio::time::sleep(TICK).await;
        let late = start.elapsed().saturating_sub(TICK).as_micros();
        longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

async fn run(ocelli: &Ocelli, sql: &str) -> Result<(), Failure> {
    let batches = ocelli.sql(sql).await?.execute_stream().await?;
    batches.try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// Writes the inputs: images that differ in their bytes, columns of numbers, and a matrix.
async fn prepare(ocelli: &Ocelli, folder: &Path) -> Result<(), Failure> {
    let folder = folder.display();
    for sql in [
        format!(
            "COPY (SELECT uri || '-' || n AS uri, arrow_cast(image, 'Binary') || arrow_cast(CAST(n AS VARCHAR), 'Binary') AS image
             FROM 'examples/data/photos.parquet', generate_series(1, {REPEATS}) AS s(n) WHERE image IS NOT NULL)
             TO '{folder}/photos.parquet'"
        ),
        format!(
            "COPY (SELECT n / 20 AS row, (n * 7919) % 20000 AS col, CAST(1.0 AS DOUBLE) AS value
             FROM generate_series(1, 400000) AS s(n)) TO '{folder}/matrix.parquet'"
        ),
        format!("COPY (SELECT * FROM '{folder}/matrix.parquet') TO '{folder}/matrix.mtx'"),
    ] {
        run(ocelli, &sql).await.map_err(|error| format!("{sql}: {error}"))?;
    }
    Ok(())
}

/// The queries, each with a name.
fn queries(folder: &Path) -> Vec<(&'static str, String)> {
    let folder = folder.display();
    let photos = |select: &str| format!("SELECT {select} FROM '{folder}/photos.parquet'");
    vec![
        ("classify", photos("count(classify(image))")),
        ("embed", photos("count(embed(image))")),
        ("image_hash", photos("count(image_hash(image))")),
        ("image_decode", photos("count(image_decode(image)['width'])")),
        ("image_resize", photos("count(image_resize(image, 64, 64)['width'])")),
        ("image_hash(image_resize)", photos("count(image_hash(image_resize(image, 64, 64)))")),
        ("image_encode", photos("count(image_encode(image_resize(image, 64, 64), 'png'))")),
        ("image_to_tensor", photos("count(image_to_tensor(image_resize(image, 32, 32)))")),
        ("WHERE image_hash", format!("SELECT count(*) FROM '{folder}/photos.parquet' WHERE image_hash(image) > 0")),
        ("ORDER BY, images selected", photos("uri, image, classify(image)") + " ORDER BY uri"),
        (
            "CREATE MODEL",
            "CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION 'engine/src/models/resnet20-cifar10'".to_owned(),
        ),
        ("sparse product", format!("SELECT count(*) FROM mxm('{folder}/matrix.parquet', '{folder}/matrix.parquet')")),
        ("Matrix Market, read", format!("SELECT count(*) FROM '{folder}/matrix.mtx'")),
        ("Matrix Market, written", format!("COPY (SELECT * FROM '{folder}/matrix.parquet') TO '{folder}/copy.mtx'")),
    ]
}
