//! [`ImageFunction`]: what the functions of images share, which is everything but the arithmetic.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use datafusion::common::{exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::decoded::{Decoded, is_decoded_type};
use crate::image::{ImageError, Rgb, decode};
use crate::image_column::{ImageColumn, is_image_type};

/// A function of one image, and some constants or columns.
#[derive(Debug)]
pub(crate) struct ImageFunction {
    name: &'static str,
    syntax: &'static str,
    input: ImageInput,
    /// Those behind the image.
    parameters: Vec<&'static Parameter>,
    return_type: DataType,
    run: fn(&Call) -> Result<ArrayRef>,
    signature: Signature,
    documentation: Documentation,
}

/// What a function reads of its image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ImageInput {
    /// The header of an encoded image. There are no other arguments.
    Header,
    /// The pixels of an encoded or a decoded image. These arguments follow, and `on_error`.
    Pixels(&'static [Parameter]),
}

impl ImageInput {
    /// The types that the image may have, in words.
    fn types(self) -> &'static str {
        match self {
            Self::Header => "an encoded image (Binary, LargeBinary or BinaryView)",
            Self::Pixels(_) => "an encoded image (Binary, LargeBinary or BinaryView) or a decoded one",
        }
    }

    fn accepts(self, data_type: &DataType) -> bool {
        is_image_type(data_type) || (matches!(self, Self::Pixels(_)) && is_decoded_type(data_type))
    }
}

/// An argument behind the image. Each may be left out, or be NULL, which is the same.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: ParameterKind,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    /// A whole number, a column or a constant.
    Whole,
    /// One of these texts, a constant.
    OneOf(&'static [&'static str]),
}

/// Of every function of pixels, behind its own.
static ON_ERROR: Parameter = Parameter {
    name: "on_error",
    about: "What a bad image does, a constant: 'raise' an error, or give 'null'; `ocelli.on_error` when it is left out",
    kind: ParameterKind::OneOf(&["raise", "null"]),
};

impl ImageFunction {
    /// `run` does the arithmetic; `example` is a whole query.
    pub(crate) fn udf(
        (name, syntax): (&'static str, &'static str),
        input: ImageInput,
        return_type: DataType,
        run: fn(&Call) -> Result<ArrayRef>,
        description: &str,
        example: &str,
    ) -> Arc<ScalarUDF> {
        let section = DocSection { label: "Images", ..Default::default() };
        let (about, parameters): (_, Vec<&'static Parameter>) = match input {
            ImageInput::Header => ("An encoded image: Binary, LargeBinary or BinaryView", Vec::new()),
            ImageInput::Pixels(parameters) => (
                "An encoded image: Binary, LargeBinary or BinaryView; or a decoded one, as image_decode gives it",
                parameters.iter().chain([&ON_ERROR]).collect(),
            ),
        };
        let document = Documentation::builder(section, description, syntax).with_argument("image", about);
        let document = parameters
            .iter()
            .fold(document, |document, parameter| document.with_argument(parameter.name, parameter.about));
        let documentation = document.with_sql_example(example).build();
        // Types are judged in `return_field_from_args`, where an error keeps its own words.
        let signature = match input {
            ImageInput::Header => Signature::any(1, Volatility::Immutable),
            ImageInput::Pixels(_) => {
                let names: Vec<&str> = ["image"].into_iter().chain(parameters.iter().map(|p| p.name)).collect();
                let signature = Signature::user_defined(Volatility::Immutable).with_parameter_names(names);
                signature.unwrap_or_else(|_| Signature::user_defined(Volatility::Immutable))
            }
        };
        Arc::new(Self { name, syntax, input, parameters, return_type, run, signature, documentation }.into())
    }

    fn parameter(&self, number: usize) -> Option<&Parameter> {
        self.parameters.get(number).copied()
    }
}

