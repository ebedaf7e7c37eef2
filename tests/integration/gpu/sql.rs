//! Models on the GPU through SQL: the same labels as on the CPU, and the messages if no GPU can run them.

use std::error::Error;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Float32Type;
use datafusion::arrow::util::display::array_value_to_string;
use futures::StreamExt;
use libtest_mimic::Trial;
use ocelli::Ocelli;

use super::{missing, missing_half, missing_software};
use crate::requirement::require;
use crate::trial;

const PHOTOS: &str = "'examples/data/photos.parquet'";

pub(super) fn trials() -> Vec<Trial> {
    type Test = fn() -> Result<(), Box<dyn Error>>;
    // Requirements: any GPU, one with 16-bit floats, or a software adapter.
    let (any, half, software) = (missing(), missing_half(), missing_software());
    let tests: [(&str, Test, &str, &Option<String>); 10] = [
        ("labels_match_the_cpu", labels_match_the_cpu, "gpu", &any),
        ("labels_in_16_bits", labels_in_16_bits, "gpu", &half),
        ("two_sessions_at_once", two_sessions_at_once, "gpu", &half),
        ("a_plan_names_the_adapter", a_plan_names_the_adapter, "gpu", &half),
        ("a_software_adapter_is_used_only_if_named", a_software_adapter_is_used_only_if_named, "software", &software),
        ("unsupported_operators_are_named", unsupported_operators_are_named, "gpu", &any),
        ("integer_inputs_are_rejected", integer_inputs_are_rejected, "gpu", &any),
        ("a_memory_limit_holds", a_memory_limit_holds, "gpu", &any),
        ("a_dropped_query_releases_its_memory", a_dropped_query_releases_its_memory, "gpu", &any),
        ("a_lost_device_is_reopened", a_lost_device_is_reopened, "gpu", &any),
    ];
    let mut trials = Vec::new();
    for (name, test, needs, missing) in tests {
        trials.push(require(needs, missing.clone(), trial(format!("gpu::sql::{name}"), test)));
    }
    let data = std::env::var("OCELLI_TEST_DATA").unwrap_or_default();
    let no_data = data.is_empty().then(|| "OCELLI_TEST_DATA is not set".to_owned());
    let cifar10 = trial("gpu::sql::labels_of_cifar10", move || labels_of_cifar10(&data));
    trials.push(require("gpu", half, require("data", no_data, cifar10)));
    trials
}

/// The rows of a query, each as its cells joined by spaces.
async fn rows(ocelli: &Ocelli, query: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let batches = ocelli.sql(query).await?.collect().await?;
    let line = |batch: &RecordBatch, row: usize| {
        let cells = batch.columns().iter().map(|column| array_value_to_string(column, row));
        Ok(cells.collect::<Result<Vec<_>, _>>()?.join(" "))
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| line(batch, row))).collect()
}

async fn session(settings: &[&str]) -> Result<Ocelli, Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    for setting in settings {
        ocelli.sql(&format!("SET ocelli.{setting}")).await?;
    }
    Ok(ocelli)
}

const GPU: &[&str] = &["device = 'gpu'"];
const HALF: &[&str] = &["device = 'gpu'", "precision = 'f16'"];
const CPU: &[&str] = &["backend = 'rten'"];

