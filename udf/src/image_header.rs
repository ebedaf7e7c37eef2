//! `image_format(image)`, `image_height(image)` and `image_width(image)`: metadata from the header of an encoded image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, StringArray, UInt32Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image::probe;
use crate::image_function::{ImageArgs, ImageFunction, ImageInput};

/// `image_format(image)`
pub(crate) fn image_format() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_format", "image_format(image)"),
            ImageInput::Header,
            DataType::Utf8,
            format,
            "The file format of an encoded image: 'jpeg', 'png', 'webp', 'gif', 'bmp' or 'tiff'. NULL if the header is not \
             that of a supported image. Reads the header only: a truncated image has a format.",
            "SELECT uri FROM 'examples/data/mixed.parquet' WHERE image_format(image) IS NULL",
        )
    });
    Arc::clone(&UDF)
}

/// `image_height(image)`
pub(crate) fn image_height() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_height", "image_height(image)"),
            ImageInput::Size,
            DataType::UInt32,
            height,
            "The height of an image in pixels, after its EXIF orientation is applied. Reads the header only. NULL for \
             NULL, an error if the bytes are not an image.",
            "SELECT uri, image_height(image) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

/// `image_width(image)`
pub(crate) fn image_width() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_width", "image_width(image)"),
            ImageInput::Size,
            DataType::UInt32,
            width,
            "The width of an image in pixels, after its EXIF orientation is applied. Reads the header only. NULL for \
             NULL, an error if the bytes are not an image.",
            "SELECT uri, image_width(image) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn format(args: &ImageArgs) -> Result<ArrayRef> {
    let formats: StringArray = args.map_encoded(|bytes| Ok(probe(bytes).ok().map(|header| header.format)))?;
    Ok(Arc::new(formats))
}

fn height(args: &ImageArgs) -> Result<ArrayRef> {
    let heights: UInt32Array = args.sizes()?.into_iter().map(|size| size.map(|(_, height)| height)).collect();
    Ok(Arc::new(heights))
}

fn width(args: &ImageArgs) -> Result<ArrayRef> {
    let widths: UInt32Array = args.sizes()?.into_iter().map(|size| size.map(|(width, _)| width)).collect();
    Ok(Arc::new(widths))
}
