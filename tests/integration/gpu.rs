//! The GPU's graph runner by itself: its operators against another implementation, and what happens to devices and batches.
//! `OCELLI_GPU_ADAPTER` picks an adapter by its name, e.g. `llvmpipe`.

mod onnx;
mod operators;
mod sparse;
mod sql;

use std::error::Error;
use std::sync::{Arc, LazyLock, mpsc};

use libtest_mimic::Trial;
use ocelli_gpu::{Batcher, Device, Graph, Input, Items, Model, Precision, Tensor};

use crate::requirement::require;
use crate::trial;

/// Open as long as the tests run: its kernels are compiled once.
static DEVICE: LazyLock<Result<Arc<Device>, ocelli_gpu::Error>> =
    LazyLock::new(|| Device::shared(adapter().as_deref()));

fn adapter() -> Option<String> {
    std::env::var("OCELLI_GPU_ADAPTER").ok().filter(|name| !name.is_empty())
}

/// Why there is no GPU to test on.
pub(crate) fn missing() -> Option<String> {
    DEVICE.as_ref().err().map(ToString::to_string)
}

/// Why there is none that has 16-bit floats.
pub(crate) fn missing_half() -> Option<String> {
    match &*DEVICE {
        Ok(device) if !device.adapter().has_f16 => Some(format!("{} has no 16-bit floats", device.adapter().name)),
        _ => missing(),
    }
}

/// Why there is none that computes on the CPU, and so has little room.
fn missing_software() -> Option<String> {
    match &*DEVICE {
        Ok(device) if !device.adapter().is_software => Some(format!("{} is a real card", device.adapter().name)),
        _ => missing(),
    }
}

fn device() -> Result<Arc<Device>, ocelli_gpu::Error> {
    DEVICE.clone()
}

pub(crate) fn trials() -> Vec<Trial> {
    type Test = fn() -> Result<(), Box<dyn Error>>;
    let tests: [(&str, Test); 8] = [
        ("gpu::one_device_is_shared", one_device_is_shared),
        ("gpu::a_lost_device_says_so", a_lost_device_says_so),
        ("gpu::a_dropped_device_is_opened_again", a_dropped_device_is_opened_again),
        ("gpu::batches_of_any_size", batches_of_any_size),
        ("gpu::jobs_of_several_threads", jobs_of_several_threads),
        ("gpu::a_fixed_batch_is_filled_up", a_fixed_batch_is_filled_up),
        ("gpu::what_does_not_run_is_named", what_does_not_run_is_named),
        ("gpu::wrong_inputs_are_named", wrong_inputs_are_named),
    ];
    let here = tests.into_iter().map(|(name, test)| require("gpu", missing(), trial(name, test)));
    let sparse = sparse::trials().into_iter().map(|trial| require("gpu", missing(), trial));
    let operators = operators::trials().into_iter().chain(sparse);
    let large = trial("gpu::a_batch_too_large_is_run_in_parts", a_batch_too_large_is_run_in_parts);
    let here = here.chain([require("software", missing_software(), large)]);
    here.chain(operators)
        .chain(sql::trials())
        .chain([trial("gpu::an_unknown_adapter_lists_the_known", an_unknown_adapter)])
        .collect()
}

/// A graph of `tests/data/models`.
fn graph(name: &str) -> Result<Arc<Graph>, Box<dyn Error>> {
    Ok(Graph::parse(&std::fs::read(format!("tests/data/models/{name}.onnx"))?, &[])?.into())
}

fn model(device: Arc<Device>) -> Result<(Arc<Model>, Vec<String>), Box<dyn Error>> {
    let graph = graph("resnet")?;
    let outputs = graph.outputs().to_vec();
    Ok((Arc::new(Model::new(device, graph, Precision::F32)?), outputs))
}

/// Pictures of 3 x 32 x 32 without a pattern that a wrong index would repeat.
fn pictures(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    (0..count * 3 * 32 * 32).map(|_| random.f32() - 0.5).collect()
}