impl ScalarUDFImpl for ImageFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{} is typed by return_field_from_args", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some((image, rest)) = args.arg_fields.split_first() else {
            return plan_err!("{} takes an image: {}", self.name, self.syntax);
        };
        let image = image.data_type();
        if !self.input.accepts(image) {
            return plan_err!("{} takes {}, got {image}", self.name, self.input.types());
        }
        for (number, field) in rest.iter().enumerate() {
            let Some(parameter) = self.parameter(number) else {
                return plan_err!(
                    "{} takes {} arguments at most: {}",
                    self.name,
                    self.parameters.len() + 1,
                    self.syntax
                );
            };
            let (name, actual) = (parameter.name, field.data_type());
            match (parameter.kind, args.scalar_arguments.get(number + 1).copied().flatten()) {
                (_, Some(value)) if value.is_null() => {}
                (ParameterKind::Whole, _) if actual.is_integer() => {}
                (ParameterKind::Whole, _) => {
                    return plan_err!("{}: {name} must be a whole number, got {actual}", self.name);
                }
                (ParameterKind::OneOf(known), value) => {
                    let text = value.and_then(|value| value.try_as_str().flatten());
                    if !text.is_some_and(|text| known.iter().any(|known| known.eq_ignore_ascii_case(text))) {
                        let got = value.map_or("a column".to_owned(), ToString::to_string);
                        return plan_err!("{}: {name} must be one of {}, got {got}", self.name, known.join(", "));
                    }
                }
            }
        }
        Ok(Arc::new(Field::new(self.name, self.return_type.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let Some((image, rest)) = args.args.split_first() else {
            return internal_err!("{} was planned without an image", self.name);
        };
        let values = rest.iter().enumerate().map(|(number, value)| {
            let Some(parameter) = self.parameter(number) else { return internal_err!("an argument too many") };
            Value::new(self.name, parameter, value, rows)
        });
        // Only those of Ocelli: `ConfigOptions::entries` writes out every option of DataFusion, for each batch.
        let extension = args.config_options.extensions.iter().find(|(prefix, _)| *prefix == "ocelli");
        let options = extension.map(|(_, options)| options.entries()).unwrap_or_default();
        let option = |name: &str| options.iter().find(|entry| entry.key == name)?.value.as_deref();
        let mut call = Call {
            name: self.name,
            image: image.to_array(rows)?,
            values: values.collect::<Result<_>>()?,
            bad_is_null: option("ocelli.on_error") == Some("null"),
            max_pixels: option("ocelli.max_image_pixels").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_PIXELS),
        };
        // `on_error` is the last one.
        if let Some(on_error) = self.parameters.len().checked_sub(1).and_then(|last| call.text(last)) {
            call.bad_is_null = on_error == "null";
        }
        let result = (self.run)(&call)?;
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Each name is one function.
impl PartialEq for ImageFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ImageFunction {}

impl Hash for ImageFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Larger images are bad ones, in a session without `ocelli.max_image_pixels`.
const MAX_PIXELS: u64 = 64_000_000;

/// A batch of rows.
pub(crate) struct Call {
    name: &'static str,
    image: ArrayRef,
    values: Vec<Value>,
    /// A bad image is NULL.
    bad_is_null: bool,
    max_pixels: u64,
}

/// What an argument is for a batch.
enum Value {
    Whole(UInt32Array),
    Text(Option<String>),
}

impl Value {
    fn new(function: &str, parameter: &Parameter, value: &ColumnarValue, rows: usize) -> Result<Self> {
        Ok(match (parameter.kind, value) {
            (ParameterKind::Whole, value) => {
                let strict = CastOptions { safe: false, ..Default::default() };
                match cast_with_options(&value.to_array(rows)?, &DataType::UInt32, &strict) {
                    Ok(numbers) => Self::Whole(numbers.as_primitive::<UInt32Type>().clone()),
                    Err(_) => {
                        let got = match value {
                            ColumnarValue::Scalar(value) => format!(", got {value}"),
                            ColumnarValue::Array(_) => String::new(),
                        };
                        return exec_err!("{function}: {} must be a whole number of 0 or more{got}", parameter.name);
                    }
                }
            }
            (ParameterKind::OneOf(_), ColumnarValue::Scalar(value)) => {
                Self::Text(value.try_as_str().flatten().map(str::to_lowercase))
            }
            (ParameterKind::OneOf(_), ColumnarValue::Array(_)) => {
                return internal_err!("{} was planned as a constant", parameter.name);
            }
        })
    }
}

impl Call {
    /// Whether a size is one that memory is given for.
    pub(crate) fn is_allowed(&self, width: u32, height: u32) -> std::result::Result<(), String> {
        match (u64::from(width) * u64::from(height), self.max_pixels) {
            (0, _) => Err(format!("{width} x {height} are no pixels")),
            (pixels, limit) if pixels > limit => {
                Err(format!("{width} x {height} pixels are more than the limit of {limit} (ocelli.max_image_pixels)"))
            }
            _ => Ok(()),
        }
    }

    /// A number for a row; `None` where it is left out.
    pub(crate) fn whole(&self, number: usize, row: usize) -> Option<u32> {
        match self.values.get(number)? {
            Value::Whole(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
            Value::Text(_) => None,
        }
    }

    /// A text in lower case; `None` where it is left out.
    pub(crate) fn text(&self, number: usize) -> Option<&str> {
        match self.values.get(number)? {
            Value::Text(text) => text.as_deref(),
            Value::Whole(_) => None,
        }
    }

    /// Applies `one` to each encoded image and collects the values; NULL in, NULL out.
    ///
    /// # Errors
    /// That of `one`, with its row.
    pub(crate) fn map_encoded<T, C: FromIterator<Option<T>>>(
        &self,
        one: impl Fn(&[u8]) -> std::result::Result<Option<T>, ImageError>,
    ) -> Result<C> {
        let Some(images) = ImageColumn::new(&self.image) else {
            return internal_err!("{} was planned with an argument of type {}", self.name, self.image.data_type());
        };
        let values = (0..self.image.len()).map(|row| match images.get(row).map(&one).transpose() {
            Ok(value) => Ok(value.flatten()),
            Err(error) => exec_err!(
                "{} cannot read an image (row {} of a batch): {error}; \
                 WHERE image_format(image) IS NULL AND image IS NOT NULL finds such rows",
                self.name,
                row + 1
            ),
        });
        values.collect()
    }

    /// Applies `one` to the pixels of each row; NULL in, NULL out.
    ///
    /// # Errors
    /// For a bad image, with its row, unless it is to be NULL; and what `one` says, which is always an error.
    pub(crate) fn map<T>(&self, one: impl Fn(usize, Rgb) -> std::result::Result<T, String>) -> Result<Vec<Option<T>>> {
        let decoded = Decoded::new(&self.image);
        let encoded = ImageColumn::new(&self.image);
        let pixels = |row: usize| match (&decoded, &encoded) {
            (Some(decoded), _) => decoded.get(row),
            (None, Some(encoded)) => {
                let decoded = encoded.get(row).map(|bytes| decode(bytes, self.max_pixels)).transpose();
                decoded.map_err(|error| error.to_string())
            }
            (None, None) => Ok(None),
        };
        let values = (0..self.image.len()).map(|row| match pixels(row) {
            Ok(None) => Ok(None),
            Ok(Some(pixels)) => match one(row, pixels) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => exec_err!("{} (row {} of a batch): {reason}", self.name, row + 1),
            },
            Err(_) if self.bad_is_null => Ok(None),
            Err(reason) => exec_err!(
                "{} cannot read an image (row {} of a batch): {reason}; on_error => 'null' gives NULL for it",
                self.name,
                row + 1
            ),
        });
        values.collect()
    }
}
