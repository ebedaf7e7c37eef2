//! `ocelli doctor`: what models run on here, and whether it gives what it should.

use std::thread::available_parallelism;

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use ocelli::{Ocelli, explain, onnx_runtime};

/// The bundled model on a gray picture; the digits that all backends share.
const CHECK: &str =
    "SELECT max(round(score, 4)) FROM (SELECT unnest(predict('resnet20-cifar10', array_repeat(0.5, 3072))) AS score)";

/// Writes a line for each thing.
pub(crate) async fn examine(ocelli: &Ocelli) -> Result<()> {
    let line = |what: &str, value: &str| println!("{what:<24}{value}");
    line("ocelli", env!("CARGO_PKG_VERSION"));
    line("cores", &available_parallelism().map_or_else(|error| error.to_string(), |cores| cores.to_string()));
    line("GPU", "models do not run on it yet");
    let found = onnx_runtime();
    line("backend ort", found.as_deref().unwrap_or_else(String::as_str));
    line("backend rten", "is compiled in");
    let automatic = if found.is_ok() { "ort" } else { "rten" };
    line("backend auto", &format!("is {automatic}; SET ocelli.backend = 'rten' changes it"));
    let mut scores = Vec::new();
    for backend in ["ort", "rten"].into_iter().filter(|backend| *backend == "rten" || found.is_ok()) {
        ocelli.sql(&format!("SET ocelli.backend = '{backend}'")).await?;
        let checked = async { ocelli.sql(CHECK).await?.collect().await };
        let said = match checked.await {
            Ok(rows) => {
                let score = rows.first().map(|rows| array_value_to_string(rows.column(0), 0)).transpose()?;
                scores.extend(score.clone());
                format!("the bundled model scores a gray picture {}", score.unwrap_or_default())
            }
            Err(error) => explain(&error),
        };
        line(&format!("check of {backend}"), &said);
    }
    if scores.iter().any(|score| *score != scores[0]) {
        line("", "the backends do not agree: please report it with these lines");
    }
    Ok(())
}
