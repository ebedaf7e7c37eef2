//! `SELECT classify(image)` over Parquet, compared with the model alone: `cargo bench -p ocelli-benches --bench infer`
//!
//! - Small images, where the model dominates: compared with the model alone on tensors in memory.
//! - Photographs, where decoding matters: compared with decoding all of them on all cores and then running the model.
//! - The same with each model of the folder `OCELLI_BENCH_MODELS`, if it is set: `peers/models.py` writes ResNet-18 and -50.

mod compare;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use compare::compare;
use datafusion::arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch};
use futures::TryStreamExt;
use image::codecs::jpeg::JpegEncoder;
use ocelli::Ocelli;
use ocelli_udf::image::{Resampling, decode, resize};
use rayon::prelude::*;
use rten::Model;
use rten_tensor::NdTensorView;
use tokio::runtime::Runtime;

/// Repetitions of the twelve example images for the built-in model, and for larger models.
const REPEATS: usize = 100;
const FEW_REPEATS: usize = 5;

/// A model without SQL.
struct Bare {
    model: Model,
    /// Width and height of its images.
    side: u32,
    /// The fastest batch size of 1 to 64 on two cores.
    batch: usize,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    std::env::set_current_dir("..")?;
    let runtime = Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let photos = runtime.block_on(photos())?;
    let small = photos.iter().map(|bytes| thumbnail(bytes)).collect::<Result<Vec<_>, _>>()?;
    let builtin = Path::new("engine/src/models/resnet20-cifar10");
    let bare = Bare { model: Model::load_file(builtin.join("model.onnx"))?, side: 32, batch: 16 };

    let images = photos.len() * REPEATS;
    let tensors = bare.tensors(&small, REPEATS);
    let file = folder.path().join("small.parquet").display().to_string();
    let sql = query(&runtime, builtin, &small, REPEATS, &file)?;
    let job = format!("classify {images} images of 32 x 32");
    compare(&job, "images", images, ("model alone", || bare.run(&tensors)), ("through SQL", sql));

    photographs(&runtime, builtin, &bare, &photos, REPEATS)?;
    let Ok(models) = std::env::var("OCELLI_BENCH_MODELS") else { return Ok(()) };
    for name in ["resnet18", "resnet50"] {
        let model = Path::new(&models).join(name);
        let bare = Bare { model: Model::load_file(model.join("model.onnx"))?, side: 224, batch: 4 };
        photographs(&runtime, &model, &bare, &photos, FEW_REPEATS)?;
    }
    Ok(())
}

/// Decoding followed by the model, compared with both at once.
fn photographs(
    runtime: &Runtime,
    model: &Path,
    bare: &Bare,
    photos: &[Vec<u8>],
    repeats: usize,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("photos.parquet").display().to_string();
    let sql = query(runtime, model, photos, repeats, &file)?;
    let plain = || bare.run(&bare.tensors(photos, repeats));
    let (images, name) = (photos.len() * repeats, model.file_name().unwrap_or_default().to_string_lossy());
    let job = format!("classify {images} photographs of about 360 x 300 by {name}");
    compare(&job, "images", images, ("decode, then model", plain), ("through SQL", sql));
    Ok(())
}

/// The encoded example images.
async fn photos() -> Result<Vec<Vec<u8>>, Failure> {
    let batches =
        Ocelli::builder().build()?.sql("SELECT image FROM 'examples/data/photos.parquet'").await?.collect().await?;
    let images = batches.iter().flat_map(|batch| batch.column(0).as_binary_view().iter().flatten());
    Ok(images.map(<[u8]>::to_vec).collect())
}

/// A JPEG of 32 x 32 pixels.
fn thumbnail(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let image = resize(&decode(bytes, u64::MAX)?, 32, 32, Resampling::Bilinear);
    let mut out = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut out, 90).encode(&image.data, 32, 32, image::ExtendedColorType::Rgb8)?;
    Ok(out.into_inner())
}

impl Bare {
    /// Elements per preprocessed image.
    fn image_elements(&self) -> usize {
        3 * (self.side * self.side) as usize
    }

    /// The images, repeated `repeats` times, decoded and scaled on all cores into one tensor.
    fn tensors(&self, encoded: &[Vec<u8>], repeats: usize) -> Vec<f32> {
        let mut tensors = vec![0.0; encoded.len() * repeats * self.image_elements()];
        tensors.par_chunks_mut(self.image_elements()).enumerate().for_each(|(index, tensor)| {
            let image = decode(&encoded[index % encoded.len()], u64::MAX).expect("a valid image");
            let image = resize(&image, self.side, self.side, Resampling::Bilinear);
            // The values do not matter for speed, their layout does.
            for (channel, plane) in tensor.chunks_exact_mut(self.image_elements() / 3).enumerate() {
                for (value, pixel) in plane.iter_mut().zip(image.data.chunks_exact(3)) {
                    *value = f32::from(pixel[channel]) / 255.0 - 0.5;
                }
            }
        });
        tensors
    }

    /// The model over all tensors, on all cores.
    fn run(&self, tensors: &[f32]) {
        let side = self.side as usize;
        for batch in tensors.chunks(self.batch * self.image_elements()) {
            let shape = [batch.len() / self.image_elements(), 3, side, side];
            self.model.run_one(NdTensorView::from_data(shape, batch).into(), None).expect("the model runs");
        }
    }
}

/// Writes the images, repeated `repeats` times, to a Parquet file, and returns the query that classifies them.
fn query<'a>(
    runtime: &'a Runtime,
    model: &Path,
    encoded: &[Vec<u8>],
    repeats: usize,
    file: &str,
) -> Result<impl FnMut() + use<'a>, Failure> {
    let ocelli = Ocelli::builder().build()?;
    let model = model.to_str().ok_or("the folder of the model is not UTF-8")?;
    // The same backend as the model alone.
    runtime.block_on(ocelli.sql("SET ocelli.backend = 'rten'"))?;
    runtime.block_on(ocelli.register_model("bench", model))?;
    // Duplicate images are evaluated once: an id after the end of the image data makes each copy unique.
    let repeated = encoded.iter().cycle().take(encoded.len() * repeats).enumerate();
    let unique = repeated.map(|(id, bytes)| [bytes.as_slice(), &id.to_le_bytes()].concat());
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(unique));
    ocelli.context().register_batch("photos", RecordBatch::try_from_iter([("image", images)])?)?;
    runtime.block_on(async { ocelli.sql(&format!("COPY photos TO '{file}'")).await?.collect().await })?;
    let (query, expected) =
        (format!("SELECT classify(image, model => 'bench') FROM '{file}'"), encoded.len() * repeats);
    Ok(move || {
        let rows = runtime.block_on(async {
            let rows = ocelli.sql(&query).await?.execute_stream().await?;
            rows.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) }).await
        });
        assert_eq!(rows.expect("the query runs"), expected);
    })
}
