//! [`ImageFunction`]: the [`ScalarUDFImpl`] of all image functions. Each function adds its parameters and its computation.

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

use crate::decoded::{DecodedImageArray, is_decoded_type};
use crate::image::{ImageError, RgbImage, decode, probe};
use crate::image_column::{ImageColumn, is_image_type};

/// A scalar function whose first argument is an image.
#[derive(Debug)]
pub(crate) struct ImageFunction {
    name: &'static str,
    syntax: &'static str,
    input: ImageInput,
    /// The parameters after the image.
    parameters: Vec<&'static Parameter>,
    return_type: DataType,
    run: fn(&ImageArgs) -> Result<ArrayRef>,
    signature: Signature,
    documentation: Documentation,
}

/// The part of the image that a function reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ImageInput {
    /// The header of an encoded image, which is the only argument.
    Header,
    /// The size of an encoded or decoded image, which is the only argument.
    Size,
    /// The pixels of an encoded or decoded image. The image is followed by these parameters and [`ON_ERROR`].
    Pixels(&'static [Parameter]),
}

impl ImageInput {
    /// The accepted types of the image, for error messages.
    fn accepted_types(self) -> &'static str {
        match self {
            Self::Header => "an encoded image (Binary, LargeBinary or BinaryView)",
            Self::Size | Self::Pixels(_) => "an encoded image (Binary, LargeBinary or BinaryView) or a decoded one",
        }
    }

    fn accepts(self, data_type: &DataType) -> bool {
        is_image_type(data_type) || (!matches!(self, Self::Header) && is_decoded_type(data_type))
    }
}

/// An optional parameter after the image. NULL is the same as an omitted argument.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) kind: ParameterKind,
}

/// The accepted values of a [`Parameter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    /// An integer, constant or not.
    Integer,
    /// One of these strings, which must be a constant. Upper and lower case are equal.
    Enum(&'static [&'static str]),
}

/// The last parameter of each function that reads pixels.
static ON_ERROR: Parameter = Parameter {
    name: "on_error",
    description: "The result for an invalid image, a constant: 'raise' (an error) or 'null'; by default the option `ocelli.on_error`",
    kind: ParameterKind::Enum(&["raise", "null"]),
};

