//! ResNet-50 on a GPU, by itself and through SQL: `OCELLI_BENCH_MODEL=resnet50.onnx cargo bench -p ocelli-benches --bench gpu`
//!
//! The model is written by `peers/models.py` or `tests/data/models/make.py --whole`; `OCELLI_GPU_ADAPTER` selects an adapter by
//! name. Each line has the achieved FLOP/s and memory traffic, to be compared with the ceilings of the card; the bandwidth of a plain
//! copy is printed first. `peers/gpu.py` runs the same model with PyTorch and ONNX Runtime on the same card.
//!
//! - `on the card`: inputs are resident on the device, nothing is uploaded or downloaded.
//! - `from memory`: 32-bit floats from many threads, converted and uploaded; the scores are downloaded.
//! - `from JPEG`: SQL over a Parquet file of distinct images, `OCELLI_BENCH_PHOTOS`.
//! - `sparse`: SpMV and SpMM of `ocelli-gpu`, which no query uses yet.
//! - `kernel`: with `OCELLI_BENCH_KERNELS` set, one line per kernel of the plan.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use ocelli::Ocelli;
use ocelli_gpu::{BatchRequest, Device, DynamicBatcher, Graph, Model, Precision, SparseMatrix};
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

/// The shape of an image.
const ITEM_SHAPE: [usize; 3] = [3, 224, 224];
const BATCHES: [usize; 4] = [1, 64, 128, 256];
/// How long each batch size is measured.
const SECONDS: f64 = 2.0;

fn main() -> Result<(), Failure> {
    let Ok(file) = std::env::var("OCELLI_BENCH_MODEL") else {
        println!("OCELLI_BENCH_MODEL is not set; see the module documentation of this bench");
        return Ok(());
    };
    let device = Device::shared(std::env::var("OCELLI_GPU_ADAPTER").ok().filter(|name| !name.is_empty()).as_deref())?;
    println!("{}", device.adapter());
    let bytes = (1_u64 << 30).min(device.max_buffer_size());
    println!(
        "a plain copy moves {:.0} GB/s (read and written)",
        2.0 * bytes as f64 / device.benchmark_copy(bytes)? / 1e9
    );
    let graph = Arc::new(Graph::parse(&std::fs::read(&file)?, &[])?);
    // Results on a software adapter are not meaningful: one batch size only checks that the bench runs.
    let batches = if device.adapter().is_software { &BATCHES[..1] } else { &BATCHES[..] };
    for precision in [Precision::F32, Precision::F16] {
        if precision == Precision::F16 && !device.adapter().has_f16 {
            continue;
        }
        let model = Arc::new(Model::new(Arc::clone(&device), Arc::clone(&graph), precision)?);
        let outputs = graph.outputs().to_vec();
        for &batch in batches {
            on_the_card(&model, &outputs, batch)?;
        }
        if std::env::var_os("OCELLI_BENCH_KERNELS").is_some() {
            let batch = batches[batches.len() - 1];
            for (kernel, seconds) in model.benchmark_kernels(&[[&[batch], &ITEM_SHAPE[..]].concat()], &outputs)? {
                println!("{:<4} kernel {:>9.1} us  {kernel}", precision.name(), seconds * 1e6);
            }
        }
        from_memory(&model, &outputs)?;
    }
    sparse(&device)?;
    match std::env::var("OCELLI_BENCH_PHOTOS") {
        Ok(photos) => ["f32", "f16"].into_iter().try_for_each(|precision| from_jpeg(&file, &photos, precision)),
        Err(_) => Ok(()),
    }
}

fn on_the_card(model: &Model, outputs: &[String], batch: usize) -> Result<(), Failure> {
    let shapes = [[&[batch], &ITEM_SHAPE[..]].concat()];
    // The first run compiles and tunes the kernels and uploads the weights.
    let mut seconds = model.benchmark(&shapes, outputs, 1)?;
    let begin = Instant::now();
    let mut runs = 1;
    while begin.elapsed().as_secs_f64() < SECONDS {
        seconds = seconds.min(model.benchmark(&shapes, outputs, runs)?);
        runs = ((0.2 / seconds) as usize).clamp(1, 100);
    }
    let work = model.estimate_work(&shapes, outputs)?;
    println!(
        "{:<4} batch {batch:<4} on the card   {:>9.0} images/s  {:>7.2} TFLOP/s  {:>6.0} GB/s  {} kernels",
        model.precision().name(),
        batch as f64 / seconds,
        work.flops / seconds / 1e12,
        work.bytes / seconds / 1e9,
        work.num_kernels,
    );
    Ok(())
}

