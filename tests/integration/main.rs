//! Tests across crates, as one program: `cargo test -p ocelli-tests --test integration [name]`.
//!
//! Tests whose requirement is missing are reported as ignored, with the reason; `OCELLI_REQUIRE=gpu,ort,data` turns that into a failure.

mod accuracy;
mod conformance;
mod copy;
mod decode;
mod functions;
mod globs;
mod gpu;
mod infer;
mod models;
mod mutations;
mod onnx_suite;
mod random_products;
mod random_queries;
mod requirement;
mod resize;
mod sparse_examples;
mod sparse_frames;
mod sparse_memory;
mod tidy;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    if std::env::var_os(mutations::INSIDE).is_some() {
        return mutations::decode_mutations();
    }
    // Cargo runs tests in the folder of their package; the folder that they were compiled in may not exist if several clones
    // share a target folder.
    std::env::set_current_dir("..").expect("the repository exists");
    let mut trials = Vec::new();
    trials.extend(accuracy::trials());
    trials.extend(conformance::trials());
    trials.extend(copy::trials());
    trials.extend(decode::trials());
    trials.extend(functions::trials());
    trials.extend(globs::trials());
    trials.extend(gpu::trials());
    trials.extend(infer::trials());
    trials.extend(models::trials());
    trials.extend(mutations::trials());
    trials.extend(onnx_suite::trials());
    trials.extend(random_products::trials());
    trials.extend(random_queries::trials());
    trials.extend(resize::trials());
    trials.extend(sparse_examples::trials());
    trials.extend(sparse_frames::trials());
    trials.extend(sparse_memory::trials());
    trials.extend(tidy::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A trial of a function that fails with any error.
fn trial(
    name: impl Into<String>,
    run: impl FnOnce() -> Result<(), Box<dyn std::error::Error>> + Send + 'static,
) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(error.to_string())))
}
