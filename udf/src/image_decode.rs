//! `image_decode(image)`: the pixels of an image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image_function::{ImageArgs, ImageFunction, ImageInput};

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_decode", "image_decode(image [, on_error => 'null'])"),
            ImageInput::Pixels(&[]),
            decoded_type(),
            run,
            "The pixels of an image, with its EXIF orientation applied, as `STRUCT<width, height, channels, data>`: `data` is 8-bit RGB \
             of shape `[height, width, 3]`. All image functions that read pixels also accept this struct, and then do not decode again.",
            "SELECT uri, image_decode(image)['width'] FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    decoded_array(args.map_decoded(|_, pixels| Ok(pixels))?)
}
