//! ONNX's own test cases on every backend, which `tests/data/onnx_suite.py` writes to the folder that `OCELLI_ONNX_SUITE` names.
//!
//! A wrong result fails; a rejected model does not. docs/backends.md is generated from the results: `OCELLI_COMPLETE=1` writes the file instead
//! of comparing with it.

mod page;

use std::error::Error;
use std::fs;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::DataFusionError;
use libtest_mimic::Trial;
use ocelli::{Ocelli, user_message};

use crate::requirement::require;
use crate::trial;

const FOLDER: &str = "OCELLI_ONNX_SUITE";

/// A backend, and its results once the cases ran.
struct Target {
    name: &'static str,
    /// The `OPTIONS` of CREATE MODEL.
    options: &'static str,
    results: OnceLock<Result<Vec<Outcome>, String>>,
}

static TARGETS: [Target; 3] = [
    Target { name: "ort", options: "'backend' 'ort'", results: OnceLock::new() },
    Target { name: "rten", options: "'backend' 'rten'", results: OnceLock::new() },
    Target { name: "gpu", options: "'device' 'gpu', 'precision' 'f32'", results: OnceLock::new() },
];

/// A test case of ONNX.
struct Case {
    name: String,
    /// The operators of its graph.
    operators: Vec<String>,
    inputs: usize,
    outputs: usize,
}

/// What a backend made from a case.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Right,
    /// The first wrong output.
    Wrong(String),
    /// The message.
    Rejected(String),
}

/// A case in which a backend differs from ONNX, and why that is left unchanged.
struct Difference {
    backends: &'static [&'static str],
    cases: &'static [&'static str],
    reason: &'static str,
}

const DIFFERENCES: [Difference; 3] = [
    Difference {
        backends: &["ort", "rten"],
        cases: &[
            "test_resize_downsample_scales_linear_align_corners",
            "test_resize_downsample_scales_cubic_align_corners",
        ],
        reason: "`Resize` with aligned corners divides by the rounded size of the output, as PyTorch does, and not by the product of the \
                 size of the input and the scale.",
    },
    Difference {
        backends: &["ort"],
        cases: &["test_maxunpool_export_with_output_shape"],
        reason: "`MaxUnpool` with an output shape reads the indices as those of the output.",
    },
    Difference {
        backends: &["rten"],
        cases: &["test_dynamicquantizelinear", "test_dynamicquantizelinear_expanded"],
        reason: "`DynamicQuantizeLinear` multiplies by the reciprocal of the scale, so that a value halfway between two integers may be \
                 rounded to the other one.",
    },
];

impl Difference {
    fn contains(&self, target: &Target, case: &Case) -> bool {
        self.backends.contains(&target.name) && self.cases.contains(&case.name.as_str())
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let folder = std::env::var(FOLDER).unwrap_or_default();
    let no_folder = folder.is_empty().then(|| format!("{FOLDER} is not set"));
    let missing = |name: &str| match name {
        "ort" => ocelli::onnx_runtime_library().err(),
        "gpu" => crate::gpu::missing(),
        _ => None,
    };
    let mut trials = Vec::new();
    for target in &TARGETS {
        let folder = folder.clone();
        let run = trial(format!("onnx_suite::{}", target.name), move || is_right(target, &folder));
        trials.push(require(target.name, missing(target.name), require("onnx-suite", no_folder.clone(), run)));
    }
    let is_outdated = no_folder.is_none().then(|| page::is_outdated(&folder)).flatten();
    let page = trial("onnx_suite::page", move || page::is_up_to_date(&folder));
    let page = require("backends-page", is_outdated, require("onnx-suite", no_folder, page));
    trials.push(require("ort", missing("ort"), require("gpu", missing("gpu"), page)));
    trials
}

/// Fails with the cases that are wrong without a reason, or right in spite of one.
fn is_right(target: &'static Target, folder: &str) -> Result<(), Box<dyn Error>> {
    let (cases, outcomes) = (read_cases(folder)?, target.outcomes(folder)?);
    let mut violations = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let is_known = DIFFERENCES.iter().any(|difference| difference.contains(target, case));
        match outcome {
            Outcome::Wrong(reason) if !is_known => violations.push(format!("{}: {reason}", case.name)),
            Outcome::Right if is_known => {
                violations.push(format!("{}: is right, remove it from DIFFERENCES", case.name))
            }
            _ => {}
        }
    }
    let right = outcomes.iter().filter(|outcome| **outcome == Outcome::Right).count();
    // A backend that rejects everything is never wrong.
    if right < cases.len() / 5 {
        violations.push(format!("only {right} of {} cases are right", cases.len()));
    }
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n").into()) }
}

impl Target {
    /// The outcomes of all cases, computed by the first caller.
    fn outcomes(&self, folder: &str) -> Result<&[Outcome], String> {
        let outcomes = self.results.get_or_init(|| run(self, folder).map_err(|error| error.to_string()));
        outcomes.as_deref().map_err(Clone::clone)
    }