fn run(model: &Model, outputs: &[String], pictures: &[f32]) -> Result<Vec<f32>, ocelli_gpu::Error> {
    let shape = vec![pictures.len() / (3 * 32 * 32), 3, 32, 32];
    Ok(model.run(&[Input { shape, parts: vec![pictures] }], outputs)?.remove(0).values)
}

/// The largest difference; what is no number is far off.
fn farthest(ours: &[f32], theirs: &[f32]) -> f32 {
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most: f32, one| if one.is_nan() { f32::INFINITY } else { most.max(one) })
}

/// Items that somebody waits for.
fn items(values: Vec<f32>, count: usize, wanted: &[String]) -> Items {
    Items { values, count, wanted: wanted.to_vec(), is_wanted: Arc::new(|| true) }
}

fn an_unknown_adapter() -> Result<(), Box<dyn Error>> {
    let error = Device::open(Some("no such card")).expect_err("there is none").to_string();
    assert!(error.starts_with("no GPU named 'no such card'; adapters: "), "{error}");
    Ok(())
}

fn one_device_is_shared() -> Result<(), Box<dyn Error>> {
    let again = Device::shared(adapter().as_deref())?;
    assert!(Arc::ptr_eq(&device()?, &again));
    Ok(())
}

fn a_lost_device_says_so() -> Result<(), Box<dyn Error>> {
    let alone = Arc::new(Device::open(adapter().as_deref())?);
    let (model, outputs) = model(Arc::clone(&alone))?;
    run(&model, &outputs, &pictures(1))?;
    alone.destroy();
    let error = run(&model, &outputs, &pictures(1)).expect_err("it is gone").to_string();
    assert_eq!(error, "the GPU was lost: it was destroyed");
    let batcher = Batcher::new(model, vec![3, 32, 32], None, &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("somebody waits");
    batcher.push(items(pictures(2), 2, &outputs), Box::new(done));
    assert_eq!(receiver.recv()?.expect_err("it is gone").to_string(), error);
    Ok(())
}

fn a_dropped_device_is_opened_again() -> Result<(), Box<dyn Error>> {
    let mut results = Vec::new();
    for _ in 0..2 {
        let (model, outputs) = model(Arc::new(Device::open(adapter().as_deref())?))?;
        results.push(run(&model, &outputs, &pictures(1))?);
    }
    assert_eq!(results[0], results[1]);
    Ok(())
}

fn batches_of_any_size() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let pictures = pictures(37);
    let whole = run(&model, &outputs, &pictures)?;
    for count in [1, 2, 3, 5, 36] {
        let part = run(&model, &outputs, &pictures[..count * 3 * 32 * 32])?;
        // Tiles of another size add up in another order.
        let worst = farthest(&part, &whole);
        assert!(worst < 1e-6, "{count}: {worst}");
    }
    Ok(())
}

fn jobs_of_several_threads() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let batcher = Batcher::new(Arc::clone(&model), vec![3, 32, 32], None, &outputs)?;
    assert!(batcher.largest_batch().is_power_of_two());
    let (sender, receiver) = mpsc::channel::<(usize, Result<Vec<Tensor>, ocelli_gpu::Error>)>();
    let counts = [0, 1, 2, 3, 7, 16, 40, 1, 300];
    std::thread::scope(|scope| {
        for count in counts {
            let (batcher, outputs, sender) = (&batcher, &outputs, sender.clone());
            scope.spawn(move || {
                let done = move |results| sender.send((count, results)).expect("somebody waits");
                batcher.push(items(pictures(count), count, outputs), Box::new(done));
            });
        }
    });
    for _ in counts {
        let (count, results) = receiver.recv()?;
        let results = results?;
        if count == 0 {
            assert!(results.is_empty());
            continue;
        }
        assert_eq!(results[0].shape, [count, 3]);
        let alone = run(&model, &outputs, &pictures(count))?;
        let worst = farthest(&results[0].values, &alone);
        assert!(worst < 1e-6 && results[0].values.len() == alone.len(), "{count}: {worst}");
    }
    Ok(())
}

