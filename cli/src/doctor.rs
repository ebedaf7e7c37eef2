//! `ocelli doctor`: what models run on here, and whether it gives what it should.

use std::thread::available_parallelism;

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use ocelli::{Ocelli, explain, onnx_runtime};

/// The bundled model on a gray picture.
const CHECK: &str =
    "SELECT max(round(score, 4)) FROM (SELECT unnest(predict('resnet20-cifar10', array_repeat(0.5, 3072))) AS score)";

/// Sums in another order differ by less.
const TOLERANCE: f64 = 1e-3;

/// A line for each thing, and whether all is well.
pub(crate) async fn examine(ocelli: &Ocelli) -> Result<(String, bool)> {
    let mut lines = String::new();
    let mut line = |what: &str, value: &str| lines.push_str(&format!("{what:<24}{value}\n"));
    line("ocelli", env!("CARGO_PKG_VERSION"));
    line("cores", &available_parallelism().map_or_else(|error| error.to_string(), |cores| cores.to_string()));
    line("GPU", "models do not run on it yet");
    let found = onnx_runtime();
    line("backend ort", found.as_deref().unwrap_or_else(String::as_str));
    line("backend rten", "is compiled in");
    let automatic = if found.is_ok() { "ort" } else { "rten" };
    line("backend auto", &format!("is {automatic}; SET ocelli.backend = 'rten' changes it"));
    let mut scores: Vec<f64> = Vec::new();
    let mut is_well = true;
    for backend in ["ort", "rten"].into_iter().filter(|backend| *backend == "rten" || found.is_ok()) {
        ocelli.sql(&format!("SET ocelli.backend = '{backend}'")).await?;
        let checked = async { ocelli.sql(CHECK).await?.collect().await };
        let said = match checked.await {
            Ok(rows) => {
                let score = rows.first().map(|rows| array_value_to_string(rows.column(0), 0)).transpose()?;
                let score = score.unwrap_or_default();
                scores.extend(score.parse::<f64>());
                format!("the bundled model scores a gray picture {score}")
            }
            Err(error) => {
                is_well = false;
                explain(&error)
            }
        };
        line(&format!("check of {backend}"), &said);
    }
    if scores.iter().any(|score| (score - scores[0]).abs() > TOLERANCE) {
        is_well = false;
        line("", "the backends do not agree: please report it with these lines");
    }
    Ok((lines, is_well))
}
