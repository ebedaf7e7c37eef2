//! The images most similar to a given one: `cargo run -p ocelli-examples --example nearest_neighbours`

use datafusion::prelude::*;
use ocelli::Ocelli;
use ocelli::functions::{cosine_similarity, embed};

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().build()?;
    let photos = ocelli.context().read_parquet("examples/data/photos.parquet", ParquetReadOptions::default()).await?;
    // The model runs once per image; the table stores the embedding vectors.
    let vectors = photos.select(vec![col("uri"), embed(col("image")).alias("vector")])?.cache().await?;
    let query = vectors.clone().filter(col("uri").eq(lit("photos/fire-truck.jpg")))?;
    let query = query.select(vec![col("vector").alias("query")])?;
    let others = vectors.filter(col("uri").not_eq(lit("photos/fire-truck.jpg")))?;
    let neighbours = others
        .join(query, JoinType::Inner, &[], &[], None)?
        .select(vec![col("uri"), cosine_similarity(col("vector"), col("query")).alias("similarity")])?
        .sort(vec![col("similarity").sort(false, false)])?
        .limit(0, Some(5))?;
    neighbours.show().await
}