fn a_fixed_batch_is_filled_up() -> Result<(), Box<dyn Error>> {
    let graph = graph("fixed-four")?;
    let outputs = graph.outputs().to_vec();
    let model = Arc::new(Model::new(device()?, graph, Precision::F32)?);
    let batcher = Batcher::new(Arc::clone(&model), vec![3, 32, 32], Some(4), &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("somebody waits");
    batcher.push(items(pictures(6), 6, &outputs), Box::new(done));
    let six = receiver.recv()??.remove(0);
    assert_eq!(six.shape, [6, 3]);
    let four = run(&model, &outputs, &pictures(6)[..4 * 3 * 32 * 32])?;
    assert!(farthest(&six.values[..four.len()], &four) < 1e-6);
    // Items that nobody waits for are not run, and their `done` is dropped.
    let (sender, receiver) = mpsc::channel();
    let nobody = Items { is_wanted: Arc::new(|| false), ..items(pictures(1), 1, &outputs) };
    batcher.push(nobody, Box::new(move |results| sender.send(results).expect("somebody waits")));
    assert!(receiver.recv().is_err());
    Ok(())
}

/// One number in, as many as the device takes at once out: two rows are too many.
fn a_batch_too_large_is_run_in_parts() -> Result<(), Box<dyn Error>> {
    let device = device()?;
    let most = usize::try_from(device.largest_buffer() / 4)?;
    let graph = Arc::new(Graph::parse(&onnx::widened_and_summed(most / 2 + 1), &[])?);
    let outputs = graph.outputs().to_vec();
    let model = Arc::new(Model::new(device, graph, Precision::F32)?);
    let values = [1.0, 2.0, 3.0];
    let error =
        model.run(&[Input { shape: vec![2, 1], parts: vec![&values[..2]] }], &outputs).expect_err("it is too large");
    assert!(error.is_memory() && error.to_string().contains("more than the GPU takes at once"), "{error}");
    let batcher = Batcher::new(model, vec![1], None, &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("somebody waits");
    batcher.push(items(values.to_vec(), 3, &outputs), Box::new(done));
    let sums = receiver.recv()??.remove(0);
    assert_eq!((sums.shape, sums.values), (vec![3, 1], values.to_vec()));
    Ok(())
}

fn what_does_not_run_is_named() -> Result<(), Box<dyn Error>> {
    let error = Model::new(device()?, graph("unknown")?, Precision::F32).expect_err("nobody has it").to_string();
    assert!(error.starts_with("operator example.com.Sparkle ('"), "{error}");
    assert!(error.ends_with("'): the GPU does not run it"), "{error}");
    Ok(())
}

fn wrong_inputs_are_named() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let refused = |shape: Vec<usize>, values: &[f32], outputs: &[String]| {
        model.run(&[Input { shape, parts: vec![values] }], outputs).expect_err("it is wrong").to_string()
    };
    assert_eq!(refused(vec![1, 3], &[0.0; 2], &outputs), "its input 'pixels' of shape [1, 3] got 2 numbers");
    assert_eq!(
        refused(vec![0, 3, 32, 32], &[], &outputs),
        "its input 'pixels' has the shape [0, 3, 32, 32], which is not one of numbers"
    );
    let error = refused(vec![1, 3], &[0.0; 3], &outputs);
    assert!(error.ends_with("its input has the shape [1, 3], and only pictures are convolved"), "{error}");
    assert_eq!(refused(vec![1, 3, 32, 32], &pictures(1), &["nothing".to_owned()]), "it has no tensor 'nothing'");
    assert_eq!(model.run(&[], &outputs).expect_err("it has an input").to_string(), "it has 1 inputs and got 0");
    Ok(())
}
