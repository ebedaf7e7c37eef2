//! Images that are copies of each other in different sizes and formats: `cargo run -p ocelli-examples --example near_duplicates`

use ocelli::Ocelli;

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    // Adds copies of the images wider than 360 pixels: smaller, and encoded as JPEG.
    let images = "SELECT uri, image FROM 'examples/data/photos.parquet' UNION ALL
        SELECT 'small ' || uri, image_encode(image_resize(image, width => 120), 'jpeg', quality => 60)
        FROM 'examples/data/photos.parquet' WHERE width > 360";
    let hashes = format!("CREATE TABLE hashes AS SELECT uri, image_hash(image) AS hash FROM ({images})");
    ocelli.sql(&hashes).await?.collect().await?;
    let pairs = ocelli
        .sql(
            "SELECT a.uri, b.uri AS copy, hamming_distance(a.hash, b.hash) AS bits FROM hashes AS a JOIN hashes AS b
            ON a.uri < b.uri AND hamming_distance(a.hash, b.hash) <= 10 ORDER BY bits, a.uri",
        )
        .await?;
    pairs.show().await
}
