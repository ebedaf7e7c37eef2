//! The whole road, from a file through SQL to labels, against what Pillow and ONNX Runtime say.

use std::error::Error;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::col;
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::requirement::require;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let cifar = std::env::var_os("OCELLI_TEST_DATA").map(|folder| PathBuf::from(folder).join("cifar10_test.parquet"));
    let missing = match &cifar {
        None => Some("OCELLI_TEST_DATA names no folder".to_owned()),
        Some(file) if !file.exists() => Some("no cifar10_test.parquet in OCELLI_TEST_DATA".to_owned()),
        Some(_) => None,
    };
    let top_1 = trial("accuracy::cifar10", move || cifar10(&cifar.unwrap_or_default()));
    vec![trial("accuracy::photos", photos), require("data", missing, top_1)]
}

#[tokio::main]
async fn photos() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    // `expected_labels.csv` was written by `expected_labels.py`, which shares no code with us.
    let joined = ocelli
        .sql(
            "SELECT photos.uri, expected.uri AS expected_uri, classify(image) AS got, label
             FROM 'examples/data/photos.parquet' photos FULL JOIN 'tests/data/expected_labels.csv' expected
               ON photos.uri = expected.uri",
        )
        .await?;
    assert_eq!(joined.clone().count().await?, 12, "each picture has one expected label");
    let wrong = joined.filter(col("got").is_null().or(col("got").not_eq(col("label"))))?;
    assert_eq!(wrong.clone().count().await?, 0, "wrong labels:\n{}", wrong.to_string().await?);
    Ok(())
}

/// The model's card says 0.8927 over all 10,000 pictures.
#[tokio::main]
async fn cifar10(file: &Path) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    let query = format!(
        "SELECT avg(CASE WHEN classify(image) = label THEN 1.0 ELSE 0.0 END), count(*) FROM '{}'",
        file.display()
    );
    let batches = ocelli.sql(&query).await?.collect().await?;
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().value(0), 10_000);
    let top_1 = cast(batches[0].column(0), &DataType::Float64)?.as_primitive::<Float64Type>().value(0);
    assert!((top_1 - 0.8927).abs() <= 0.002, "top-1 is {top_1}, the card says 0.8927");
    Ok(())
}
