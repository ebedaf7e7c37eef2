//! `image_to_tensor(image)`: the pixels of an image as a float tensor.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float32Builder, ListBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image_function::{ImageArgs, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "layout",
    description: "The order of the dimensions, a constant: 'chw' (channel, row, column) or 'hwc' (row, column, channel); default 'chw'",
    kind: ParameterKind::Enum(&["chw", "hwc"]),
}];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_to_tensor", "image_to_tensor(image [, layout => 'chw'] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::List(item()),
            run,
            "The pixels of an image as floats from 0 to 1, as input of `predict`; the same as torchvision's `to_tensor`. A model with a \
             fixed input shape needs images of one size, as `image_resize` returns.",
            "SELECT predict('resnet20-cifar10', image_to_tensor(image_resize(image, 32, 32))) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

fn run(args: &ImageArgs) -> Result<ArrayRef> {
    let is_planar = args.string_arg(0) != Some("hwc");
    let images = args.map_decoded(|_, pixels| {
        let scaled = |value: &u8| f32::from(*value) / 255.0;
        Ok(match is_planar {
            true => (0..3).flat_map(|channel| pixels.data.iter().skip(channel).step_by(3)).map(scaled).collect(),
            false => pixels.data.iter().map(scaled).collect::<Vec<f32>>(),
        })
    })?;
    let total: usize = images.iter().flatten().map(Vec::len).sum();
    if i32::try_from(total).is_err() {
        return exec_err!(
            "image_to_tensor: the {} images of a batch have {total} elements, more than 32-bit list offsets can address; \
             resize them, or SET datafusion.execution.batch_size to less",
            images.len()
        );
    }
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item());
    for image in images {
        match image {
            Some(elements) => {
                lists.values().append_slice(&elements);
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}
