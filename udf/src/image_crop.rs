//! `image_crop(image, x => 10, y => 10, width => 100, height => 100)`: a rectangular region of an image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::decoded::{decoded_array, decoded_type};
use crate::image::{Region, Resampling, RgbImage, resize_region};
use crate::image_function::{ImageArgs, ImageFunction, ImageInput, Parameter, ParameterKind, RowError};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "x",
        description: "The left edge of the region, in pixels; default 0",
        kind: ParameterKind::Integer,
    },
    Parameter {
        name: "y",
        description: "The top edge of the region, in pixels; default 0",
        kind: ParameterKind::Integer,
    },
    Parameter {
        name: "width",
        description: "The width of the region, in pixels; by default it extends to the right edge of the image",
        kind: ParameterKind::Integer,
    },
    Parameter {
        name: "height",
        description: "The height of the region, in pixels; by default it extends to the bottom edge of the image",
        kind: ParameterKind::Integer,
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
            "A rectangular region of the image, decoded. The region is clipped to the image; an upper left corner outside the image \
             is an error, or NULL by `on_error`.",
            "SELECT uri, image_crop(image, x => 16, y => 16, width => 64, height => 64) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    let crop = |row: usize, pixels: RgbImage| {
        let (left, top) = (args.integer_arg(0, row).unwrap_or(0), args.integer_arg(1, row).unwrap_or(0));
        let max_width = pixels.width.checked_sub(left).filter(|width| *width > 0);
        let max_height = pixels.height.checked_sub(top).filter(|height| *height > 0);
        let (Some(max_width), Some(max_height)) = (max_width, max_height) else {
            return Err(RowError::Image(format!(
                "the corner ({left}, {top}) is outside the image of {} x {} pixels",
                pixels.width, pixels.height
            )));
        };
        let width = args.integer_arg(2, row).unwrap_or(max_width).min(max_width);
        let height = args.integer_arg(3, row).unwrap_or(max_height).min(max_height);
        args.check_pixel_limit(width, height)?;
        let region = Region { left, top, width, height };
        Ok(resize_region(&pixels, pixels.width, pixels.height, region, Resampling::Nearest))
    };
    decoded_array(args.map_decoded(crop)?)
}
