//! Models on the GPU, through SQL: the same labels as on the CPU, and what is said where there is none.

use std::error::Error;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Float32Type;
use datafusion::arrow::util::display::array_value_to_string;
use futures::StreamExt;
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::requirement::require;
use crate::trial;

const PHOTOS: &str = "'examples/data/photos.parquet'";

pub(super) fn trials() -> Vec<Trial> {
    type Test = fn() -> Result<(), Box<dyn Error>>;
    let tests: [(&str, Test); 7] = [
        ("gpu::sql::labels_are_those_of_the_cpu", labels_are_those_of_the_cpu),
        ("gpu::sql::two_sessions_at_once", two_sessions_at_once),
        ("gpu::sql::a_plan_names_the_adapter", a_plan_names_the_adapter),
        ("gpu::sql::a_software_adapter_is_used_only_by_name", a_software_adapter_is_used_only_by_name),
        ("gpu::sql::what_does_not_run_is_named", what_does_not_run_is_named),
        ("gpu::sql::a_memory_limit_holds", a_memory_limit_holds),
        ("gpu::sql::a_dropped_query_stops", a_dropped_query_stops),
    ];
    let mut trials: Vec<Trial> =
        tests.into_iter().map(|(name, test)| require("gpu", super::missing(), trial(name, test))).collect();
    let data = std::env::var("OCELLI_TEST_DATA").unwrap_or_default();
    let no_data = data.is_empty().then(|| "OCELLI_TEST_DATA is not set".to_owned());
    let real = trial("gpu::sql::labels_of_cifar10", move || labels_of_cifar10(&data));
    trials.push(require("gpu", super::missing(), require("data", no_data, real)));
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
    let (cpu, gpu, half) = (on(CPU).await?, on(GPU).await?, on(HALF).await?);
    for infer_batch_rows in ["1", "3", "64"] {
        gpu.sql(&format!("SET ocelli.infer_batch_rows = {infer_batch_rows}")).await?;
        let query = format!("SELECT uri, classify(image), round(classify_topk(image)[1]['score'], 4) FROM {PHOTOS}");
        assert_eq!(rows(&gpu, &query).await?, rows(&cpu, &query).await?);
    }
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS} ORDER BY uri");
    assert_eq!(rows(&half, &query).await?, rows(&cpu, &query).await?);
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
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4 && ours.len() == theirs.len(), "{worst}");
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
    if !super::device()?.adapter().is_software {
        return Ok(());
    }
    // Also where the variable names one: 'auto' is for real ones.
    let auto = on(&[]).await?;
    let backend = rows(&auto, "SELECT device FROM system.models").await?;
    assert_eq!(backend, ["cpu"]);
    let description = rows(&auto, "DESCRIBE MODEL \"resnet20-cifar10\"").await?.join("\n");
    assert!(description.contains("; not on a GPU: "), "{description}");
    Ok(())
}

#[tokio::main]
async fn what_does_not_run_is_named() -> Result<(), Box<dyn Error>> {
    let create = "CREATE MODEL m STORED AS ONNX LOCATION 'tests/data/models/unknown.onnx'";
    let error = on(GPU).await?.sql(create).await.expect_err("nobody has it").to_string();
    let expected = "backend gpu cannot load it: operator example.com.Sparkle ('logits'): the GPU does not run it; \
                    OPTIONS ('device' 'cpu') runs it on the CPU";
    assert!(error.contains(expected), "{error}");
    Ok(())
}

#[tokio::main]
async fn a_memory_limit_holds() -> Result<(), Box<dyn Error>> {
    // Two pictures of 12 KiB for the model, and a decoded one.
    let small = Ocelli::builder().threads(2).memory_limit(1 << 20).build()?;
    small.sql("SET ocelli.device = 'gpu'").await?;
    let query = format!("SELECT uri, classify(image) FROM {PHOTOS}");
    assert_eq!(rows(&small, &query).await?, rows(&on(CPU).await?, &query).await?);
    Ok(())
}

#[tokio::main]
async fn a_dropped_query_stops() -> Result<(), Box<dyn Error>> {
    let gpu = on(GPU).await?;
    gpu.sql("SET ocelli.infer_batch_rows = 1").await?;
    let query = format!("SELECT classify(image) FROM {PHOTOS}");
    let mut stream = gpu.sql(&query).await?.execute_stream().await?;
    assert!(stream.next().await.is_some_and(|batch| batch.is_ok()));
    drop(stream);
    // The next one has the device, and all of its rows.
    let first = rows(&gpu, &query).await?.len();
    assert_eq!(first, rows(&on(CPU).await?, &query).await?.len());
    Ok(())
}
