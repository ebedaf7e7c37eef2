//! One suite for all backends: every graph of `tests/data/models` gives what ONNX Runtime in Python gave.

use std::error::Error;
use std::path::Path;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::requirement::require;
use crate::trial;

const FOLDER: &str = "tests/data/models";

/// A graph, the values that each of its inputs holds for a row (with their type in SQL), rows, and how far from ONNX Runtime
/// the results may be, of the largest of them.
struct Case {
    name: &'static str,
    inputs: &'static [(usize, &'static str)],
    rows: usize,
    tolerance: f64,
}

/// Sums in another order differ in the last digits of 32-bit floats.
const F32: f64 = 1e-5;
/// Exponentials and error functions are approximated differently.
const APPROXIMATED: f64 = 1e-4;
/// 16-bit floats have 11 binary digits; rten computes them in 32 bits.
const F16: f64 = 2e-3;

const PIXELS: &[(usize, &str)] = &[(3 * 32 * 32, "FLOAT")];

const fn picture(name: &'static str, tolerance: f64) -> Case {
    Case { name, inputs: PIXELS, rows: 2, tolerance }
}

const CASES: [Case; 15] = [
    picture("resnet", F32),
    picture("mobilenet", F32),
    picture("efficientnet", APPROXIMATED),
    picture("convnext", APPROXIMATED),
    picture("vit", APPROXIMATED),
    picture("densenet", F32),
    picture("squeezenet", APPROXIMATED),
    picture("newest", F32),
    Case { rows: 1, ..picture("fixed", F32) },
    Case { rows: 4, ..picture("fixed-four", F32) },
    picture("half", F16),
    picture("external", F32),
    Case { name: "nhwc-bytes", inputs: &[(3 * 32 * 32, "TINYINT UNSIGNED")], rows: 2, tolerance: F32 },
    Case { name: "table", inputs: &[(1, "FLOAT"), (1, "FLOAT")], rows: 2, tolerance: APPROXIMATED },
    Case { name: "features", inputs: &[(3, "FLOAT")], rows: 2, tolerance: APPROXIMATED },
];

pub(crate) fn trials() -> Vec<Trial> {
    let backends = ["rten", "ort"].into_iter();
    backends
        .flat_map(|backend| {
            CASES.iter().map(move |case| {
                let name = format!("conformance::{backend}::{}", case.name);
                let run = move || agrees(case, backend);
                let missing = if backend == "ort" { ocelli::onnx_runtime().err() } else { None };
                require("ort", missing, trial(name, run))
            })
        })
        .collect()
}

#[tokio::main]
async fn agrees(case: &Case, backend: &str) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().threads(2).build()?;
    let location = match Path::new(FOLDER).join(case.name).is_dir() {
        true => format!("{FOLDER}/{}", case.name),
        false => format!("{FOLDER}/{}.onnx", case.name),
    };
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ('backend' '{backend}')");
    ocelli.sql(&create).await?;
    let columns = case.inputs.iter().enumerate().map(|(number, (length, sql_type))| {
        let value = match *sql_type {
            "FLOAT" => "CAST((i * 37 % 101) / 101.0 - 0.5 AS FLOAT)".to_owned(),
            other => format!("CAST(i * 37 % 101 AS {other})"),
        };
        format!(
            "array_agg({value} ORDER BY i) FILTER (WHERE i / {length} = row AND i < {length} * {}) AS c{number}",
            case.rows
        )
    });
    let columns: Vec<String> = columns.collect();
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    let longest = case.inputs.iter().map(|(length, _)| length * case.rows).max().unwrap_or(0);
    let query = format!(
        "SELECT predict('m', {}) AS p FROM (SELECT row, {} FROM generate_series(0, {}) AS r(row)
         CROSS JOIN generate_series(0, {}) AS s(i) GROUP BY row) ORDER BY row",
        names.join(", "),
        columns.join(", "),
        case.rows - 1,
        longest - 1,
    );
    let batches = ocelli.sql(&query).await?.collect().await?;
    let expected = std::fs::read_to_string(format!("{FOLDER}/{}.expected", case.name))?;
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
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= case.tolerance * largest, "{name}: {worst} of {largest}: {ours:?}, {theirs:?}");
        if theirs.len() == 3 * case.rows {
            let best =
                |scores: &[f64]| scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
            let classes = |scores: &[f64]| scores.chunks(3).map(best).collect::<Vec<_>>();
            assert_eq!(classes(&ours), classes(&theirs), "the best classes");
        }
    }
    Ok(())
}

/// The numbers of lists, or numbers.
fn flat(values: &ArrayRef) -> Result<Vec<f64>, Box<dyn Error>> {
    let numbers = match values.as_fixed_size_list_opt() {
        Some(lists) => cast(lists.values(), &DataType::Float64)?,
        None => cast(values, &DataType::Float64)?,
    };
    Ok(numbers.as_primitive::<Float64Type>().values().to_vec())
}