impl ImageFunction {
    /// `run` computes the result of a batch; `example` is a complete query for the documentation.
    pub(crate) fn udf(
        (name, syntax): (&'static str, &'static str),
        input: ImageInput,
        return_type: DataType,
        run: fn(&ImageArgs) -> Result<ArrayRef>,
        description: &str,
        example: &str,
    ) -> Arc<ScalarUDF> {
        let section = DocSection { label: "Images", ..Default::default() };
        let (image_description, parameters): (_, Vec<&'static Parameter>) = match input {
            ImageInput::Header => ("An encoded image: Binary, LargeBinary or BinaryView", Vec::new()),
            ImageInput::Size => (
                "An encoded image (Binary, LargeBinary or BinaryView), or a decoded one, as returned by image_decode",
                Vec::new(),
            ),
            ImageInput::Pixels(parameters) => (
                "An encoded image (Binary, LargeBinary or BinaryView), or a decoded one, as returned by image_decode",
                parameters.iter().chain([&ON_ERROR]).collect(),
            ),
        };
        let documentation =
            Documentation::builder(section, description, syntax).with_argument("image", image_description);
        let documentation = parameters
            .iter()
            .fold(documentation, |builder, parameter| builder.with_argument(parameter.name, parameter.description))
            .with_sql_example(example)
            .build();
        // User-defined, so that `return_field_from_args` checks the types: its errors name the parameter.
        let names: Vec<&str> = ["image"].into_iter().chain(parameters.iter().map(|p| p.name)).collect();
        let signature = Signature::user_defined(Volatility::Immutable)
            .with_parameter_names(names)
            .unwrap_or_else(|_| Signature::user_defined(Volatility::Immutable));
        Arc::new(Self { name, syntax, input, parameters, return_type, run, signature, documentation }.into())
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
        // A run-end encoded column is expanded; `ImageColumn` reads the others.
        let expand = |data_type: &DataType| match data_type {
            DataType::RunEndEncoded(_, values) => values.data_type().clone(),
            other => other.clone(),
        };
        Ok(arg_types.iter().map(expand).collect())
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
            return plan_err!("{} takes {}, got {image}", self.name, self.input.accepted_types());
        }
        for (index, field) in rest.iter().enumerate() {
            let Some(parameter) = self.parameters.get(index) else {
                return plan_err!(
                    "{} takes {} arguments at most: {}",
                    self.name,
                    self.parameters.len() + 1,
                    self.syntax
                );
            };
            let (name, actual) = (parameter.name, field.data_type());
            match (parameter.kind, args.scalar_arguments.get(index + 1).copied().flatten()) {
                (_, Some(value)) if value.is_null() => {}
                (ParameterKind::Integer, _) if actual.is_integer() => {}
                (ParameterKind::Integer, _) => {
                    return plan_err!("{}: {name} must be an integer, got {actual}", self.name);
                }
                (ParameterKind::Enum(accepted), value) => {
                    let string = value.and_then(|value| value.try_as_str().flatten());
                    if !string.is_some_and(|string| accepted.iter().any(|name| name.eq_ignore_ascii_case(string))) {
                        let got = value.map_or("a column".to_owned(), ToString::to_string);
                        return plan_err!("{}: {name} must be one of {}, got {got}", self.name, accepted.join(", "));
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
        let values = rest.iter().enumerate().map(|(index, value)| {
            let Some(parameter) = self.parameters.get(index) else {
                return internal_err!("{} was planned with too many arguments", self.name);
            };
            ArgValue::try_new(self.name, parameter, value, rows)
        });
        // `ConfigOptions::entries` would format every option of DataFusion, for each batch.
        let extension = args.config_options.extensions.iter().find(|(prefix, _)| *prefix == "ocelli");
        let options = extension.map(|(_, options)| options.entries()).unwrap_or_default();
        let option = |name: &str| options.iter().find(|entry| entry.key == name)?.value.as_deref();
        let mut image_args = ImageArgs {
            name: self.name,
            image: image.to_array(rows)?,
            values: values.collect::<Result<_>>()?,
            null_on_error: option("ocelli.on_error") == Some("null"),
            max_pixels: option("ocelli.max_image_pixels")
                .and_then(|limit| limit.parse().ok())
                .unwrap_or(DEFAULT_MAX_PIXELS),
        };
        let on_error = self.parameters.len().checked_sub(1);
        if let Some(on_error) = on_error.and_then(|last| image_args.string_arg(last)) {
            image_args.null_on_error = on_error == "null";
        }
        let result = (self.run)(&image_args)?;
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Functions are equal if their names are.
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

/// The pixel limit of a session without the option `ocelli.max_image_pixels`.
const DEFAULT_MAX_PIXELS: u64 = 64_000_000;

/// The arguments of an [`ImageFunction`] for one batch.
pub(crate) struct ImageArgs {
    name: &'static str,
    image: ArrayRef,
    /// One for each argument after the image.
    values: Vec<ArgValue>,
    /// Invalid images give NULL instead of an error.
    null_on_error: bool,
    max_pixels: u64,
}

/// Why a function has no result for an image.
pub(crate) enum RowError {
    /// The image does not fit the call: subject to `on_error`.
    Image(String),
    /// An argument is invalid for every image.
    Argument(String),
}

impl From<String> for RowError {
    fn from(reason: String) -> Self {
        Self::Argument(reason)
    }
}

const PATH_ONLY: &str = "the image has a path but no bytes, and only the functions that run a model read files";

/// An argument after the image, as its [`ParameterKind`] requires.
enum ArgValue {
    Integer(UInt32Array),
    String(Option<String>),
}

impl ArgValue {
    fn try_new(function: &str, parameter: &Parameter, value: &ColumnarValue, rows: usize) -> Result<Self> {
        Ok(match (parameter.kind, value) {
            (ParameterKind::Integer, value) => {
                // Fails on overflow, as `cast_checked` in `engine` does; this crate cannot depend on `engine`.
                let strict = CastOptions { safe: false, ..Default::default() };
                match cast_with_options(&value.to_array(rows)?, &DataType::UInt32, &strict) {
                    Ok(integers) => Self::Integer(integers.as_primitive::<UInt32Type>().clone()),
                    Err(_) => {
                        let got = match value {
                            ColumnarValue::Scalar(value) => format!(", got {value}"),
                            ColumnarValue::Array(_) => String::new(),
                        };
                        return exec_err!(
                            "{function}: {} must be an integer from 0 to {}{got}",
                            parameter.name,
                            u32::MAX
                        );
                    }
                }
            }
            (ParameterKind::Enum(_), ColumnarValue::Scalar(value)) => {
                Self::String(value.try_as_str().flatten().map(str::to_lowercase))
            }
            (ParameterKind::Enum(_), ColumnarValue::Array(_)) => {
                return internal_err!("{} was planned as a constant", parameter.name);
            }
        })
    }
}

impl ImageArgs {
    /// Checks the size of an output image before memory is allocated for it.
    ///
    /// # Errors
    /// The message, if the size is empty or exceeds the pixel limit.
    pub(crate) fn check_pixel_limit(&self, width: u32, height: u32) -> std::result::Result<(), String> {
        match (u64::from(width) * u64::from(height), self.max_pixels) {
            (0, _) => Err(format!("size {width} x {height} is empty; width and height must be at least 1")),
            (pixels, limit) if pixels > limit => {
                Err(format!("{width} x {height} pixels are more than the limit of {limit} (ocelli.max_image_pixels)"))
            }
            _ => Ok(()),
        }
    }

    /// The integer argument `index` (0 is the first after the image) of a row; `None` if it is omitted or NULL.
    pub(crate) fn integer_arg(&self, index: usize, row: usize) -> Option<u32> {
        match self.values.get(index)? {
            ArgValue::Integer(integers) => integers.is_valid(row).then(|| integers.value(row)),
            ArgValue::String(_) => None,
        }
    }

    /// The string argument `index` (0 is the first after the image) in lower case; `None` if it is omitted or NULL.
    pub(crate) fn string_arg(&self, index: usize) -> Option<&str> {
        match self.values.get(index)? {
            ArgValue::String(string) => string.as_deref(),
            ArgValue::Integer(_) => None,
        }
    }

    /// Width and height of the image of each row; NULL images give NULL.
    ///
    /// # Errors
    /// The first encoded image whose header is invalid.
    pub(crate) fn sizes(&self) -> Result<Vec<Option<(u32, u32)>>> {
        match DecodedImageArray::new(&self.image) {
            Some(decoded) => Ok((0..self.image.len()).map(|row| decoded.size(row)).collect()),
            None => self.map_encoded(|bytes| probe(bytes).map(|header| Some((header.width, header.height)))),
        }
    }

    /// Applies `f` to the encoded image of each row and collects the results; NULL images give NULL.
    ///
    /// # Errors
    /// The first error of `f`, with its row.
    pub(crate) fn map_encoded<T, C: FromIterator<Option<T>>>(
        &self,
        f: impl Fn(&[u8]) -> std::result::Result<Option<T>, ImageError>,
    ) -> Result<C> {
        let Some(images) = ImageColumn::new(&self.image) else {
            return internal_err!("{} was planned with an argument of type {}", self.name, self.image.data_type());
        };
        let values = (0..self.image.len()).map(|row| match images.get(row).map(&f).transpose() {
            _ if images.is_path_only(row) => exec_err!("{} (row {} of a batch): {PATH_ONLY}", self.name, row + 1),
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

    /// Applies `f` to the index and the pixels of each row; NULL images give NULL.
    ///
    /// # Errors
    /// With the row: the first invalid image, unless invalid images give NULL, and the first invalid argument.
    pub(crate) fn map_decoded<T>(
        &self,
        f: impl Fn(usize, RgbImage) -> std::result::Result<T, RowError>,
    ) -> Result<Vec<Option<T>>> {
        let decoded = DecodedImageArray::new(&self.image);
        let encoded = ImageColumn::new(&self.image);
        let pixels = |row: usize| match (&decoded, &encoded) {
            (Some(decoded), _) => decoded.get(row),
            (None, Some(encoded)) if encoded.is_path_only(row) => Err(PATH_ONLY.to_owned()),
            (None, Some(encoded)) => {
                let decoded = encoded.get(row).map(|bytes| decode(bytes, self.max_pixels)).transpose();
                decoded.map_err(|error| error.to_string())
            }
            (None, None) => Ok(None),
        };
        let values = (0..self.image.len()).map(|row| match pixels(row) {
            Ok(None) => Ok(None),
            Ok(Some(pixels)) => match f(row, pixels) {
                Ok(value) => Ok(Some(value)),
                Err(RowError::Image(_)) if self.null_on_error => Ok(None),
                Err(RowError::Image(reason)) => exec_err!(
                    "{} (row {} of a batch): {reason}; use on_error => 'null' to return NULL",
                    self.name,
                    row + 1
                ),
                Err(RowError::Argument(reason)) => exec_err!("{} (row {} of a batch): {reason}", self.name, row + 1),
            },
            Err(_) if self.null_on_error => Ok(None),
            Err(reason) => exec_err!(
                "{} cannot decode an image (row {} of a batch): {reason}; use on_error => 'null' to return NULL",
                self.name,
                row + 1
            ),
        });
        values.collect()
    }
}
