//! `image_hash(image)`: a 64-bit perceptual hash.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image::{dhash, phash};
use crate::image_function::{ImageArgs, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "method",
    description: "The algorithm, a constant: 'phash' (discrete cosine transform) or 'dhash' (differences of adjacent pixels); default 'phash'",
    kind: ParameterKind::Enum(&["phash", "dhash"]),
}];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_hash", "image_hash(image [, method => 'phash'] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::UInt64,
            run,
            "A 64-bit perceptual hash: similar images have a small `hamming_distance`, whatever their sizes and formats. The bits \
             are those of Python's imagehash, which prints them in hexadecimal (like `to_hex`, but with leading zeros). They differ for \
             images with an EXIF orientation, which imagehash ignores.",
            "SELECT uri, to_hex(image_hash(image)) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    let hash = if args.string_arg(0) == Some("dhash") { dhash } else { phash };
    Ok(Arc::new(UInt64Array::from(args.map_decoded(|_, pixels| Ok(hash(&pixels)))?)))
}
