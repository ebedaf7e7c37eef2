//! Models on the GPU, through SQL: the same labels as on the CPU, and what is said where there is none.

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
    // What each needs: any GPU, one with 16-bit floats, or one that computes on the CPU.
    let (any, half, software) = (missing(), missing_half(), missing_software());
    let tests: [(&str, Test, &str, &Option<String>); 10] = [
        ("labels_are_those_of_the_cpu", labels_are_those_of_the_cpu, "gpu", &any),
        ("labels_in_16_bits", labels_in_16_bits, "gpu", &half),
        ("two_sessions_at_once", two_sessions_at_once, "gpu", &half),
        ("a_plan_names_the_adapter", a_plan_names_the_adapter, "gpu", &half),
        ("a_software_adapter_is_used_only_by_name", a_software_adapter_is_used_only_by_name, "software", &software),
        ("what_does_not_run_is_named", what_does_not_run_is_named, "gpu", &any),
        ("whole_numbers_are_refused", whole_numbers_are_refused, "gpu", &any),
        ("a_memory_limit_holds", a_memory_limit_holds, "gpu", &any),
        ("a_dropped_query_gives_its_memory_back", a_dropped_query_gives_its_memory_back, "gpu", &any),
        ("a_lost_device_is_opened_again", a_lost_device_is_opened_again, "gpu", &any),
    ];
    let mut trials = Vec::new();
    for (name, test, needs, missing) in tests {
        trials.push(require(needs, missing.clone(), trial(format!("gpu::sql::{name}"), test)));
    }
    let data = std::env::var("OCELLI_TEST_DATA").unwrap_or_default();
    let no_data = data.is_empty().then(|| "OCELLI_TEST_DATA is not set".to_owned());
    let real = trial("gpu::sql::labels_of_cifar10", move || labels_of_cifar10(&data));
    trials.push(require("gpu", half, require("data", no_data, real)));
    trials
}

/// The cells of a query's rows, a line a row.
async fn rows(ocelli: &Ocelli, query: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let batches = ocelli.sql(query).await?.collect().await?;
    let line = |batch: &RecordBatch, row: usize| {
        let cells = batch.columns().iter().map(|column| array_value_to_string(column, row));
        Ok(cells.collect::<Result<Vec<_>, _>>()?.join(" "))
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| line(batch, row))).collect()
}

async fn on(settings: &[&str]) -> Result<Ocelli, Box<dyn Error>> {
    let ocelli = Ocelli::builder().threads(2).build()?;
    for setting in settings {
        ocelli.sql(&format!("SET ocelli.{setting}")).await?;
    }
    Ok(ocelli)
}

const GPU: &[&str] = &["device = 'gpu'"];
const HALF: &[&str] = &["device = 'gpu'", "precision = 'f16'"];
const CPU: &[&str] = &["backend = 'rten'"];

#[tokio::main]
async fn labels_are_those_of_the_cpu() -> Result<(), Box<dyn Error>> {
    let (cpu, gpu) = (on(CPU).await?, on(GPU).await?);
    for infer_batch_rows in ["1", "3", "64"] {
        gpu.sql(&format!("SET ocelli.infer_batch_rows = {infer_batch_rows}")).await?;
        let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
        assert_eq!(rows(&gpu, &query).await?, rows(&cpu, &query).await?);
    }
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    // Where it stands, without an operator, and both results of one pass.
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
    let worst = super::farthest(&ours, &theirs);
    assert!(worst < 1e-4 && ours.len() == theirs.len(), "{worst}");
    Ok(())
}

#[tokio::main]
async fn labels_in_16_bits() -> Result<(), Box<dyn Error>> {
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    assert_eq!(rows(&on(HALF).await?, &query).await?, rows(&on(CPU).await?, &query).await?);
    Ok(())
}

#[tokio::main]
async fn labels_of_cifar10(data: &str) -> Result<(), Box<dyn Error>> {
    let file = format!("'{data}/cifar10_test.parquet'");
    let query = format!(
        "SELECT uri, classify(image) FROM {file} WHERE uri IN (SELECT uri FROM {file} ORDER BY uri LIMIT 200) ORDER BY uri"
    );
    let expected = rows(&on(CPU).await?, &query).await?;
    assert_eq!(rows(&on(GPU).await?, &query).await?, expected);
    let half = rows(&on(HALF).await?, &query).await?;
    let same = half.iter().zip(&expected).filter(|(ours, theirs)| ours == theirs).count();
    // Two classes that are nearly even may change places.
    assert!(same >= 199, "{same} of 200");
    Ok(())
}

