//! `ocelli-gpu` without the engine: operators compared with another implementation, device loss, and dynamic batching.
//! `OCELLI_GPU_ADAPTER` selects an adapter by name, e.g. `llvmpipe`.

mod onnx;
mod operators;
mod sparse;
mod sql;

use std::error::Error;
use std::sync::{Arc, LazyLock, mpsc};

use libtest_mimic::Trial;
use ocelli_gpu::{BatchRequest, Device, DynamicBatcher, Graph, Input, Model, OutputTensor, Precision};

use crate::requirement::require;
use crate::trial;

/// Open for the whole test run, so that kernels are compiled once.
static DEVICE: LazyLock<Result<Arc<Device>, ocelli_gpu::Error>> =
    LazyLock::new(|| Device::shared(adapter().as_deref()));

fn adapter() -> Option<String> {
    std::env::var("OCELLI_GPU_ADAPTER").ok().filter(|name| !name.is_empty())
}

/// The reason why no GPU is available, if none is.
pub(crate) fn missing() -> Option<String> {
    DEVICE.as_ref().err().map(ToString::to_string)
}

/// The reason why no GPU with 16-bit floats is available, if none is.
pub(crate) fn missing_half() -> Option<String> {
    match &*DEVICE {
        Ok(device) if !device.adapter().has_f16 => {
            Some(format!("{} does not support 16-bit floats", device.adapter().name))
        }
        _ => missing(),
    }
}

/// The reason why no software adapter, which has small buffers, is available, if none is.
fn missing_software() -> Option<String> {
    match &*DEVICE {
        Ok(device) if !device.adapter().is_software => Some(format!("{} is a hardware GPU", device.adapter().name)),
        _ => missing(),
    }
}

fn device() -> Result<Arc<Device>, ocelli_gpu::Error> {
    DEVICE.clone()
}

pub(crate) fn trials() -> Vec<Trial> {
    type Test = fn() -> Result<(), Box<dyn Error>>;
    let tests: [(&str, Test); 9] = [
        ("gpu::one_device_is_shared", one_device_is_shared),
        ("gpu::a_lost_device_is_an_error", a_lost_device_is_an_error),
        ("gpu::a_dropped_device_is_reopened", a_dropped_device_is_reopened),
        ("gpu::batches_of_any_size", batches_of_any_size),
        ("gpu::requests_of_several_threads", requests_of_several_threads),
        ("gpu::a_fixed_batch_is_padded", a_fixed_batch_is_padded),
        ("gpu::unsupported_operators_are_named", unsupported_operators_are_named),
        ("gpu::invalid_inputs_are_named", invalid_inputs_are_named),
        ("gpu::opset_6_broadcasts_along_an_axis", opset_6_broadcasts_along_an_axis),
    ];
    let here = tests.into_iter().map(|(name, test)| require("gpu", missing(), trial(name, test)));
    let sparse = sparse::trials().into_iter().map(|trial| require("gpu", missing(), trial));
    let operators = operators::trials().into_iter().chain(sparse);
    let oversized = trial("gpu::an_oversized_batch_is_split", an_oversized_batch_is_split);
    let here = here.chain([require("software", missing_software(), oversized)]);
    here.chain(operators)
        .chain(sql::trials())
        .chain([trial("gpu::an_unknown_adapter_lists_the_available", an_unknown_adapter)])
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

/// Random images of 3 x 32 x 32: without a pattern, wrong indices change the result.
fn images(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    (0..count * 3 * 32 * 32).map(|_| random.f32() - 0.5).collect()
}

fn run(model: &Model, outputs: &[String], images: &[f32]) -> Result<Vec<f32>, ocelli_gpu::Error> {
    let shape = vec![images.len() / (3 * 32 * 32), 3, 32, 32];
    Ok(model.run(&[Input { shape, chunks: vec![images] }], outputs)?.remove(0).values)
}

/// The largest absolute difference; NaN counts as infinite.
fn max_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |max: f32, difference| if difference.is_nan() { f32::INFINITY } else { max.max(difference) })
}

/// A request that is not cancelled.
fn request(values: Vec<f32>, count: usize, outputs: &[String]) -> BatchRequest {
    BatchRequest { values, count, outputs: outputs.to_vec(), is_cancelled: Arc::new(|| false) }
}

