//! `image_resize(image, width => 224, height => 224)`: the image in another size.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image::{Filter, resize};
use crate::image_function::{Call, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "width",
        about: "In pixels; in proportion to the height when it is left out",
        kind: ParameterKind::Whole,
    },
    Parameter {
        name: "height",
        about: "In pixels; in proportion to the width when it is left out",
        kind: ParameterKind::Whole,
    },
    Parameter {
        name: "resample",
        about: "Pillow's filter, a constant: 'nearest', 'box', 'bilinear', 'hamming', 'bicubic' or 'lanczos'; 'bicubic' when it is left out",
        kind: ParameterKind::OneOf(&["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]),
    },
];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            (
                "image_resize",
                "image_resize(image [, width => w] [, height => h] [, resample => 'bicubic'] [, on_error => 'null'])",
            ),
            ImageInput::Pixels(PARAMETERS),
            decoded_type(),
            run,
            "The image, decoded, in another size: the pixels of Pillow's `Image.resize`. With one of width and height the shape \
             stays; with both it need not.",
            "SELECT uri, image_encode(image_resize(image, width => 64), 'jpeg') FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(call: &Call) -> Result<ArrayRef> {
    let filter = call.text(2).and_then(Filter::from_name).unwrap_or(Filter::Bicubic);
    let resized = call.map(|row, pixels| {
        let (width, height) = match (call.whole(0, row), call.whole(1, row)) {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, in_proportion(width, pixels.height, pixels.width)),
            (None, Some(height)) => (in_proportion(height, pixels.width, pixels.height), height),
            (None, None) => return Err("it needs a width, a height or both".to_owned()),
        };
        call.is_allowed(width, height)?;
        Ok(resize(&pixels, width, height, filter))
    })?;
    decoded_array(resized)
}

/// `size * numerator / denominator`, to the nearest whole number above 0; 0 stays.
fn in_proportion(size: u32, numerator: u32, denominator: u32) -> u32 {
    let exact = f64::from(size) * f64::from(numerator) / f64::from(denominator);
    if size == 0 { 0 } else { exact.round().max(1.0) as u32 }
}
