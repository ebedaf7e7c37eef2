//! `ocelli doctor`: the backends of this machine, and whether their results agree.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type};
use datafusion::error::Result;
use ocelli::{Ocelli, gpu_adapters, onnx_runtime_library, user_message};

/// Runs the built-in model on synthetic images.
const CHECK: &str = "SELECT predict('resnet20-cifar10', image) AS scores FROM __doctor";
const NUM_IMAGES: usize = 64;
const CLASSES: usize = 10;
/// Elements per image: 3 x 32 x 32.
const IMAGE_ELEMENTS: usize = 3072;

/// A backend under test.
struct BackendCheck {
    name: &'static str,
    settings: [&'static str; 3],
    /// The largest allowed difference of scores, which reach about 20, from those of rten: floats are summed in another order, or in 16
    /// bits.
    tolerance: f32,
}

const BACKEND_CHECKS: [BackendCheck; 4] = [
    BackendCheck { name: "rten", settings: ["rten", "auto", "auto"], tolerance: 0.0 },
    BackendCheck { name: "ort", settings: ["ort", "auto", "auto"], tolerance: 1e-3 },
    BackendCheck { name: "gpu", settings: ["gpu", "auto", "f32"], tolerance: 1e-3 },
    BackendCheck { name: "gpu, f16", settings: ["gpu", "auto", "f16"], tolerance: 0.2 },
];

/// The report, and whether every available backend works.
pub(crate) async fn run_health_check(ocelli: &Ocelli) -> Result<(String, bool)> {
    let mut lines = String::new();
    let mut line = |what: &str, value: &str| lines.push_str(&format!("{what:<24}{value}\n"));
    line("ocelli", env!("CARGO_PKG_VERSION"));
    line("cores", &available_parallelism().map_or_else(|error| error.to_string(), |cores| cores.to_string()));
    match gpu_adapters() {
        Ok(gpus) => gpus.iter().enumerate().for_each(|(index, gpu)| line(if index == 0 { "GPU" } else { "" }, gpu)),
        Err(reason) => line("GPU", &reason),
    }
    let ort = onnx_runtime_library();
    line("backend ort", ort.as_deref().unwrap_or_else(String::as_str));
    line("backend rten", "built in");
    // The settings of the session are restored below.
    let previous = settings(ocelli).await?;
    set(ocelli, ["auto", "auto", "auto"]).await?;
    let selected = selected_backend(ocelli).await?;
    line("device auto", &format!("{selected}; SET ocelli.device and ocelli.backend override it"));
    let mut is_healthy = true;
    let mut reference: Option<Vec<f32>> = None;
    ocelli.context().register_batch("__doctor", synthetic_images()?)?;
    let mut has_gpu = true;
    for backend_check in BACKEND_CHECKS.iter().filter(|backend_check| backend_check.name != "ort" || ort.is_ok()) {
        let is_gpu = backend_check.settings[0] == "gpu";
        if is_gpu && !has_gpu {
            break;
        }
        let what = format!("check of {}", backend_check.name);
        let (scores, took) = match check(ocelli, backend_check).await {
            Ok(checked) => checked,
            Err(error) => {
                line(&what, &user_message(&error));
                // A GPU is optional, unless it is the selected backend.
                is_healthy &= is_gpu && !selected.starts_with("gpu");
                has_gpu &= !is_gpu;
                continue;
            }
        };
        let Some(reference) = &reference else {
            line(&what, &format!("classified {NUM_IMAGES} images in {took:.2?}"));
            reference = Some(scores);
            continue;
        };
        let pairs = scores.chunks(CLASSES).zip(reference.chunks(CLASSES));
        let same = pairs.filter(|(ours, theirs)| argmax(ours) == argmax(theirs)).count();
        let differences = scores.iter().zip(reference).map(|(a, b)| (a - b).abs());
        // NaN counts as infinitely far off.
        let difference =
            differences.fold(0.0, |most: f32, one| if one.is_nan() { f32::INFINITY } else { most.max(one) });
        let agrees =
            format!("{same} of {NUM_IMAGES} labels equal those of rten, scores differ by at most {difference:.0e}");
        line(&what, &format!("{agrees}, {took:.2?}"));
        if difference > backend_check.tolerance
            || scores.len() != reference.len()
            || (same < NUM_IMAGES && backend_check.tolerance < 0.1)
        {
            is_healthy = false;
            line("", "the difference exceeds the tolerance; please report this output");
        }
    }
    ocelli.context().deregister_table("__doctor")?;
    set(ocelli, previous.each_ref().map(String::as_str)).await?;
    Ok((lines, is_healthy))
}

/// The scores of all images, and the duration of the second run: the first one loads the model.
async fn check(ocelli: &Ocelli, backend_check: &BackendCheck) -> Result<(Vec<f32>, Duration)> {
    set(ocelli, backend_check.settings).await?;
    ocelli.sql(CHECK).await?.collect().await?;
    let begin = Instant::now();
    let rows = ocelli.sql(CHECK).await?.collect().await?;
    let took = begin.elapsed();
    let scores = rows
        .iter()
        .flat_map(|rows| rows.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec());
    Ok((scores.collect(), took))
}

fn argmax(scores: &[f32]) -> Option<usize> {
    scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)
}

/// Sine waves of different frequencies per image and channel.
fn synthetic_images() -> Result<RecordBatch> {
    let wave = |i: usize| {
        let (image, offset) = (i / IMAGE_ELEMENTS, i % IMAGE_ELEMENTS);
        let (channel, y, x) = (offset / 1024, offset / 32 % 32, offset % 32);
        ((x * (image % 8 + 1) + y * (image / 8 + channel)) as f32 / 9.0).sin() * 2.0
    };
    let values: ArrayRef = Arc::new(Float32Array::from_iter_values((0..NUM_IMAGES * IMAGE_ELEMENTS).map(wave)));
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let images: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, IMAGE_ELEMENTS as i32, values, None)?);
    Ok(RecordBatch::try_from_iter([("image", images)])?)
}

/// The options that select a backend.
const SETTINGS: [&str; 3] = ["backend", "device", "precision"];

async fn set(ocelli: &Ocelli, values: [&str; 3]) -> Result<()> {
    for (name, value) in SETTINGS.iter().zip(values) {
        ocelli.sql(&format!("SET ocelli.{name} = '{value}'")).await?;
    }
    Ok(())
}

async fn settings(ocelli: &Ocelli) -> Result<[String; 3]> {
    let mut values: [String; 3] = Default::default();
    for (name, value) in SETTINGS.iter().zip(&mut values) {
        *value = text(ocelli, &format!("SHOW ocelli.{name}"), 1).await?;
    }
    Ok(values)
}

/// The backend and device of the built-in model under the default options.
async fn selected_backend(ocelli: &Ocelli) -> Result<String> {
    let query = "SELECT concat(backend, ' on ', device) FROM system.models WHERE location = 'built in'";
    text(ocelli, query, 0).await
}

/// The first value of a string column.
async fn text(ocelli: &Ocelli, query: &str, column: usize) -> Result<String> {
    let rows = ocelli.sql(query).await?.collect().await?;
    let rows = rows.iter().find(|rows| rows.num_rows() > 0);
    Ok(rows.map_or_else(String::new, |rows| {
        datafusion::arrow::util::display::array_value_to_string(rows.column(column), 0).unwrap_or_default()
    }))
}
