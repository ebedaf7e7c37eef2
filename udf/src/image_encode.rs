//! `image_encode(image, 'jpeg')`: a file of its pixels.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BinaryViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image::encode;
use crate::image_function::{Call, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "format",
        about: "'jpeg', 'png', 'webp' (without loss), 'gif', 'bmp' or 'tiff', a constant; 'png' when it is left out",
        kind: ParameterKind::OneOf(&["jpeg", "png", "webp", "gif", "bmp", "tiff"]),
    },
    Parameter {
        name: "quality",
        about: "Of a JPEG, from 1 to 100; 90 when it is left out",
        kind: ParameterKind::Whole,
    },
];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_encode", "image_encode(image [, format => 'png'] [, quality => 90] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::BinaryView,
            run,
            "A file of the image's pixels, without the metadata that its own file had.",
            "SELECT uri, image_encode(image, 'jpeg', quality => 75) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(call: &Call) -> Result<ArrayRef> {
    let format = call.text(0).unwrap_or("png");
    let files = call.map(|row, pixels| match call.whole(1, row).unwrap_or(90) {
        quality @ 1..=100 => encode(&pixels, format, quality as u8),
        quality => Err(format!("quality must be from 1 to 100, got {quality}")),
    })?;
    Ok(Arc::new(BinaryViewArray::from_iter(files)))
}
