//! [`OneImage`]: what the functions of one image share, which is everything but the arithmetic.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::image::{ImageColumn, ImageError, is_image_type};

/// A function of one encoded image.
#[derive(Debug)]
pub(crate) struct OneImage {
    name: &'static str,
    signature: Signature,
    return_type: DataType,
    run: fn(ScalarFunctionArgs) -> Result<ColumnarValue>,
    documentation: Documentation,
}

impl OneImage {
    /// `run` is [`map_images`] with the arithmetic; `example` is a whole query.
    pub(crate) fn udf(
        name: &'static str,
        return_type: DataType,
        run: fn(ScalarFunctionArgs) -> Result<ColumnarValue>,
        description: &str,
        example: &str,
    ) -> Arc<ScalarUDF> {
        let section = DocSection { label: "Images", ..Default::default() };
        let documentation = Documentation::builder(section, description, format!("{name}(image)"))
            .with_argument("image", "An encoded image: Binary, LargeBinary or BinaryView")
            .with_sql_example(example)
            .build();
        // Any type is let in, to be refused with a sentence of ours.
        let signature = Signature::new(TypeSignature::Any(1), Volatility::Immutable);
        Arc::new(Self { name, signature, return_type, run, documentation }.into())
    }
}

impl ScalarUDFImpl for OneImage {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [data_type] if is_image_type(data_type) => Ok(self.return_type.clone()),
            [other] => {
                plan_err!("{} takes an encoded image (Binary, LargeBinary or BinaryView), got {other}", self.name)
            }
            _ => plan_err!("{} takes 1 argument, got {}", self.name, arg_types.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.run)(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Each name is one function.
impl PartialEq for OneImage {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OneImage {}

impl Hash for OneImage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
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
    C: Array + FromIterator<Option<T>> + 'static,
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
            "{function} cannot read an image (row {} of a batch): {error}; \
             WHERE image_format(image) IS NULL AND image IS NOT NULL finds such rows",
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
