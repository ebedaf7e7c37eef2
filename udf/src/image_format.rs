//! `image_format(image)`: the file format of an encoded image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::function::{OneImage, map_images};
use crate::image::probe;

const NAME: &str = "image_format";

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        OneImage::udf(
            NAME,
            DataType::Utf8,
            run,
            "The file format of an encoded image: 'jpeg', 'png', 'webp', 'gif', 'bmp' or 'tiff'. NULL when the bytes do \
             not start as an image does. Reads the header only: an image that is cut off has a format.",
            "SELECT uri FROM 'examples/data/mixed.parquet' WHERE image_format(image) IS NULL",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: ScalarFunctionArgs) -> Result<ColumnarValue> {
    map_images::<_, StringArray>(NAME, args, |bytes| Ok(probe(bytes).ok().map(|header| header.format)))
}
