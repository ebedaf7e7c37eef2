//! `image_hash(image)`: 64 bits that are alike for images that look alike.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image::{dhash, phash};
use crate::image_function::{Call, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "method",
    about: "'phash' (frequencies of the discrete cosine transform) or 'dhash' (differences of neighbours), a constant; \
            'phash' when it is left out",
    kind: ParameterKind::OneOf(&["phash", "dhash"]),
}];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_hash", "image_hash(image [, method => 'phash'] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::UInt64,
            run,
            "A perceptual hash: the fewer bits differ between those of two images (`hamming_distance`), the more the images look \
             alike, whatever their sizes and formats. The bits are those of Python's imagehash, which shows them in \
             hexadecimal (`to_hex`, without zeros in front); some differ for JPEGs, whose decoders round differently, and images that are turned by their EXIF orientation.",
            "SELECT uri, to_hex(image_hash(image)) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(call: &Call) -> Result<ArrayRef> {
    let hash = if call.text(0) == Some("dhash") { dhash } else { phash };
    Ok(Arc::new(UInt64Array::from(call.map(|_, pixels| Ok(hash(&pixels)))?)))
}
