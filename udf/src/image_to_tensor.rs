//! `image_to_tensor(image)`: its pixels as numbers for a model.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float32Builder, ListBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::image_function::{Call, ImageFunction, ImageInput, Parameter, ParameterKind};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "layout",
    about: "'chw' for all red values, then green, then blue, or 'hwc' for pixel after pixel, a constant; 'chw' when it is left out",
    kind: ParameterKind::OneOf(&["chw", "hwc"]),
}];

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        ImageFunction::udf(
            ("image_to_tensor", "image_to_tensor(image [, layout => 'chw'] [, on_error => 'null'])"),
            ImageInput::Pixels(PARAMETERS),
            DataType::List(item()),
            run,
            "The pixels of an image as numbers from 0 to 1, for `predict`: torchvision's `to_tensor`. Images of one size have \
             lists of one length; `image_resize` makes them so.",
            "SELECT predict('resnet20-cifar10', image_to_tensor(image_resize(image, 32, 32))) FROM 'examples/data/photos.parquet'",
        )
    });
    Arc::clone(&UDF)
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

fn run(call: &Call) -> Result<ArrayRef> {
    let is_planar = call.text(0) != Some("hwc");
    let images = call.map(|_, pixels| {
        let scaled = |value: &u8| f32::from(*value) / 255.0;
        Ok(match is_planar {
            true => (0..3).flat_map(|channel| pixels.data.iter().skip(channel).step_by(3)).map(scaled).collect(),
            false => pixels.data.iter().map(scaled).collect::<Vec<f32>>(),
        })
    })?;
    let total: usize = images.iter().flatten().map(Vec::len).sum();
    if i32::try_from(total).is_err() {
        return exec_err!(
            "image_to_tensor: the {} images of a batch have {total} numbers, more than a column holds; resize them, or SET \
             datafusion.execution.batch_size to less",
            images.len()
        );
    }
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item());
    for image in images {
        match image {
            Some(numbers) => {
                lists.values().append_slice(&numbers);
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}