    /// One row: the prediction, and the expected outputs.
    async fn predict(&self, ocelli: &Ocelli, folder: &str, case: &Case) -> Result<Vec<RecordBatch>, DataFusionError> {
        let name = &case.name;
        let create = format!(
            "CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{folder}/{name}.onnx' OPTIONS ({})",
            self.options
        );
        ocelli.sql(&create).await?;
        let list = |prefix: &str, count: usize| {
            (0..count).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>().join(", ")
        };
        let (inputs, expected) = (list("x", case.inputs), list("y", case.outputs));
        let query = format!("SELECT predict('m', {inputs}), {expected} FROM '{folder}/{name}.parquet'");
        ocelli.sql(&query).await?.collect().await
    }
}

#[tokio::main]
async fn run(target: &Target, folder: &str) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let mut outcomes = Vec::new();
    for case in read_cases(folder)? {
        let batches = target.predict(&ocelli, folder, &case).await;
        outcomes.push(match batches {
            Err(error) => Outcome::Rejected(user_message(&error)),
            Ok(batches) => match compare(&case, &batches) {
                Ok(()) => Outcome::Right,
                Err(reason) => Outcome::Wrong(reason),
            },
        });
    }
    Ok(outcomes)
}

fn read_cases(folder: &str) -> Result<Vec<Case>, Box<dyn Error>> {
    let text = fs::read_to_string(format!("{folder}/cases.csv"))?;
    let case = |line: &str| -> Result<Case, Box<dyn Error>> {
        let [name, operators, inputs, outputs] = line.split(',').collect::<Vec<_>>()[..] else {
            return Err(format!("cases.csv: {line}").into());
        };
        let operators = operators.split(' ').map(str::to_owned).collect();
        Ok(Case { name: name.to_owned(), operators, inputs: inputs.parse()?, outputs: outputs.parse()? })
    };
    text.lines().skip(1).map(case).collect()
}

/// Compares the prediction in the first column with the expected outputs in the others.
fn compare(case: &Case, batches: &[RecordBatch]) -> Result<(), String> {
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).ok_or("there is no row")?;
    let prediction = batch.column(0);
    for output in 0..case.outputs {
        let actual = prediction.as_struct_opt().map_or(prediction, |outputs| outputs.column(output));
        let (actual, expected) = (elements(actual), elements(batch.column(output + 1)));
        if actual.len() != expected.len() {
            return Err(format!("output {output} has {} elements instead of {}", actual.len(), expected.len()));
        }
        let different = match expected.data_type().is_string() {
            true => first_different_text(&actual, &expected),
            false => first_different_number(&actual, &expected)?,
        };
        if let Some(difference) = different {
            return Err(format!("output {output}: {difference}"));
        }
    }
    Ok(())
}

/// The elements of the only row of a column, without its lists.
fn elements(column: &ArrayRef) -> ArrayRef {
    let items = |values: &ArrayRef| match values.as_fixed_size_list_opt() {
        Some(lists) => Some(Arc::clone(lists.values())),
        None => values.as_list_opt::<i32>().map(|lists| Arc::clone(lists.values())),
    };
    let mut values = Arc::clone(column);
    while let Some(inner) = items(&values) {
        values = inner;
    }
    values
}

fn first_different_text(actual: &ArrayRef, expected: &ArrayRef) -> Option<String> {
    let texts = |values: &ArrayRef| cast(values, &DataType::Utf8).ok();
    let (Some(actual), Some(expected)) = (texts(actual), texts(expected)) else {
        return Some("it is no text".to_owned());
    };
    let mut pairs = actual.as_string::<i32>().iter().zip(expected.as_string::<i32>().iter());
    pairs
        .find(|(actual, expected)| actual != expected)
        .map(|(actual, expected)| format!("{actual:?} instead of {expected:?}"))
}

fn first_different_number(actual: &ArrayRef, expected: &ArrayRef) -> Result<Option<String>, String> {
    let numbers = |values: &ArrayRef| -> Result<Vec<f64>, String> {
        let numbers = cast(values, &DataType::Float64).map_err(|error| error.to_string())?;
        Ok(numbers.as_primitive::<Float64Type>().values().to_vec())
    };
    let (actual, expected) = (numbers(actual)?, numbers(expected)?);
    let finite = expected.iter().map(|value| value.abs()).filter(|value| value.is_finite());
    let largest = finite.fold(0.0, f64::max);
    let is_close = |actual: f64, expected: f64| {
        // ONNX's runner compares relative to each value; sums of large values have rounding errors relative to these.
        let tolerance = 1e-4 + 2e-3 * expected.abs() + 1e-6 * largest;
        actual == expected || (actual.is_nan() && expected.is_nan()) || (actual - expected).abs() <= tolerance
    };
    let mut pairs = actual.iter().zip(&expected);
    let different = pairs.find(|(actual, expected)| !is_close(**actual, **expected));
    Ok(different.map(|(actual, expected)| format!("{actual} instead of {expected}")))
}