#[tokio::main]
async fn two_sessions_at_once() -> Result<(), Box<dyn Error>> {
    let (first, second, cpu) = (on(GPU).await?, on(HALF).await?, on(CPU).await?);
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
    let plan = rows(&on(HALF).await?, &query).await?.join("\n");
    assert!(plan.contains(&format!("backend=gpu ({name}, ")) && plan.contains(", f16), image=image"), "{plan}");
    let gpu = on(GPU).await?;
    gpu.sql("CREATE MODEL half STORED AS ONNX LOCATION 'tests/data/models/half.onnx'").await?;
    let description = rows(&gpu, "DESCRIBE MODEL half").await?.join("\n");
    assert!(
        description.contains(&format!("\nbackend gpu\nbackend is chosen because it was asked for: {name}, ")),
        "{description}"
    );
    assert!(description.contains("; it computes in f16\n"), "its weights have 16 bits: {description}");
    assert!(description.contains(&format!("\ndevice {name}\n")), "{description}");
    let device = rows(&gpu, "SELECT device, backend FROM system.models WHERE name = 'half'").await?;
    assert_eq!(device, [format!("{name} gpu")]);
    Ok(())
}

#[tokio::main]
async fn a_software_adapter_is_used_only_by_name() -> Result<(), Box<dyn Error>> {
    // Also where the variable names one: 'auto' is for real ones.
    let auto = on(&[]).await?;
    let backend = rows(&auto, "SELECT device FROM system.models").await?;
    assert_eq!(backend, ["cpu"]);
    let description = rows(&auto, "DESCRIBE MODEL \"resnet20-cifar10\"").await?.join("\n");
    assert!(description.contains("; not on a GPU: "), "{description}");
    // A name is enough.
    let name = super::device()?.adapter().name.clone();
    let create =
        format!("CREATE MODEL m STORED AS ONNX LOCATION 'tests/data/models/resnet.onnx' OPTIONS ('adapter' '{name}')");
    auto.sql(&create).await?;
    assert_eq!(rows(&auto, "SELECT device FROM system.models WHERE name = 'm'").await?, [name]);
    Ok(())
}

#[tokio::main]
async fn what_does_not_run_is_named() -> Result<(), Box<dyn Error>> {
    let create = "CREATE MODEL m STORED AS ONNX LOCATION 'tests/data/models/unknown.onnx'";
    let error = on(GPU).await?.sql(create).await.expect_err("nobody has it").to_string();
    let expected = "backend gpu cannot load it: operator example.com.Sparkle ('logits'): the GPU does not run it; the CPU runs it where \
                    neither device nor backend is 'gpu'";
    assert!(error.contains(expected), "{error}");
    Ok(())
}

#[tokio::main]
async fn whole_numbers_are_refused() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("whole.onnx");
    std::fs::write(&file, super::onnx::of_whole_numbers())?;
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{}'", file.display());
    let error = on(GPU).await?.sql(&create).await.expect_err("they are no floats").to_string();
    assert!(
        error.contains("backend gpu cannot load it: its input is x int64 [2], and the GPU computes with floats"),
        "{error}"
    );
    on(CPU).await?.sql(&create).await?;
    Ok(())
}

#[tokio::main]
async fn a_memory_limit_holds() -> Result<(), Box<dyn Error>> {
    const LIMIT: usize = 1 << 20;
    let small = Ocelli::builder().threads(2).memory_limit(LIMIT).build()?;
    small.sql("SET ocelli.device = 'gpu'").await?;
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
    assert_eq!(rows(&small, &query).await?, rows(&on(CPU).await?, &query).await?);
    assert_eq!(small.context().runtime_env().memory_pool.reserved(), 0);
    Ok(())
}

#[tokio::main]
async fn a_dropped_query_gives_its_memory_back() -> Result<(), Box<dyn Error>> {
    let gpu = Ocelli::builder().threads(2).memory_limit(64 << 20).build()?;
    gpu.sql("SET ocelli.device = 'gpu'").await?;
    gpu.sql("SET ocelli.infer_batch_rows = 1").await?;
    let query = format!("SELECT classify(image) FROM {PHOTOS}");
    let mut stream = gpu.sql(&query).await?.execute_stream().await?;
    assert!(stream.next().await.is_some_and(|batch| batch.is_ok()));
    drop(stream);
    // The next one has the device; what the first one left in its queue has gone before.
    assert_eq!(rows(&gpu, &query).await?.len(), 12);
    assert_eq!(gpu.context().runtime_env().memory_pool.reserved(), 0);
    Ok(())
}

#[tokio::main]
async fn a_lost_device_is_opened_again() -> Result<(), Box<dyn Error>> {
    // By itself: the other tests keep theirs.
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe()?;
        let name = "gpu::sql::a_lost_device_is_opened_again";
        let output = std::process::Command::new(program)
            .args(["--exact", name])
            .env(ALONE, "1")
            .current_dir("tests")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return Ok(());
    }
    let gpu = on(GPU).await?;
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
    let before = rows(&gpu, &query).await?;
    super::device()?.destroy();
    // The query that finds it so may fail, with one sentence; the next one has a new device.
    if let Err(error) = rows(&gpu, &query).await {
        assert!(error.to_string().contains("the GPU was lost: it was destroyed"), "{error}");
    }
    assert_eq!(rows(&gpu, &query).await?, before);
    Ok(())
}

/// Set in a process that may lose its device.
const ALONE: &str = "OCELLI_TEST_ALONE";
