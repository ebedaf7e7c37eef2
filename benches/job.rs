//! The job of `peers/classify.py`: `cargo run --release -p ocelli-benches --example job -- MODEL_FOLDER PARQUET LABELS`
//!
//! Classifies the images of a Parquet file (column `image`) by the model in a folder, writes one label per line, and prints the
//! throughput. Loading the model and one warm-up batch are not measured.

use std::io::Write;
use std::time::Instant;

use datafusion::arrow::array::AsArray;
use futures::TryStreamExt;
use ocelli::Ocelli;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, images, labels] = arguments.as_slice() else {
        return Err("usage: job MODEL_FOLDER PARQUET LABELS".into());
    };
    let ocelli = Ocelli::builder().build()?;
    ocelli.register_model("job", folder).await?;
    let query = format!("SELECT classify(image, model => 'job') FROM '{images}'");
    ocelli.sql(&format!("{query} LIMIT 16")).await?.collect().await?;
    let start = Instant::now();
    let batches: Vec<_> = ocelli.sql(&query).await?.execute_stream().await?.try_collect().await?;
    let elapsed = start.elapsed().as_secs_f64();
    let mut file = std::io::BufWriter::new(std::fs::File::create(labels)?);
    let mut images = 0;
    for batch in &batches {
        images += batch.num_rows();
        for label in batch.column(0).as_string::<i32>() {
            writeln!(file, "{}", label.unwrap_or_default())?;
        }
    }
    file.flush()?;
    println!("images/s: {:.2}", images as f64 / elapsed);
    Ok(())
}
