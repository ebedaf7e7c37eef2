//! One suite for all backends: every graph of `tests/data/models` gives what ONNX Runtime in Python gave.
//!
//! On a GPU it runs twice, in 32 bits and in 16; `OCELLI_GPU_ADAPTER` picks an adapter by its name, e.g. `llvmpipe`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch, UInt8Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::requirement::require;
use crate::trial;

const FOLDER: &str = "tests/data/models";
/// Where `tests/data/models/make.py --whole` wrote ResNet-18 and -50.
const WHOLE: &str = "OCELLI_WHOLE_MODELS";

/// A graph, how many values each of its inputs holds for a row, rows, and how far from ONNX Runtime the results may be, as a
/// part of the largest of them.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    inputs: &'static [usize],
    /// Inputs hold whole numbers from 0 to 255.
    is_bytes: bool,
    rows: usize,
    tolerance: f64,
}

/// Sums in another order differ in the last digits of 32-bit floats.
const F32: f64 = 1e-5;
/// Exponentials and error functions are approximated differently.
const APPROXIMATED: f64 = 1e-4;
/// 16-bit floats have 11 binary digits; rten computes them in 32 bits.
const F16: f64 = 2e-3;

const fn case(name: &'static str, inputs: &'static [usize], tolerance: f64) -> Case {
    Case { name, inputs, is_bytes: false, rows: 2, tolerance }
}

const fn picture(name: &'static str, tolerance: f64) -> Case {
    case(name, &[3 * 32 * 32], tolerance)
}

const CASES: [Case; 16] = [
    picture("resnet", F32),
    picture("mobilenet", F32),
    picture("efficientnet", APPROXIMATED),
    picture("convnext", APPROXIMATED),
    picture("vit", APPROXIMATED),
    picture("densenet", F32),
    picture("squeezenet", APPROXIMATED),
    picture("newest", F32),
    picture("maps", F32),
    Case { rows: 1, ..picture("fixed", F32) },
    Case { rows: 4, ..picture("fixed-four", F32) },
    picture("half", F16),
    picture("external", F32),
    Case { is_bytes: true, ..picture("nhwc-bytes", F32) },
    case("table", &[1, 1], APPROXIMATED),
    case("features", &[3], APPROXIMATED),
];

/// Fifty layers add up what one rounds.
const LARGE: [Case; 2] =
    [case("resnet18", &[3 * 224 * 224], APPROXIMATED), case("resnet50", &[3 * 224 * 224], APPROXIMATED)];

/// Where a graph is run.
#[derive(Clone, Copy)]
struct Runs {
    name: &'static str,
    /// In `OPTIONS`.
    options: &'static str,
    /// What it needs, in `OCELLI_REQUIRE`.
    needs: Option<&'static str>,
    /// The least that is asked for.
    tolerance: f64,
}

const RUNS: [Runs; 4] = [
    Runs { name: "rten", options: "'backend' 'rten'", needs: None, tolerance: 0.0 },
    Runs { name: "ort", options: "'backend' 'ort'", needs: Some("ort"), tolerance: 0.0 },
    Runs { name: "gpu", options: "'device' 'gpu', 'precision' 'f32'", needs: Some("gpu"), tolerance: 0.0 },
    // Every layer rounds to 11 binary digits: a part in a thousand of the largest number, four of them after some layers.
    Runs { name: "gpu_f16", options: "'device' 'gpu', 'precision' 'f16'", needs: Some("gpu"), tolerance: 4e-3 },
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for runs in RUNS {
        let missing = match runs.needs {
            Some("ort") => ocelli::onnx_runtime_library().err(),
            Some(_) if runs.name == "gpu" => crate::gpu::missing(),
            Some(_) => crate::gpu::missing_half(),
            None => None,
        };
        let needs = runs.needs.unwrap_or_default();
        for case in CASES {
            let run = trial(format!("conformance::{}::{}", runs.name, case.name), move || agrees(case, FOLDER, runs));
            trials.push(require(needs, missing.clone(), run));
        }
        let folder = std::env::var(WHOLE).unwrap_or_default();
        let no_folder = folder.is_empty().then(|| format!("{WHOLE} is not set"));
        for case in LARGE {
            let folder = folder.clone();
            let run = trial(format!("conformance::{}::{}", runs.name, case.name), move || agrees(case, &folder, runs));
            trials.push(require(needs, missing.clone(), require("models", no_folder.clone(), run)));
        }
    }
    trials
}

#[tokio::main]
async fn agrees(case: Case, folder: &str, runs: Runs) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let location = match Path::new(folder).join(case.name).is_dir() {
        true => format!("{folder}/{}", case.name),
        false => format!("{folder}/{}.onnx", case.name),
    };
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ({})", runs.options);
    ocelli.sql(&create).await?;
    let columns = case.inputs.iter().map(|&length| column(case, length)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    ocelli.context().register_batch("inputs", RecordBatch::try_from_iter(names.iter().zip(columns))?)?;
    let query = format!("SELECT predict('m', {}) AS p FROM inputs", names.join(", "));
    let batches = ocelli.sql(&query).await?.collect().await?;
    let expected = std::fs::read_to_string(format!("{folder}/{}.expected", case.name))?;
    for (number, line) in expected.lines().enumerate() {
        let (name, numbers) = line.split_once(' ').ok_or("a line is empty")?;
        let theirs: Vec<f64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let mut ours = Vec::new();
        for batch in &batches {
            let values = batch.column(0);
            let output = values.as_struct_opt().map_or(values, |outputs| outputs.column(number));
            ours.extend(flat(output)?);
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = theirs.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        // What is no number is far off.
        let worst = differences.fold(0.0, |most: f64, one| if one.is_nan() { f64::INFINITY } else { most.max(one) });
        assert!(worst <= case.tolerance.max(runs.tolerance) * largest, "{name}: {worst} of {largest}");
        let best = |scores: &[f64]| scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
        let classes = |scores: &[f64]| scores.chunks(theirs.len() / case.rows).map(best).collect::<Vec<_>>();
        assert_eq!(classes(&ours), classes(&theirs), "the best classes of {name}");
    }
    Ok(())
}

/// What make.py puts into an input.
fn column(case: Case, length: usize) -> Result<ArrayRef, Box<dyn Error>> {
    let numbers = (0..length * case.rows).map(|i| i * 37 % 101);
    let values: ArrayRef = match case.is_bytes {
        true => Arc::new(UInt8Array::from_iter_values(numbers.map(|number| number as u8))),
        false => Arc::new(Float32Array::from_iter_values(numbers.map(|number| (number as f64 / 101.0 - 0.5) as f32))),
    };
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    Ok(Arc::new(FixedSizeListArray::try_new(item, i32::try_from(length)?, values, None)?))
}

/// The numbers of lists in lists, or numbers.
fn flat(values: &ArrayRef) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut values = Arc::clone(values);
    while let Some(lists) = values.as_fixed_size_list_opt() {
        values = Arc::clone(lists.values());
    }
    Ok(cast(&values, &DataType::Float64)?.as_primitive::<Float64Type>().values().to_vec())
}