#[tokio::main]
async fn labels_match_the_cpu() -> Result<(), Box<dyn Error>> {
    let (cpu, gpu) = (session(CPU).await?, session(GPU).await?);
    for infer_batch_rows in ["1", "3", "64"] {
        gpu.sql(&format!("SET ocelli.infer_batch_rows = {infer_batch_rows}")).await?;
        let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
        assert_eq!(rows(&gpu, &query).await?, rows(&cpu, &query).await?);
    }
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    // Without InferExec, as a scalar function; then two outputs of one run.
    gpu.sql("SET ocelli.lift_infer = false").await?;
    assert_eq!(rows(&gpu, &query).await?, rows(&cpu, &query).await?);
    gpu.sql("SET ocelli.lift_infer = true").await?;
    let query = format!("SELECT embed(image) AS e, classify(image) FROM {PHOTOS}");
    let embeddings = async |ocelli: &Ocelli| {
        let batches = ocelli.sql(&query).await?.collect().await?;
        let values = batches.iter().flat_map(|batch| {
            batch.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec()
        });
        Ok::<Vec<f32>, Box<dyn Error>>(values.collect())
    };
    let (ours, theirs) = (embeddings(&gpu).await?, embeddings(&cpu).await?);
    let worst = super::max_difference(&ours, &theirs);
    assert!(worst < 1e-4 && ours.len() == theirs.len(), "{worst}");
    Ok(())
}

#[tokio::main]
async fn labels_in_16_bits() -> Result<(), Box<dyn Error>> {
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    assert_eq!(rows(&session(HALF).await?, &query).await?, rows(&session(CPU).await?, &query).await?);
    Ok(())
}

#[tokio::main]
async fn labels_of_cifar10(data: &str) -> Result<(), Box<dyn Error>> {
    let file = format!("'{data}/cifar10_test.parquet'");
    let query = format!(
        "SELECT uri, classify(image) FROM {file} WHERE uri IN (SELECT uri FROM {file} ORDER BY uri LIMIT 200) ORDER BY uri"
    );
    let expected = rows(&session(CPU).await?, &query).await?;
    assert_eq!(rows(&session(GPU).await?, &query).await?, expected);
    let half = rows(&session(HALF).await?, &query).await?;
    let same = half.iter().zip(&expected).filter(|(ours, theirs)| ours == theirs).count();
    // f16 may flip labels whose scores are nearly tied.
    assert!(same >= 199, "{same} of 200");
    Ok(())
}

#[tokio::main]
async fn two_sessions_at_once() -> Result<(), Box<dyn Error>> {
    let (first, second, cpu) = (session(GPU).await?, session(HALF).await?, session(CPU).await?);
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    let (first, second) = tokio::join!(rows(&first, &query), rows(&second, &query));
    let expected = rows(&cpu, &query).await?;
    assert_eq!((first?, second?), (expected.clone(), expected));
    Ok(())
}

#[tokio::main]
async fn a_plan_names_the_adapter() -> Result<(), Box<dyn Error>> {
    let name = super::device()?.adapter().name.clone();
    let query = format!("EXPLAIN SELECT classify(image) FROM {PHOTOS}");
    let plan = rows(&session(HALF).await?, &query).await?.join("\n");
    assert!(plan.contains(&format!("backend=gpu ({name}, ")) && plan.contains(", f16), image=image"), "{plan}");
    let gpu = session(GPU).await?;
    gpu.sql("CREATE MODEL half STORED AS ONNX LOCATION 'tests/data/models/half.onnx'").await?;
    let description = rows(&gpu, "DESCRIBE MODEL half").await?.join("\n");
    assert!(description.contains(&format!("\nbackend gpu\nbackend_reason requested: {name}, ")), "{description}");
    assert!(description.contains("; precision f16\n"), "its weights have 16 bits: {description}");
    assert!(description.contains(&format!("\ndevice {name}\n")), "{description}");
    let device = rows(&gpu, "SELECT device, backend FROM system.models WHERE name = 'half'").await?;
    assert_eq!(device, [format!("{name} gpu")]);
    Ok(())
}

