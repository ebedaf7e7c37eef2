//! ResNet-50 on a GPU, by itself and through SQL: `OCELLI_BENCH_MODEL=resnet50.onnx cargo bench -p ocelli-benches --bench gpu`
//!
//! The model is one of those that `peers/models.py` or `tests/data/models/make.py --whole` write; `OCELLI_GPU_ADAPTER` picks an
//! adapter by its name. Each line has what was done beside what the card can do: the flops of the products a second, the bytes
//! that the kernels move beside those of a plain copy. `peers/gpu.py` runs the same model with PyTorch and ONNX Runtime on the same card.
//!
//! - `on the card`: tensors that are there already, nothing is copied.
//! - `from memory`: 32-bit floats from many threads, converted, copied, run, and the scores read back.
//! - `from JPEG`: SQL over a Parquet file of pictures, `OCELLI_BENCH_PHOTOS`, each of them different.
//! - `sparse`: products of a sparse matrix, as `ocelli-gpu` has them and no query takes yet.
//! - `kernel`: one line a kernel of the plan with `OCELLI_BENCH_KERNELS` set: where the time goes.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use ocelli::Ocelli;
use ocelli_gpu::{Batcher, Device, Graph, Items, Model, Precision, SparseMatrix};
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

/// Numbers of a picture.
const ITEM: [usize; 3] = [3, 224, 224];
const BATCHES: [usize; 4] = [1, 64, 128, 256];
/// A pass is repeated for so long.
const SECONDS: f64 = 2.0;

fn main() -> Result<(), Failure> {
    let Ok(file) = std::env::var("OCELLI_BENCH_MODEL") else {
        println!("OCELLI_BENCH_MODEL says what is to be measured; see the first lines of this bench");
        return Ok(());
    };
    let device = Device::shared(std::env::var("OCELLI_GPU_ADAPTER").ok().filter(|name| !name.is_empty()).as_deref())?;
    println!("{}", device.adapter());
    let bytes = (1_u64 << 30).min(device.largest_buffer());
    println!(
        "a plain copy moves {:.0} GB/s (read and written)",
        2.0 * bytes as f64 / device.copy_seconds(bytes)? / 1e9
    );
    let graph = Arc::new(Graph::parse(&std::fs::read(&file)?, &[])?);
    // A software adapter is no card: one batch says that all of this runs.
    let batches = if device.adapter().is_software { &BATCHES[..1] } else { &BATCHES[..] };
    for precision in [Precision::F32, Precision::F16] {
        if precision == Precision::F16 && !device.adapter().has_f16 {
            continue;
        }
        let model = Arc::new(Model::new(Arc::clone(&device), Arc::clone(&graph), precision)?);
        let wanted = graph.outputs().to_vec();
        for &batch in batches {
            on_the_card(&model, &wanted, batch)?;
        }
        if std::env::var_os("OCELLI_BENCH_KERNELS").is_some() {
            let batch = batches[batches.len() - 1];
            for (kernel, seconds) in model.seconds_of_kernels(&[[&[batch], &ITEM[..]].concat()], &wanted)? {
                println!("{:<4} kernel {:>9.1} us  {kernel}", precision.name(), seconds * 1e6);
            }
        }
        from_memory(&model, &wanted)?;
    }
    sparse(&device)?;
    match std::env::var("OCELLI_BENCH_PHOTOS") {
        Ok(photos) => ["f32", "f16"].into_iter().try_for_each(|precision| from_jpeg(&file, &photos, precision)),
        Err(_) => Ok(()),
    }
}

fn on_the_card(model: &Model, wanted: &[String], batch: usize) -> Result<(), Failure> {
    let shapes = [[&[batch], &ITEM[..]].concat()];
    // The first passes compile the kernels, choose their tiles and bring the weights.
    let mut seconds = model.seconds(&shapes, wanted, 1)?;
    let begin = Instant::now();
    let mut passes = 1;
    while begin.elapsed().as_secs_f64() < SECONDS {
        seconds = seconds.min(model.seconds(&shapes, wanted, passes)?);
        passes = ((0.2 / seconds) as usize).clamp(1, 100);
    }
    let work = model.work(&shapes, wanted)?;
    println!(
        "{:<4} batch {batch:<4} on the card   {:>9.0} images/s  {:>7.2} TFLOP/s  {:>6.0} GB/s  {} kernels",
        model.precision().name(),
        batch as f64 / seconds,
        work.flops / seconds / 1e12,
        work.bytes / seconds / 1e9,
        work.kernels,
    );
    Ok(())
}