fn an_unknown_adapter() -> Result<(), Box<dyn Error>> {
    let error = Device::open(Some("no such card")).expect_err("no such adapter").to_string();
    assert!(error.starts_with("no GPU named 'no such card'; adapters: "), "{error}");
    Ok(())
}

fn one_device_is_shared() -> Result<(), Box<dyn Error>> {
    let again = Device::shared(adapter().as_deref())?;
    assert!(Arc::ptr_eq(&device()?, &again));
    Ok(())
}

fn a_lost_device_is_an_error() -> Result<(), Box<dyn Error>> {
    let alone = Arc::new(Device::open(adapter().as_deref())?);
    let (model, outputs) = model(Arc::clone(&alone))?;
    run(&model, &outputs, &images(1))?;
    alone.destroy();
    let error = run(&model, &outputs, &images(1)).expect_err("the device is lost").to_string();
    assert_eq!(error, "the GPU device was lost: it was destroyed");
    let batcher = DynamicBatcher::new(model, vec![3, 32, 32], None, &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("the receiver is alive");
    batcher.push(request(images(2), 2, &outputs), Box::new(done));
    assert_eq!(receiver.recv()?.expect_err("the device is lost").to_string(), error);
    Ok(())
}

fn a_dropped_device_is_reopened() -> Result<(), Box<dyn Error>> {
    let mut results = Vec::new();
    for _ in 0..2 {
        let (model, outputs) = model(Arc::new(Device::open(adapter().as_deref())?))?;
        results.push(run(&model, &outputs, &images(1))?);
    }
    assert_eq!(results[0], results[1]);
    Ok(())
}

fn batches_of_any_size() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let images = images(37);
    let whole = run(&model, &outputs, &images)?;
    for count in [1, 2, 3, 5, 36] {
        let part = run(&model, &outputs, &images[..count * 3 * 32 * 32])?;
        // Other tile sizes change the order of summation.
        let worst = max_difference(&part, &whole);
        assert!(worst < 1e-6, "{count}: {worst}");
    }
    Ok(())
}

