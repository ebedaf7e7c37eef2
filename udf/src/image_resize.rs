//! `image_resize(image, width => 224, height => 224)`: an image scaled to another size.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image::{Resampling, resize};
use crate::image_function::{ImageArgs, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "width",
        description: "The new width, in pixels; by default proportional to the height",
        kind: ParameterKind::Integer,
    },
    Parameter {
        name: "height",
        description: "The new height, in pixels; by default proportional to the width",
        kind: ParameterKind::Integer,
    },
    Parameter {
        name: "resample",
        description: "Pillow's resampling filter, a constant: 'nearest', 'box', 'bilinear', 'hamming', 'bicubic' or 'lanczos'; default 'bicubic'",
        kind: ParameterKind::Enum(&["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]),
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
            "The image scaled to another size and decoded: the same pixels as Pillow's `Image.resize`. If only one of width and height \
             is given, the aspect ratio is preserved.",
            "SELECT uri, image_encode(image_resize(image, width => 64), 'jpeg') FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    let resampling = args.string_arg(2).and_then(Resampling::from_name).unwrap_or(Resampling::Bicubic);
    let resized = args.map_decoded(|row, pixels| {
        let (width, height) = match (args.integer_arg(0, row), args.integer_arg(1, row)) {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, scale_edge(width, pixels.height, pixels.width)),
            (None, Some(height)) => (scale_edge(height, pixels.width, pixels.height), height),
            (None, None) => return Err("width and height are both missing; pass at least one".to_owned().into()),
        };
        args.check_pixel_limit(width, height)?;
        Ok(resize(&pixels, width, height, resampling))
    })?;
    decoded_array(resized)
}

/// `size * numerator / denominator`, rounded, and at least 1 unless `size` is 0.
fn scale_edge(size: u32, numerator: u32, denominator: u32) -> u32 {
    let exact = f64::from(size) * f64::from(numerator) / f64::from(denominator);
    if size == 0 { 0 } else { exact.round().max(1.0) as u32 }
}