/// As queries do: requests of 16 images from one thread per core.
fn from_memory(model: &Arc<Model>, outputs: &[String]) -> Result<(), Failure> {
    const REQUEST_ITEMS: usize = 16;
    let batcher = DynamicBatcher::new(Arc::clone(model), ITEM_SHAPE.to_vec(), None, outputs)?;
    let requests: usize = if model.device().adapter().is_software { 1 } else { 1024 };
    let threads = thread::available_parallelism()?.get();
    // Requests in flight per thread: enough to keep the card busy within the memory of the machine.
    const MAX_PENDING: usize = 8;
    let run = |requests: usize| -> Result<f64, Failure> {
        let begin = Instant::now();
        let work = |thread: usize| -> Result<(), ocelli_gpu::Error> {
            let (sender, receiver) = mpsc::channel();
            let mut pending = 0;
            for _ in (thread..requests).step_by(threads) {
                let values = vec![0.5_f32; REQUEST_ITEMS * ITEM_SHAPE.iter().product::<usize>()];
                let is_cancelled = Arc::new(|| false);
                let request = BatchRequest { values, count: REQUEST_ITEMS, outputs: outputs.to_vec(), is_cancelled };
                let sender = sender.clone();
                let completion = move |result| sender.send(result).expect("the receiver is alive");
                batcher.push(request, Box::new(completion));
                pending += 1;
                if pending == MAX_PENDING {
                    receiver.recv().expect("the request completes")?;
                    pending -= 1;
                }
            }
            drop(sender);
            receiver.iter().try_for_each(|result| result.map(drop))
        };
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..threads).map(|index| scope.spawn(move || work(index))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })?;
        Ok(begin.elapsed().as_secs_f64())
    };
    run(requests.div_ceil(4))?;
    let seconds = run(requests)?;
    let rate = (requests * REQUEST_ITEMS) as f64 / seconds;
    println!("{:<4} up to {:<5}from memory   {rate:>9.0} images/s", model.precision().name(), batcher.max_batch());
    Ok(())
}

/// SpMV and SpMM of a random matrix, with uploads and downloads of the dense operands, compared with one CPU core.
fn sparse(device: &Arc<Device>) -> Result<(), Failure> {
    const NNZ_PER_ROW: usize = 16;
    let rows: usize = if device.adapter().is_software { 10_000 } else { 1_000_000 };
    let mut random = fastrand::Rng::with_seed(0);
    let row_offsets: Vec<u32> = (0..=rows).map(|row| (row * NNZ_PER_ROW) as u32).collect();
    let column_indices: Vec<u32> = (0..rows * NNZ_PER_ROW).map(|_| random.u32(0..rows as u32)).collect();
    let values: Vec<f32> = (0..rows * NNZ_PER_ROW).map(|_| random.f32()).collect();
    let matrix = SparseMatrix::new(Arc::clone(device), &row_offsets, &column_indices, &values, rows)?;
    for columns in [1, 64] {
        let dense: Vec<f32> = (0..rows * columns).map(|_| random.f32()).collect();
        let best = |run: &dyn Fn() -> Result<Vec<f32>, Failure>| -> Result<f64, Failure> {
            let mut best = f64::INFINITY;
            for _ in 0..4 {
                let begin = Instant::now();
                run()?;
                best = best.min(begin.elapsed().as_secs_f64());
            }
            Ok(best)
        };
        let ours = best(&|| Ok(matrix.multiply(&dense, columns)?))?;
        let core = best(&|| {
            let mut sums = vec![0.0; rows * columns];
            for (row, sums) in sums.chunks_exact_mut(columns).enumerate() {
                for entry in row_offsets[row] as usize..row_offsets[row + 1] as usize {
                    let dense_row = &dense[column_indices[entry] as usize * columns..][..columns];
                    sums.iter_mut().zip(dense_row).for_each(|(sum, value)| *sum += values[entry] * value);
                }
            }
            Ok(sums)
        })?;
        let rate = |seconds: f64| (rows * NNZ_PER_ROW * columns) as f64 / seconds / 1e6;
        println!("sparse x dense of {columns} columns: {:.0} M products/s, one core {:.0}", rate(ours), rate(core));
    }
    Ok(())
}

fn from_jpeg(model: &str, photos: &str, precision: &str) -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    let ocelli = Ocelli::builder().build()?;
    let options = format!("OPTIONS ('device' 'gpu', 'precision' '{precision}')");
    runtime.block_on(ocelli.sql(&format!("CREATE MODEL m STORED AS ONNX LOCATION '{model}' {options}")))?;
    let query = format!("SELECT count(classify(image, model => 'm')) FROM '{photos}'");
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let begin = Instant::now();
        runtime.block_on(async { ocelli.sql(&query).await?.collect().await })?;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    let count = runtime.block_on(async { ocelli.sql(&format!("SELECT 1 FROM '{photos}'")).await?.count().await })?;
    println!("{precision:<4} through SQL   from JPEG     {:>9.0} images/s", count as f64 / best);
    Ok(())
}
