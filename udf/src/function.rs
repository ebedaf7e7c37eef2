//! What the functions of one image share: the type of their argument, and the loop over its rows.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, Signature, TypeSignature, Volatility};
use datafusion::scalar::ScalarValue;

use crate::image::{ImageColumn, ImageError, is_image_type};

/// One argument of any type. [`check_image`] judges it, in a sentence of ours.
pub(crate) fn one_image() -> Signature {
    Signature::new(TypeSignature::Any(1), Volatility::Immutable)
}

/// Accepts the types that hold encoded images.
pub(crate) fn check_image(function: &str, arg_types: &[DataType]) -> Result<()> {
    match arg_types {
        [data_type] if is_image_type(data_type) => Ok(()),
        [data_type] => {
            plan_err!("{function} takes an encoded image (Binary, LargeBinary or BinaryView), got {data_type}")
        }
        _ => plan_err!("{function} takes 1 argument, got {}", arg_types.len()),
    }
}

/// Applies `one` to each image and collects the values; NULL in, NULL out.
///
/// `C` is the Arrow array of the result.
pub(crate) fn map_images<T, C>(
    function: &str,
    args: ScalarFunctionArgs,
    one: impl Fn(&[u8]) -> std::result::Result<Option<T>, ImageError>,
) -> Result<ColumnarValue>
where
    C: datafusion::arrow::array::Array + FromIterator<Option<T>> + 'static,
{
    let is_scalar = matches!(args.args.as_slice(), [ColumnarValue::Scalar(_)]);
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let [array] = arrays.as_slice() else {
        return internal_err!("{function} was planned with {} arguments", arrays.len());
    };
    let Some(images) = ImageColumn::new(array) else {
        return internal_err!("{function} was planned with an argument of type {}", array.data_type());
    };
    let values = (0..array.len()).map(|row| match images.get(row).map(&one).transpose() {
        Ok(value) => Ok(value.flatten()),
        Err(error) => exec_err!(
            "{function} cannot read the image in row {} of a batch: {error}; \
             WHERE image_format(image) IS NOT NULL leaves out what is no image",
            row + 1
        ),
    });
    let values: ArrayRef = Arc::new(values.collect::<Result<C>>()?);
    Ok(if is_scalar {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
    } else {
        ColumnarValue::Array(values)
    })
}
