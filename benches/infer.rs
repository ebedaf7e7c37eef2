//! `SELECT classify(image)` over Parquet, beside the bare model: `cargo bench -p ocelli-benches --bench infer`
//!
//! - Small pictures, where the model is all: beside the model alone, on tensors that are in memory.
//! - Photographs, where decoding counts: beside decoding them all on all cores, and then the model.

mod compare;

use std::io::Cursor;
use std::sync::Arc;

use compare::compare;
use datafusion::arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch};
use futures::TryStreamExt;
use image::codecs::jpeg::JpegEncoder;
use ocelli::Ocelli;
use ocelli_udf::image::{Filter, decode, resize};
use rayon::prelude::*;
use rten::Model;
use rten_tensor::NdTensorView;
use tokio::runtime::Runtime;

const SIDE: u32 = 32;
const PICTURE: usize = 3 * (SIDE * SIDE) as usize;
/// How often the twelve example pictures are repeated.
const REPEATS: usize = 100;
/// What the bare model is fastest with (8, 16, 32 and 64 were tried on two cores).
const BATCH: usize = 16;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    std::env::set_current_dir("..")?;
    let runtime = Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let photos = runtime.block_on(photos())?;
    let small = photos.iter().map(|bytes| thumbnail(bytes)).collect::<Result<Vec<_>, _>>()?;
    let model = Model::load_file("engine/src/models/resnet20-cifar10/model.onnx")?;

    let images = photos.len() * REPEATS;
    let tensors = tensors(&small);
    let file = folder.path().join("small.parquet").display().to_string();
    let sql = query(&runtime, &small, &file)?;
    let job = format!("classify {images} pictures of {SIDE} x {SIDE}");
    compare(&job, "images", images, ("model alone", || run(&model, &tensors)), ("through SQL", sql));

    let file = folder.path().join("photos.parquet").display().to_string();
    let sql = query(&runtime, &photos, &file)?;
    let plain = || run(&model, &self::tensors(&photos));
    let job = format!("classify {images} photographs of about 360 x 300");
    compare(&job, "images", images, ("decode, then model", plain), ("through SQL", sql));
    Ok(())
}

/// The encoded pictures of the example.
async fn photos() -> Result<Vec<Vec<u8>>, Failure> {
    let batches =
        Ocelli::builder().build()?.sql("SELECT image FROM 'examples/data/photos.parquet'").await?.collect().await?;
    let images = batches.iter().flat_map(|batch| batch.column(0).as_binary_view().iter().flatten());
    Ok(images.map(<[u8]>::to_vec).collect())
}

/// A JPEG of 32 x 32 pixels.
fn thumbnail(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let image = resize(&decode(bytes, u64::MAX)?, SIDE, SIDE, Filter::Bilinear);
    let mut out = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut out, 90).encode(&image.data, SIDE, SIDE, image::ExtendedColorType::Rgb8)?;
    Ok(out.into_inner())
}

/// The pictures, [`REPEATS`] times, decoded and scaled on all cores, one behind the other.
fn tensors(pictures: &[Vec<u8>]) -> Vec<f32> {
    let mut tensors = vec![0.0; pictures.len() * REPEATS * PICTURE];
    tensors.par_chunks_mut(PICTURE).enumerate().for_each(|(number, tensor)| {
        let image = decode(&pictures[number % pictures.len()], u64::MAX).expect("a picture");
        let image = resize(&image, SIDE, SIDE, Filter::Bilinear);
        // The numbers do not matter for speed, their layout does.
        for (channel, plane) in tensor.chunks_exact_mut(PICTURE / 3).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(image.data.chunks_exact(3)) {
                *value = f32::from(pixel[channel]) / 255.0 - 0.5;
            }
        }
    });
    tensors
}

/// The model over all tensors, on all cores.
fn run(model: &Model, tensors: &[f32]) {
    for batch in tensors.chunks(BATCH * PICTURE) {
        let shape = [batch.len() / PICTURE, 3, SIDE as usize, SIDE as usize];
        model.run_one(NdTensorView::from_data(shape, batch).into(), None).expect("the model runs");
    }
}

/// Writes the pictures, [`REPEATS`] times, to a Parquet file, and gives what classifies them.
fn query<'a>(runtime: &'a Runtime, pictures: &[Vec<u8>], file: &str) -> Result<impl FnMut() + use<'a>, Failure> {
    let ocelli = Ocelli::builder().build()?;
    // Equal bytes would be run once: each copy gets a number, behind the end of the picture.
    let repeated = pictures.iter().cycle().take(pictures.len() * REPEATS).enumerate();
    let numbered = repeated.map(|(number, bytes)| [bytes.as_slice(), &number.to_le_bytes()].concat());
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(numbered));
    ocelli.context().register_batch("pictures", RecordBatch::try_from_iter([("image", images)])?)?;
    runtime.block_on(async { ocelli.sql(&format!("COPY pictures TO '{file}'")).await?.collect().await })?;
    let (query, expected) = (format!("SELECT classify(image) FROM '{file}'"), pictures.len() * REPEATS);
    Ok(move || {
        let rows = runtime.block_on(async {
            let rows = ocelli.sql(&query).await?.execute_stream().await?;
            rows.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) }).await
        });
        assert_eq!(rows.expect("the query runs"), expected);
    })
}
