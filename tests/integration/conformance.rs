//! Conformance of all backends: the outputs of every graph in `tests/data/models` equal those of ONNX Runtime in Python.
//!
//! A GPU is tested in 32-bit and in 16-bit precision; `OCELLI_GPU_ADAPTER` selects an adapter by name, e.g. `llvmpipe`.

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
/// The folder to which `tests/data/models/make.py --whole` wrote ResNet-18 and ResNet-50.
const LARGE_MODELS: &str = "OCELLI_WHOLE_MODELS";

/// A graph with its test inputs and its tolerance.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// The elements per row of each input.
    inputs: &'static [usize],
    /// Whether the inputs are integers from 0 to 255.
    is_bytes: bool,
    rows: usize,
    /// The maximum difference from ONNX Runtime, relative to the largest absolute value of an output.
    tolerance: f64,
}

/// The order of summation differs, which changes the last digits of 32-bit floats.
const F32: f64 = 1e-5;
/// Approximations of exponential and error functions differ.
const APPROXIMATED: f64 = 1e-4;
/// 16-bit floats have 11 significant bits; rten computes with 32-bit floats instead.
const F16: f64 = 2e-3;

const fn case(name: &'static str, inputs: &'static [usize], tolerance: f64) -> Case {
    Case { name, inputs, is_bytes: false, rows: 2, tolerance }
}

const fn image(name: &'static str, tolerance: f64) -> Case {
    case(name, &[3 * 32 * 32], tolerance)
}

const CASES: [Case; 19] = [
    image("resnet", F32),
    image("mobilenet", F32),
    image("efficientnet", APPROXIMATED),
    image("convnext", APPROXIMATED),
    image("vit", APPROXIMATED),
    image("densenet", F32),
    image("squeezenet", APPROXIMATED),
    image("newest", F32),
    image("maps", F32),
    Case { rows: 1, ..image("fixed", F32) },
    Case { rows: 4, ..image("fixed-four", F32) },
    image("half", F16),
    image("external", F32),
    Case { is_bytes: true, ..image("nhwc-bytes", F32) },
    case("table", &[1, 1], APPROXIMATED),
    case("features", &[3], APPROXIMATED),
    image("sigmoid", APPROXIMATED),
    image("multi-label", F32),
    image("one-logit", F32),
];

/// Models of full size: rounding errors accumulate over up to 50 layers.
const LARGE: [Case; 2] =
    [case("resnet18", &[3 * 224 * 224], APPROXIMATED), case("resnet50", &[3 * 224 * 224], APPROXIMATED)];

/// A backend configuration.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    /// The `OPTIONS` of CREATE MODEL.
    options: &'static str,
    /// Its requirement, as named in `OCELLI_REQUIRE`.
    requirement: Option<&'static str>,
    /// The minimum tolerance; that of a case may be larger.
    tolerance: f64,
}

const TARGETS: [Target; 4] = [
    Target { name: "rten", options: "'backend' 'rten'", requirement: None, tolerance: 0.0 },
    Target { name: "ort", options: "'backend' 'ort'", requirement: Some("ort"), tolerance: 0.0 },
    Target { name: "gpu", options: "'device' 'gpu', 'precision' 'f32'", requirement: Some("gpu"), tolerance: 0.0 },
    // Every layer rounds to 11 significant bits, a relative error of 1e-3, of which several accumulate.
    Target { name: "gpu_f16", options: "'device' 'gpu', 'precision' 'f16'", requirement: Some("gpu"), tolerance: 4e-3 },
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for target in TARGETS {
        let missing = match target.requirement {
            Some("ort") => ocelli::onnx_runtime_library().err(),
            Some(_) if target.name == "gpu" => crate::gpu::missing(),
            Some(_) => crate::gpu::missing_half(),
            None => None,
        };
        let requirement = target.requirement.unwrap_or_default();
        for case in CASES {
            let run =
                trial(format!("conformance::{}::{}", target.name, case.name), move || agrees(case, FOLDER, target));
            trials.push(require(requirement, missing.clone(), run));
        }
        let folder = std::env::var(LARGE_MODELS).unwrap_or_default();
        let no_folder = folder.is_empty().then(|| format!("{LARGE_MODELS} is not set"));
        for case in LARGE {
            let folder = folder.clone();
            let run =
                trial(format!("conformance::{}::{}", target.name, case.name), move || agrees(case, &folder, target));
            trials.push(require(requirement, missing.clone(), require("models", no_folder.clone(), run)));
        }
    }
    trials
}

#[tokio::main]
async fn agrees(case: Case, folder: &str, target: Target) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let location = match Path::new(folder).join(case.name).is_dir() {
        true => format!("{folder}/{}", case.name),
        false => format!("{folder}/{}.onnx", case.name),
    };
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ({})", target.options);
    ocelli.sql(&create).await?;
    let columns = case.inputs.iter().map(|&length| column(case, length)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
    ocelli.context().register_batch("inputs", RecordBatch::try_from_iter(names.iter().zip(columns))?)?;
    let query = format!("SELECT predict('m', {}) AS p FROM inputs", names.join(", "));
    let batches = ocelli.sql(&query).await?.collect().await?;
    let expected = std::fs::read_to_string(format!("{folder}/{}.expected", case.name))?;
    for (index, line) in expected.lines().enumerate() {
        let (name, values) = line.split_once(' ').ok_or("a line is empty")?;
        let expected_values: Vec<f64> = values.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let mut actual = Vec::new();
        for batch in &batches {
            let values = batch.column(0);
            let output = values.as_struct_opt().map_or(values, |outputs| outputs.column(index));
            actual.extend(flatten(output)?);
        }
        assert_eq!(actual.len(), expected_values.len(), "{name}");
        let largest = expected_values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let differences = actual.iter().zip(&expected_values).map(|(a, b)| (a - b).abs());
        // A NaN fails.
        let max_difference =
            differences.fold(0.0, |max: f64, one| if one.is_nan() { f64::INFINITY } else { max.max(one) });
        assert!(
            max_difference <= case.tolerance.max(target.tolerance) * largest,
            "{name}: {max_difference} of {largest}"
        );
        let argmax =
            |scores: &[f64]| scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
        let classes = |scores: &[f64]| scores.chunks(expected_values.len() / case.rows).map(argmax).collect::<Vec<_>>();
        assert_eq!(classes(&actual), classes(&expected_values), "the top-1 classes of {name}");
    }
    Ok(())
}

/// The input values that make.py uses.
fn column(case: Case, length: usize) -> Result<ArrayRef, Box<dyn Error>> {
    let pattern = (0..length * case.rows).map(|i| i * 37 % 101);
    let values: ArrayRef = match case.is_bytes {
        true => Arc::new(UInt8Array::from_iter_values(pattern.map(|value| value as u8))),
        false => Arc::new(Float32Array::from_iter_values(pattern.map(|value| (value as f64 / 101.0 - 0.5) as f32))),
    };
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    Ok(Arc::new(FixedSizeListArray::try_new(item, i32::try_from(length)?, values, None)?))
}

/// The elements of a column, without its nested lists.
fn flatten(values: &ArrayRef) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut values = Arc::clone(values);
    while let Some(lists) = values.as_fixed_size_list_opt() {
        values = Arc::clone(lists.values());
    }
    Ok(cast(&values, &DataType::Float64)?.as_primitive::<Float64Type>().values().to_vec())
}
