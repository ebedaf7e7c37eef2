//! Classifies the images of a Parquet file: `cargo run -p ocelli-examples --example hello`

use ocelli::Ocelli;

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let photos = ocelli.sql("SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet'").await?;
    photos.show().await
}
