//! Each backend through SQL, compared with a plain loop over ONNX Runtime:
//! `OCELLI_BENCH_MODELS=… cargo bench -p ocelli-benches --bench backends`
//!
//! The folder contains the models that `peers/models.py` writes; `OCELLI_ORT_LIB` is the path of the ONNX Runtime library. Tensors are
//! in memory, no image is decoded. The loop runs in a separate process, because a process loads ONNX Runtime once: one session on all
//! cores, batches of 16. Its threads do not spin between runs, which would slow down the next measurement.

mod compare;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::available_parallelism;

use compare::compare;
use datafusion::arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field};
use ocelli::Ocelli;
use ort::session::Session;
use ort::value::TensorRef;
use tokio::runtime::Runtime;

const SIDE: usize = 224;
const BATCH: usize = 16;
const IMAGES: usize = 32;
/// Environment variable with the model of the loop.
const LOOP: &str = "OCELLI_BENCH_LOOP";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    if let Ok(model) = std::env::var(LOOP) {
        return bare_loop(&model);
    }
    let (models, library) = match (std::env::var("OCELLI_BENCH_MODELS"), std::env::var("OCELLI_ORT_LIB")) {
        (Ok(models), Ok(library)) => (models, library),
        _ => {
            println!("set OCELLI_BENCH_MODELS and OCELLI_ORT_LIB; see the module documentation of this bench");
            return Ok(());
        }
    };
    println!("{library}");
    let runtime = Runtime::new()?;
    for name in ["resnet18", "resnet50"] {
        let model = format!("{models}/{name}/model.onnx");
        let mut child = Command::new(std::env::current_exe()?)
            .env(LOOP, &model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut go = child.stdin.take().ok_or("no pipe")?;
        let mut done = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let bare = move || {
            go.write_all(b"go\n").expect("the loop reads");
            done.next().expect("the loop replies").expect("a line");
        };
        let ort = through_sql(&runtime, &model, "ort")?;
        compare(&format!("{name}, {IMAGES} tensors"), "images", IMAGES, ("bare ort", bare), ("predict, ort", ort));
        let (ort, rten) = (through_sql(&runtime, &model, "ort")?, through_sql(&runtime, &model, "rten")?);
        compare(&format!("{name}, {IMAGES} tensors"), "images", IMAGES, ("predict, ort", ort), ("predict, rten", rten));
        child.wait()?;
    }
    Ok(())
}

/// Random image tensors.
fn tensors(images: usize) -> Vec<f32> {
    (0..images * 3 * SIDE * SIDE).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

/// Runs all images for each line on standard input, and prints a line when done.
fn bare_loop(model: &str) -> Result<(), Failure> {
    let library = std::env::var("OCELLI_ORT_LIB")?;
    let environment = ort::init_from(library)?.with_telemetry(false).build()?;
    let cores = available_parallelism()?.get();
    let builder = Session::builder(&environment)?.with_intra_threads(cores);
    // Threads that spin after a run would disturb the next measurement.
    let builder = builder.map_err(|error| error.message().to_owned())?.with_intra_op_spinning(false);
    let mut session = builder.map_err(|error| error.message().to_owned())?.commit_from_file(model)?;
    let tensors = tensors(BATCH);
    for line in std::io::stdin().lock().lines() {
        line?;
        for _ in 0..IMAGES / BATCH {
            let input = TensorRef::from_array_view(([BATCH, 3, SIDE, SIDE], tensors.as_slice()))?;
            session.run(ort::inputs![input])?;
        }
        println!("done");
    }
    Ok(())
}

/// The same images as a column.
fn through_sql<'a>(runtime: &'a Runtime, model: &str, backend: &str) -> Result<impl FnMut() + use<'a>, Failure> {
    let ocelli = Ocelli::builder().build()?;
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{model}' OPTIONS ('backend' '{backend}')");
    runtime.block_on(ocelli.sql(&create))?;
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let elements = Arc::new(Float32Array::from(tensors(IMAGES)));
    let lists: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, i32::try_from(3 * SIDE * SIDE)?, elements, None)?);
    ocelli.context().register_batch("images", RecordBatch::try_from_iter([("pixels", lists)])?)?;
    Ok(move || {
        let query = async { ocelli.sql("SELECT predict('m', pixels) FROM images").await?.collect().await };
        let rows = runtime.block_on(query).expect("a result");
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), IMAGES);
    })
}
