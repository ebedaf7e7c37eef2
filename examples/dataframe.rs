//! DataFrames instead of SQL, and images that cannot be decoded: `cargo run -p ocelli-examples --example dataframe`

use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::*;
use ocelli::Ocelli;
use ocelli::functions::{image_format, try_classify};

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(256 << 20).build()?;
    let mixed = ocelli.context().read_parquet("examples/data/mixed.parquet", ParquetReadOptions::default()).await?;

    // One of these is truncated, one is a text file, one is NULL: `try_classify` returns NULL for them.
    let labels = mixed.select(vec![
        col("uri"),
        image_format(col("image")).alias("format"),
        try_classify(col("image")).alias("label"),
    ])?;
    labels.clone().show().await?;

    let invalid = labels.filter(col("label").is_null())?.aggregate(vec![], vec![count(lit(1)).alias("invalid")])?;
    invalid.show().await
}
