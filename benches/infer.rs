//! `SELECT classify(image)` over a Parquet file, beside the bare model on tensors that are in memory:
//! `cargo bench -p ocelli-benches --bench infer`
//!
//! With `OCELLI_TEST_DATA` naming a folder that has `cifar10_test.parquet`, 2,000 of its small pictures too.

mod compare;

use std::path::Path;

use compare::compare;
use datafusion::arrow::array::AsArray;
use futures::TryStreamExt;
use ocelli::Ocelli;
use ocelli_udf::image::{Filter, decode, resize};
use rten::Model;
use rten_tensor::NdTensorView;

const SIDE: usize = 32;
const PICTURE: usize = 3 * SIDE * SIDE;
/// What the bare model is fastest with here (16, 32, 64 and 128 were tried).
const BATCH: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("photos.parquet").display().to_string();
    let photos = "SELECT p.image FROM 'examples/data/photos.parquet' p, range(100)";
    runtime.block_on(write(photos, &file))?;
    bench(&runtime, "1,200 photographs of about 360 x 300", &file)?;
    if let Some(data) = std::env::var_os("OCELLI_TEST_DATA") {
        let cifar = Path::new(&data).join("cifar10_test.parquet").display().to_string();
        let small = format!("SELECT image FROM '{cifar}' LIMIT 2000");
        let file = folder.path().join("small.parquet").display().to_string();
        runtime.block_on(write(&small, &file))?;
        bench(&runtime, "2,000 pictures of 32 x 32", &file)?;
    }
    Ok(())
}

async fn write(query: &str, file: &str) -> datafusion::error::Result<()> {
    Ocelli::builder().build()?.sql(&format!("COPY ({query}) TO '{file}'")).await?.collect().await?;
    Ok(())
}

fn bench(runtime: &tokio::runtime::Runtime, job: &str, file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let ocelli = Ocelli::builder().build()?;
    let tensors = runtime.block_on(tensors(&ocelli, file))?;
    let images = tensors.len() / PICTURE;
    let model = Model::load_file("engine/src/models/resnet20-cifar10/model.onnx")?;
    let bare = || {
        for batch in tensors.chunks(BATCH * PICTURE) {
            let shape = [batch.len() / PICTURE, 3, SIDE, SIDE];
            let view = NdTensorView::from_data(shape, batch);
            model.run_one(view.into(), None).expect("the model runs");
        }
    };
    let query = format!("SELECT classify(image) FROM '{file}'");
    let sql = || {
        let rows = runtime.block_on(async {
            let rows = ocelli.sql(&query).await?.execute_stream().await?;
            rows.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows()) }).await
        });
        assert_eq!(rows.expect("the query runs"), images);
    };
    compare(job, "images", images, ("bare model", bare), ("through SQL", sql));
    Ok(())
}

/// All pictures of a file, decoded and scaled, in one piece.
async fn tensors(ocelli: &Ocelli, file: &str) -> datafusion::error::Result<Vec<f32>> {
    let batches = ocelli.sql(&format!("SELECT image FROM '{file}'")).await?.collect().await?;
    let mut tensors = Vec::new();
    for batch in &batches {
        for bytes in batch.column(0).as_binary_view().iter().flatten() {
            let image = decode(bytes, u64::MAX).expect("a picture");
            let image = resize(&image, SIDE as u32, SIDE as u32, Filter::Bilinear);
            // The numbers do not matter for speed, their layout does.
            for channel in 0..3 {
                tensors.extend(image.data.iter().skip(channel).step_by(3).map(|&value| f32::from(value) / 255.0 - 0.5));
            }
        }
    }
    Ok(tensors)
}
