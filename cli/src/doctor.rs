//! `ocelli doctor`: what models run on here, and whether it gives what it should.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type};
use datafusion::error::Result;
use ocelli::{Ocelli, explain, gpus, onnx_runtime};

/// The bundled model on some pictures.
const CHECK: &str = "SELECT predict('resnet20-cifar10', picture) AS scores FROM __doctor";
const PICTURES: usize = 64;
const CLASSES: usize = 10;
/// Of 3 x 32 x 32.
const PICTURE: usize = 3072;

/// A way to run it.
struct Way {
    name: &'static str,
    settings: [&'static str; 3],
    /// How far scores, which go up to 20 or so, may be from those of rten: sums in another order, or of 16 bits.
    tolerance: f32,
}

const WAYS: [Way; 4] = [
    Way { name: "rten", settings: ["rten", "auto", "auto"], tolerance: 0.0 },
    Way { name: "ort", settings: ["ort", "auto", "auto"], tolerance: 1e-3 },
    Way { name: "gpu", settings: ["gpu", "auto", "f32"], tolerance: 1e-3 },
    Way { name: "gpu, f16", settings: ["gpu", "auto", "f16"], tolerance: 0.2 },
];

/// A line for each thing, and whether all is well.
pub(crate) async fn examine(ocelli: &Ocelli) -> Result<(String, bool)> {
    let mut lines = String::new();
    let mut line = |what: &str, value: &str| lines.push_str(&format!("{what:<24}{value}\n"));
    line("ocelli", env!("CARGO_PKG_VERSION"));
    line("cores", &available_parallelism().map_or_else(|error| error.to_string(), |cores| cores.to_string()));
    match gpus() {
        Ok(gpus) => gpus.iter().enumerate().for_each(|(number, gpu)| line(if number == 0 { "GPU" } else { "" }, gpu)),
        Err(reason) => line("GPU", &reason),
    }
    let ort = onnx_runtime();
    line("backend ort", ort.as_deref().unwrap_or_else(String::as_str));
    line("backend rten", "is compiled in");
    // What was asked for before is put back.
    let before = settings(ocelli).await?;
    set(ocelli, ["auto", "auto", "auto"]).await?;
    let chosen = chosen(ocelli).await?;
    line("device auto", &format!("is {chosen}; SET ocelli.device and ocelli.backend change it"));
    let mut is_well = true;
    let mut reference: Option<Vec<f32>> = None;
    ocelli.context().register_batch("__doctor", pictures()?)?;
    let mut has_gpu = true;
    for way in WAYS.iter().filter(|way| way.name != "ort" || ort.is_ok()) {
        let is_gpu = way.settings[0] == "gpu";
        if is_gpu && !has_gpu {
            break;
        }
        let what = format!("check of {}", way.name);
        let (scores, took) = match check(ocelli, way).await {
            Ok(checked) => checked,
            Err(error) => {
                line(&what, &explain(&error));
                // There need not be a GPU, unless it is the one that models run on.
                is_well &= is_gpu && !chosen.starts_with("gpu");
                has_gpu &= !is_gpu;
                continue;
            }
        };
        let Some(reference) = &reference else {
            line(&what, &format!("labels {PICTURES} pictures in {took:.2?}"));
            reference = Some(scores);
            continue;
        };
        let pairs = scores.chunks(CLASSES).zip(reference.chunks(CLASSES));
        let same = pairs.filter(|(ours, theirs)| best(ours) == best(theirs)).count();
        let differences = scores.iter().zip(reference).map(|(a, b)| (a - b).abs());
        // What is no number is far off.
        let difference =
            differences.fold(0.0, |most: f32, one| if one.is_nan() { f32::INFINITY } else { most.max(one) });
        let agrees =
            format!("labels {same} of {PICTURES} pictures as rten does, scores differ by {difference:.0e} at most");
        line(&what, &format!("{agrees}, {took:.2?}"));
        if difference > way.tolerance || scores.len() != reference.len() || (same < PICTURES && way.tolerance < 0.1) {
            is_well = false;
            line("", "that is too much: please report it with these lines");
        }
    }
    ocelli.context().deregister_table("__doctor")?;
    set(ocelli, before.each_ref().map(String::as_str)).await?;
    Ok((lines, is_well))
}

/// The scores of all pictures, and how long the second run took: the first one loads the model.
async fn check(ocelli: &Ocelli, way: &Way) -> Result<(Vec<f32>, Duration)> {
    set(ocelli, way.settings).await?;
    ocelli.sql(CHECK).await?.collect().await?;
    let begin = Instant::now();
    let rows = ocelli.sql(CHECK).await?.collect().await?;
    let took = begin.elapsed();
    let scores = rows
        .iter()
        .flat_map(|rows| rows.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec());
    Ok((scores.collect(), took))
}

fn best(scores: &[f32]) -> Option<usize> {
    scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)
}

/// Waves of different lengths and colours, no two alike.
fn pictures() -> Result<RecordBatch> {
    let wave = |i: usize| {
        let (picture, place) = (i / PICTURE, i % PICTURE);
        let (colour, y, x) = (place / 1024, place / 32 % 32, place % 32);
        ((x * (picture % 8 + 1) + y * (picture / 8 + colour)) as f32 / 9.0).sin() * 2.0
    };
    let values: ArrayRef = Arc::new(Float32Array::from_iter_values((0..PICTURES * PICTURE).map(wave)));
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let pictures: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, PICTURE as i32, values, None)?);
    Ok(RecordBatch::try_from_iter([("picture", pictures)])?)
}

/// The settings that decide where models run.
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

/// Where the bundled model runs when nothing is said.
async fn chosen(ocelli: &Ocelli) -> Result<String> {
    let query = "SELECT concat(backend, ' on ', device) FROM system.models WHERE location = 'compiled in'";
    text(ocelli, query, 0).await
}

/// The first value of a column of text.
async fn text(ocelli: &Ocelli, query: &str, column: usize) -> Result<String> {
    let rows = ocelli.sql(query).await?.collect().await?;
    let rows = rows.iter().find(|rows| rows.num_rows() > 0);
    Ok(rows.map_or_else(String::new, |rows| {
        datafusion::arrow::util::display::array_value_to_string(rows.column(column), 0).unwrap_or_default()
    }))
}