#[tokio::main]
async fn a_software_adapter_is_used_only_if_named() -> Result<(), Box<dyn Error>> {
    // 'auto' takes hardware GPUs only, even if the environment variable names a software adapter.
    let auto = session(&[]).await?;
    let backend = rows(&auto, "SELECT device FROM system.models").await?;
    assert_eq!(backend, ["cpu"]);
    let description = rows(&auto, "DESCRIBE MODEL \"resnet20-cifar10\"").await?.join("\n");
    assert!(description.contains("; not on a GPU: "), "{description}");
    // The option 'adapter' selects it.
    let name = super::device()?.adapter().name.clone();
    let create =
        format!("CREATE MODEL m STORED AS ONNX LOCATION 'tests/data/models/resnet.onnx' OPTIONS ('adapter' '{name}')");
    auto.sql(&create).await?;
    assert_eq!(rows(&auto, "SELECT device FROM system.models WHERE name = 'm'").await?, [name]);
    Ok(())
}

#[tokio::main]
async fn unsupported_operators_are_named() -> Result<(), Box<dyn Error>> {
    let create = "CREATE MODEL m STORED AS ONNX LOCATION 'tests/data/models/unknown.onnx'";
    let error = session(GPU).await?.sql(create).await.expect_err("it is not supported").to_string();
    let expected = "backend gpu cannot load it: operator example.com.Sparkle ('logits'): the GPU backend does not support it; to run it on the \
                    CPU, set neither device nor backend to 'gpu'";
    assert!(error.contains(expected), "{error}");
    Ok(())
}

#[tokio::main]
async fn integer_inputs_are_rejected() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("integers.onnx");
    std::fs::write(&file, super::onnx::int64_division())?;
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{}'", file.display());
    let error = session(GPU).await?.sql(&create).await.expect_err("its input is int64").to_string();
    assert!(
        error.contains(
            "backend gpu cannot load it: its input is x int64 [2], and the GPU backend computes with floats only"
        ),
        "{error}"
    );
    session(CPU).await?.sql(&create).await?;
    Ok(())
}

#[tokio::main]
async fn a_memory_limit_holds() -> Result<(), Box<dyn Error>> {
    const LIMIT: usize = 1 << 20;
    let small = Ocelli::builder().with_threads(2).with_memory_limit(LIMIT).build()?;
    small.sql("SET ocelli.device = 'gpu'").await?;
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
    assert_eq!(rows(&small, &query).await?, rows(&session(CPU).await?, &query).await?);
    assert_eq!(small.context().runtime_env().memory_pool.reserved(), 0);
    Ok(())
}

#[tokio::main]
async fn a_dropped_query_releases_its_memory() -> Result<(), Box<dyn Error>> {
    let gpu = Ocelli::builder().with_threads(2).with_memory_limit(64 << 20).build()?;
    gpu.sql("SET ocelli.device = 'gpu'").await?;
    gpu.sql("SET ocelli.infer_batch_rows = 1").await?;
    let query = format!("SELECT classify(image) FROM {PHOTOS}");
    let mut stream = gpu.sql(&query).await?.execute_stream().await?;
    assert!(stream.next().await.is_some_and(|batch| batch.is_ok()));
    drop(stream);
    // This query completes after the remaining requests of the dropped one.
    assert_eq!(rows(&gpu, &query).await?.len(), 12);
    assert_eq!(gpu.context().runtime_env().memory_pool.reserved(), 0);
    Ok(())
}

#[tokio::main]
async fn a_lost_device_is_reopened() -> Result<(), Box<dyn Error>> {
    // In a separate process, because other tests share the device.
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe()?;
        let name = "gpu::sql::a_lost_device_is_reopened";
        let output = std::process::Command::new(program)
            .args(["--exact", name])
            .env(ALONE, "1")
            .current_dir("tests")
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return Ok(());
    }
    let gpu = session(GPU).await?;
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
    let before = rows(&gpu, &query).await?;
    super::device()?.destroy();
    // The query that detects the loss may fail; the next one opens a new device.
    if let Err(error) = rows(&gpu, &query).await {
        assert!(error.to_string().contains("the GPU device was lost: it was destroyed"), "{error}");
    }
    assert_eq!(rows(&gpu, &query).await?, before);
    Ok(())
}

/// Set in the process that destroys its device.
const ALONE: &str = "OCELLI_TEST_ALONE";
