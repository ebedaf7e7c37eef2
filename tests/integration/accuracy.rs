//! End-to-end accuracy, from files through SQL to labels, compared with Pillow and ONNX Runtime.

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
        None => Some("OCELLI_TEST_DATA is not set".to_owned()),
        Some(file) if !file.exists() => Some("no cifar10_test.parquet in OCELLI_TEST_DATA".to_owned()),
        Some(_) => None,
    };
    let cifar = cifar.unwrap_or_default();
    let file = cifar.clone();
    let builtin = trial("accuracy::cifar10", move || top_1(&file, "rten", None, 0.8927));
    let mut trials = vec![trial("accuracy::photos", photos), require("data", missing.clone(), builtin)];
    // Third-party weights, next to the images; their README states 0.8320.
    let resnet56 = cifar.parent().map(|data| data.join("../models/resnet56-cifar10")).filter(|folder| folder.is_dir());
    let no_model = resnet56.is_none().then(|| "no ../models/resnet56-cifar10 next to OCELLI_TEST_DATA".to_owned());
    for backend in ["rten", "ort"] {
        let (file, model) = (cifar.clone(), resnet56.clone());
        let run =
            trial(format!("accuracy::resnet56::{backend}"), move || top_1(&file, backend, model.as_deref(), 0.8320));
        let no_ort = if backend == "ort" { ocelli::onnx_runtime_library().err() } else { None };
        trials.push(require("ort", no_ort, require("data", missing.clone().or(no_model.clone()), run)));
    }
    trials
}

#[tokio::main]
async fn photos() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    // `expected_labels.csv` was written by `expected_labels.py`, which shares no code with Ocelli.
    let joined = ocelli
        .sql(
            "SELECT photos.uri, expected.uri AS expected_uri, classify(image) AS actual, label
             FROM 'examples/data/photos.parquet' photos FULL JOIN 'tests/data/expected_labels.csv' expected
               ON photos.uri = expected.uri",
        )
        .await?;
    assert_eq!(joined.clone().count().await?, 12, "each image has one expected label");
    let wrong = joined.filter(col("actual").is_null().or(col("actual").not_eq(col("label"))))?;
    assert_eq!(wrong.clone().count().await?, 0, "wrong labels:\n{}", wrong.to_string().await?);
    Ok(())
}

/// The top-1 accuracy on all 10,000 images, within 0.002 of that with Pillow and PyTorch: JPEG decoders differ slightly.
#[tokio::main]
async fn top_1(file: &Path, backend: &str, model: Option<&Path>, expected: f64) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    ocelli.sql(&format!("SET ocelli.backend = '{backend}'")).await?;
    if let Some(model) = model {
        ocelli.sql(&format!("CREATE MODEL m STORED AS ONNX LOCATION '{}'", model.display())).await?;
        ocelli.sql("SET ocelli.model = 'm'").await?;
    }
    let query = format!(
        "SELECT avg(CASE WHEN classify(image) = label THEN 1.0 ELSE 0.0 END), count(*) FROM '{}'",
        file.display()
    );
    let batches = ocelli.sql(&query).await?.collect().await?;
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().value(0), 10_000);
    let top_1 = cast(batches[0].column(0), &DataType::Float64)?.as_primitive::<Float64Type>().value(0);
    assert!((top_1 - expected).abs() <= 0.002, "top-1 is {top_1}, expected {expected}");
    Ok(())
}
