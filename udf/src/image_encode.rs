//! `image_encode(image, 'jpeg')`: an image as a file of another format.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BinaryViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image::encode;
use crate::image_function::{ImageArgs, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "format",
        description: "The file format, a constant: 'jpeg', 'png', 'webp' (lossless), 'gif', 'bmp' or 'tiff'; default 'png'",
        kind: ParameterKind::Enum(&["jpeg", "png", "webp", "gif", "bmp", "tiff"]),
    },
    Parameter {
        name: "quality",
        description: "The JPEG quality, from 1 to 100; default 90",
        kind: ParameterKind::Integer,
    },
];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_encode", "image_encode(image [, format => 'png'] [, quality => 90] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::BinaryView,
            run,
            "The image encoded in a file format. Metadata of the original file is dropped.",
            "SELECT uri, image_encode(image, 'jpeg', quality => 75) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    let format = args.string_arg(0).unwrap_or("png");
    let files = args.map_decoded(|row, pixels| match args.integer_arg(1, row).unwrap_or(90) {
        quality @ 1..=100 => Ok(encode(&pixels, format, quality as u8)?),
        quality => Err(format!("quality must be from 1 to 100, got {quality}").into()),
    })?;
    Ok(Arc::new(BinaryViewArray::from_iter(files)))
}