fn requests_of_several_threads() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let batcher = DynamicBatcher::new(Arc::clone(&model), vec![3, 32, 32], None, &outputs)?;
    assert!(batcher.max_batch().is_power_of_two());
    let (sender, receiver) = mpsc::channel::<(usize, Result<Vec<OutputTensor>, ocelli_gpu::Error>)>();
    let counts = [0, 1, 2, 3, 7, 16, 40, 1, 300];
    std::thread::scope(|scope| {
        for count in counts {
            let (batcher, outputs, sender) = (&batcher, &outputs, sender.clone());
            scope.spawn(move || {
                let done = move |results| sender.send((count, results)).expect("the receiver is alive");
                batcher.push(request(images(count), count, outputs), Box::new(done));
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
        let alone = run(&model, &outputs, &images(count))?;
        let worst = max_difference(&results[0].values, &alone);
        assert!(worst < 1e-6 && results[0].values.len() == alone.len(), "{count}: {worst}");
    }
    Ok(())
}

fn a_fixed_batch_is_padded() -> Result<(), Box<dyn Error>> {
    let graph = graph("fixed-four")?;
    let outputs = graph.outputs().to_vec();
    let model = Arc::new(Model::new(device()?, graph, Precision::F32)?);
    let batcher = DynamicBatcher::new(Arc::clone(&model), vec![3, 32, 32], Some(4), &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("the receiver is alive");
    batcher.push(request(images(6), 6, &outputs), Box::new(done));
    let six = receiver.recv()??.remove(0);
    assert_eq!(six.shape, [6, 3]);
    let four = run(&model, &outputs, &images(6)[..4 * 3 * 32 * 32])?;
    assert!(max_difference(&six.values[..four.len()], &four) < 1e-6);
    // A cancelled request is not run, and its completion is dropped.
    let (sender, receiver) = mpsc::channel();
    let cancelled = BatchRequest { is_cancelled: Arc::new(|| true), ..request(images(1), 1, &outputs) };
    batcher.push(cancelled, Box::new(move |results| sender.send(results).expect("the receiver is alive")));
    assert!(receiver.recv().is_err());
    Ok(())
}

/// The row of an intermediate tensor is just over half of the buffer limit: one row fits, two do not.
fn an_oversized_batch_is_split() -> Result<(), Box<dyn Error>> {
    let device = device()?;
    let max_elements = usize::try_from(device.max_buffer_size() / 4)?;
    let graph = Arc::new(Graph::parse(&onnx::expanded_and_reduced(max_elements / 2 + 1), &[])?);
    let outputs = graph.outputs().to_vec();
    let model = Arc::new(Model::new(device, graph, Precision::F32)?);
    let values = [1.0, 2.0, 3.0];
    let error =
        model.run(&[Input { shape: vec![2, 1], chunks: vec![&values[..2]] }], &outputs).expect_err("it is too large");
    assert!(error.is_memory_limit() && error.to_string().contains("exceeds the GPU's limit of"), "{error}");
    let batcher = DynamicBatcher::new(model, vec![1], None, &outputs)?;
    let (sender, receiver) = mpsc::channel();
    let done = move |results| sender.send(results).expect("the receiver is alive");
    batcher.push(request(values.to_vec(), 3, &outputs), Box::new(done));
    let sums = receiver.recv()??.remove(0);
    assert_eq!((sums.shape, sums.values), (vec![3, 1], values.to_vec()));
    Ok(())
}

fn unsupported_operators_are_named() -> Result<(), Box<dyn Error>> {
    let error = Model::new(device()?, graph("unknown")?, Precision::F32).expect_err("it is not supported").to_string();
    assert!(error.starts_with("operator example.com.Sparkle ('"), "{error}");
    assert!(error.ends_with("'): the GPU backend does not support it"), "{error}");
    Ok(())
}

fn invalid_inputs_are_named() -> Result<(), Box<dyn Error>> {
    let (model, outputs) = model(device()?)?;
    let run_error = |shape: Vec<usize>, values: &[f32], outputs: &[String]| {
        model.run(&[Input { shape, chunks: vec![values] }], outputs).expect_err("it is invalid").to_string()
    };
    assert_eq!(run_error(vec![1, 3], &[0.0; 2], &outputs), "input 'pixels' of shape [1, 3] got 2 elements");
    assert_eq!(
        run_error(vec![0, 3, 32, 32], &[], &outputs),
        "input 'pixels' has shape [0, 3, 32, 32], which is empty or has more than 2147483647 elements"
    );
    let error = run_error(vec![1, 3], &[0.0; 3], &outputs);
    assert!(error.ends_with("its input has shape [1, 3]; only 2-D convolutions are supported"), "{error}");
    assert_eq!(run_error(vec![1, 3, 32, 32], &images(1), &["nothing".to_owned()]), "the graph has no tensor 'nothing'");
    assert_eq!(model.run(&[], &outputs).expect_err("no input").to_string(), "the graph takes 1 inputs, got 0");
    Ok(())
}

/// Before opset 7, `axis` says where the second operand begins, and PRelu has one slope per channel.
fn opset_6_broadcasts_along_an_axis() -> Result<(), Box<dyn Error>> {
    use onnx::{Attribute, Constant};
    let constants = [
        ("shift", Constant::Floats(vec![2], vec![10.0, -10.0])),
        ("slope", Constant::Floats(vec![2], vec![0.5, 0.25])),
    ];
    let along_channels = vec![("broadcast", Attribute::Int(1)), ("axis", Attribute::Int(1))];
    let nodes = vec![
        ("Add", vec!["x", "shift"], vec!["shifted"], along_channels),
        ("PRelu", vec!["shifted", "slope"], vec!["y"], Vec::new()),
    ];
    let file = |opset| onnx::file(&[("x", &[1, 2, 2])], &constants, nodes.clone(), opset);
    let run = |opset| -> Result<Vec<f32>, Box<dyn Error>> {
        let model = Model::new(device()?, Graph::parse(&file(opset), &[])?.into(), Precision::F32)?;
        let values = [1.0, -30.0, 3.0, 14.0];
        let input = Input { shape: vec![1, 2, 2], chunks: vec![&values[..]] };
        Ok(model.run(&[input], &["y".to_owned()])?.remove(0).values)
    };
    // Channels are rows here: 1 + 10, -30 + 10 with slope 0.5, 3 - 10 with slope 0.25, 14 - 10.
    assert_eq!(run(6)?, [11.0, -10.0, -1.75, 4.0]);
    // Since opset 7, operands are aligned with the last axis: 1 + 10, -30 - 10 with slope 0.25, 3 + 10, 14 - 10.
    assert_eq!(run(7)?, [11.0, -10.0, 13.0, 4.0]);
    Ok(())
}
