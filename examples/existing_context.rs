//! Adds Ocelli to an application's own DataFusion session:
//! `cargo run -p ocelli-examples --example existing_context`

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;

#[tokio::main]
async fn main() -> datafusion::error::Result<()> {
    // The application's own session and configuration …
    let config = SessionConfig::new().with_target_partitions(2);
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);

    // … extended by our functions, options, rules and operators.
    let context = SessionContext::new_with_state(ocelli::extend(builder)?.build());

    // Registered tables can be used like files: `classify` only requires a binary column.
    context.register_parquet("photos", "examples/data/photos.parquet", ParquetReadOptions::default()).await?;
    context.register_batch("prices", prices()?)?;

    let bill = context
        .sql(
            "SELECT prices.label, count(*) AS photos, sum(price) AS total
             FROM photos JOIN prices ON classify(photos.image) = prices.label
             GROUP BY prices.label ORDER BY total DESC",
        )
        .await?;
    bill.show().await
}

/// The price that the application charges for a photo of each label.
fn prices() -> datafusion::error::Result<RecordBatch> {
    let labels: ArrayRef = Arc::new(StringArray::from(vec!["cat", "ship", "truck"]));
    let prices: ArrayRef = Arc::new(Int32Array::from(vec![5, 2, 1]));
    Ok(RecordBatch::try_from_iter([("label", labels), ("price", prices)])?)
}
