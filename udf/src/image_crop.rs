//! `image_crop(image, x => 10, y => 10, width => 100, height => 100)`: a part of the image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image::{Filter, Region, Rgb, resize_region};
use crate::image_function::{Call, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "x", about: "Pixels to the left of the part; 0 when it is left out", kind: ParameterKind::Whole },
    Parameter { name: "y", about: "Rows above the part; 0 when it is left out", kind: ParameterKind::Whole },
    Parameter {
        name: "width",
        about: "Of the part, in pixels; to the right edge when it is left out",
        kind: ParameterKind::Whole,
    },
    Parameter {
        name: "height",
        about: "Of the part, in pixels; to the bottom when it is left out",
        kind: ParameterKind::Whole,
    },
];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            (
                "image_crop",
                "image_crop(image [, x => 0] [, y => 0] [, width => w] [, height => h] [, on_error => 'null'])",
            ),
            ImageInput::Pixels(PARAMETERS),
            decoded_type(),
            run,
            "A part of the image, decoded. A part that reaches beyond the image ends at its edge; one that lies outside of it is \
             an error.",
            "SELECT uri, image_crop(image, x => 16, y => 16, width => 64, height => 64) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(call: &Call) -> Result<ArrayRef> {
    let part = |row: usize, pixels: Rgb| {
        let (left, top) = (call.whole(0, row).unwrap_or(0), call.whole(1, row).unwrap_or(0));
        let across = pixels.width.checked_sub(left).filter(|across| *across > 0);
        let down = pixels.height.checked_sub(top).filter(|down| *down > 0);
        let (Some(across), Some(down)) = (across, down) else {
            return Err(format!("({left}, {top}) is outside of its {} x {} pixels", pixels.width, pixels.height));
        };
        let width = call.whole(2, row).unwrap_or(across).min(across);
        let height = call.whole(3, row).unwrap_or(down).min(down);
        call.is_allowed(width, height)?;
        let region = Region { left, top, width, height };
        Ok(resize_region(&pixels, pixels.width, pixels.height, region, Filter::Nearest))
    };
    decoded_array(call.map(part)?)
}
