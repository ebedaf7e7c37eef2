//! `image_width(image)`: its width in pixels.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::function::{OneImage, map_images};
use crate::image::probe;

const NAME: &str = "image_width";

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        OneImage::udf(
            NAME,
            DataType::UInt32,
            run,
            "The width in pixels of an encoded image as it is displayed, that is after its EXIF orientation. Reads the header only. \
             NULL for NULL, an error for bytes that are no image.",
            "SELECT uri, image_width(image) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: ScalarFunctionArgs) -> Result<ColumnarValue> {
    map_images::<_, UInt32Array>(NAME, args, |bytes| probe(bytes).map(|header| Some(header.width)))
}