/// As queries do: jobs of 16 pictures from as many threads as there are cores.
fn from_memory(model: &Arc<Model>, wanted: &[String]) -> Result<(), Failure> {
    const JOB: usize = 16;
    let batcher = Batcher::new(Arc::clone(model), ITEM.to_vec(), None, wanted)?;
    let jobs: usize = if model.device().adapter().is_software { 1 } else { 1024 };
    let threads = thread::available_parallelism()?.get();
    // Enough for every thread to go on while the card is at work, and no more than a machine has room for.
    const AHEAD: usize = 8;
    let run = |jobs: usize| -> Result<f64, Failure> {
        let begin = Instant::now();
        let work = |number: usize| -> Result<(), ocelli_gpu::Error> {
            let (sender, receiver) = mpsc::channel();
            let mut ahead = 0;
            for _ in (number..jobs).step_by(threads) {
                let values = vec![0.5_f32; JOB * ITEM.iter().product::<usize>()];
                let is_wanted = Arc::new(|| true);
                let items = Items { values, count: JOB, wanted: wanted.to_vec(), is_wanted };
                let sender = sender.clone();
                let done = move |result| sender.send(result).expect("somebody waits");
                batcher.push(items, Box::new(done));
                ahead += 1;
                if ahead == AHEAD {
                    receiver.recv().expect("it is answered")?;
                    ahead -= 1;
                }
            }
            drop(sender);
            receiver.iter().try_for_each(|result| result.map(drop))
        };
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })?;
        Ok(begin.elapsed().as_secs_f64())
    };
    run(jobs.div_ceil(4))?;
    let seconds = run(jobs)?;
    let rate = (jobs * JOB) as f64 / seconds;
    println!("{:<4} up to {:<5}from memory   {rate:>9.0} images/s", model.precision().name(), batcher.largest_batch());
    Ok(())
}

/// A random matrix by a vector, and by a narrow dense one, which are copied there and back; and the same on one core.
fn sparse(device: &Arc<Device>) -> Result<(), Failure> {
    const ENTRIES: usize = 16;
    let rows: usize = if device.adapter().is_software { 10_000 } else { 1_000_000 };
    let mut random = fastrand::Rng::with_seed(0);
    let offsets: Vec<u32> = (0..=rows).map(|row| (row * ENTRIES) as u32).collect();
    let columns: Vec<u32> = (0..rows * ENTRIES).map(|_| random.u32(0..rows as u32)).collect();
    let values: Vec<f32> = (0..rows * ENTRIES).map(|_| random.f32()).collect();
    let matrix = SparseMatrix::new(Arc::clone(device), &offsets, &columns, &values, rows)?;
    for width in [1, 64] {
        let dense: Vec<f32> = (0..rows * width).map(|_| random.f32()).collect();
        let best = |run: &dyn Fn() -> Result<Vec<f32>, Failure>| -> Result<f64, Failure> {
            let mut best = f64::INFINITY;
            for _ in 0..4 {
                let begin = Instant::now();
                run()?;
                best = best.min(begin.elapsed().as_secs_f64());
            }
            Ok(best)
        };
        let ours = best(&|| Ok(matrix.multiply(&dense, width)?))?;
        let core = best(&|| {
            let mut sums = vec![0.0; rows * width];
            for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
                for entry in offsets[row] as usize..offsets[row + 1] as usize {
                    let factors = &dense[columns[entry] as usize * width..][..width];
                    sums.iter_mut().zip(factors).for_each(|(sum, factor)| *sum += values[entry] * factor);
                }
            }
            Ok(sums)
        })?;
        let rate = |seconds: f64| (rows * ENTRIES * width) as f64 / seconds / 1e6;
        println!("sparse x dense of {width} columns: {:.0} M products/s, one core {:.0}", rate(ours), rate(core));
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
