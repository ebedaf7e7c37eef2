//! `image_decode(image)`: its pixels.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image_function::{Call, ImageFunction, ImageInput};

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_decode", "image_decode(image [, on_error => 'null'])"),
            ImageInput::Pixels(&[]),
            decoded_type(),
            run,
            "The pixels of an image as it is displayed, a `STRUCT<width, height, channels, data>`: `data` holds rows from the top, \
             three bytes a pixel, red, green and blue. The functions that change, write and compare images take this, too, and need not decode it again.",
            "SELECT uri, image_decode(image)['width'] FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(call: &Call) -> Result<ArrayRef> {
    decoded_array(call.map(|_, pixels| Ok(pixels))?)
}
