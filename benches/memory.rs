//! Peak memory of a query for growing numbers of rows: `cargo bench -p ocelli-cli --bench memory`
//!
//! Each line is `ocelli --memory-limit 256MB` over a Parquet file of photographs; `RSS` is the peak resident set of the
//! process, including the program itself. Images of 40 megapixels follow, and, if `OCELLI_BENCH_MODELS` is the folder that
//! `peers/models.py` writes, a model of 100 MB with one worker thread and with two: its weights are loaded once.

mod peak_rss;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use image::codecs::jpeg::JpegEncoder;
use ocelli::Ocelli;
use ocelli_udf::image::{Resampling, decode, resize};
use tokio::runtime::Runtime;

use peak_rss::report;

/// Rows per row group. A reader holds two row groups per partition in memory, independent of the limit.
const GROUP: usize = 250;

type Failure = Box<dyn std::error::Error>;

const LIMIT: &[&str] = &["--memory-limit", "256MB"];

fn main() -> Result<(), Failure> {
    std::env::set_current_dir("..")?;
    let photos = Runtime::new()?.block_on(photos())?;
    let folder = tempfile::tempdir()?;
    for rows in [1_000, 10_000, 50_000] {
        let file = folder.path().join(format!("photos-{rows}.parquet"));
        write(&file, &photos, rows, GROUP)?;
        report(&format!("{rows} photographs"), LIMIT, &count(&file))?;
        std::fs::remove_file(file)?;
    }
    let large = enlarge(&photos[0], 7304, 5476)?;
    for rows in [2, 20] {
        let file = folder.path().join(format!("large-{rows}.parquet"));
        write(&file, std::slice::from_ref(&large), rows, 1)?;
        report(&format!("{rows} images of 40 megapixels"), LIMIT, &count(&file))?;
    }
    let Ok(models) = std::env::var("OCELLI_BENCH_MODELS") else { return Ok(()) };
    let file = folder.path().join("few.parquet");
    write(&file, &photos, 100, GROUP)?;
    for (backend, threads) in [("ort", "1"), ("ort", "2"), ("rten", "1"), ("rten", "2")] {
        let create = format!(
            "CREATE MODEL m STORED AS ONNX LOCATION '{models}/resnet50' OPTIONS ('backend' '{backend}'); SET ocelli.model = 'm'"
        );
        let what = format!("ResNet-50, {backend}, {threads} threads");
        report(&what, &["--memory-limit", "256MB", "--threads", threads], &format!("{create}; {}", count(&file)))?;
    }
    Ok(())
}

fn count(file: &Path) -> String {
    format!("SELECT count(classify(image)) FROM '{}'", file.display())
}

/// The example photographs, or larger ones from `OCELLI_TEST_DATA`.
async fn photos() -> Result<Vec<Vec<u8>>, Failure> {
    let file = match std::env::var("OCELLI_TEST_DATA") {
        Ok(folder) => format!("{folder}/photos_dev.parquet"),
        Err(_) => "examples/data/photos.parquet".to_owned(),
    };
    let batches = Ocelli::builder().build()?.sql(&format!("SELECT image FROM '{file}'")).await?.collect().await?;
    let images = batches.iter().flat_map(|batch| batch.column(0).as_binary_view().iter().flatten());
    Ok(images.map(<[u8]>::to_vec).collect())
}

/// Writes a Parquet file of `rows` images with distinct bytes.
fn write(file: &Path, images: &[Vec<u8>], rows: usize, group: usize) -> Result<(), Failure> {
    let schema = Arc::new(Schema::new(vec![Field::new("image", DataType::Binary, false)]));
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(file)?, Arc::clone(&schema), Some(properties))?;
    let ids: Vec<usize> = (0..rows).collect();
    for ids in ids.chunks(group) {
        let images = ids.iter().map(|id| {
            // Decoders ignore the id after the end of the image data.
            [images[id % images.len()].as_slice(), &id.to_le_bytes()].concat()
        });
        let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![images])?)?;
    }
    writer.close()?;
    Ok(())
}

fn enlarge(bytes: &[u8], width: u32, height: u32) -> Result<Vec<u8>, Failure> {
    let image = resize(&decode(bytes, u64::MAX)?, width, height, Resampling::Bilinear);
    let mut out = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut out, 90).encode(&image.data, width, height, image::ExtendedColorType::Rgb8)?;
    Ok(out.into_inner())
}
