//! `classify(image [, model => 'name'])` and its twin `try_classify`: the label of the best class.
//!
//! The functions are planned like any other and run like none: [`LiftInfer`](crate::rules::LiftInfer) moves every call into
//! an operator of its own before a row is read.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;
use ocelli_udf::image::is_image_type;

use crate::error::Error;

/// A function that runs a model on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum InferFunction {
    Classify,
    TryClassify,
}

impl InferFunction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::TryClassify => "try_classify",
        }
    }

    /// A bad image is NULL, whatever the session says.
    pub(crate) fn is_try(self) -> bool {
        match self {
            Self::Classify => false,
            Self::TryClassify => true,
        }
    }

    pub(crate) fn return_type(self) -> DataType {
        match self {
            Self::Classify | Self::TryClassify => DataType::Utf8,
        }
    }

    /// One shared instance, so that equal calls are equal expressions.
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        static CLASSIFY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| InferUdf::shared(InferFunction::Classify));
        static TRY_CLASSIFY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| InferUdf::shared(InferFunction::TryClassify));
        Arc::clone(match self {
            Self::Classify => &CLASSIFY,
            Self::TryClassify => &TRY_CLASSIFY,
        })
    }

    /// The function that a call names, when it is one of these.
    pub(crate) fn of(function: &ScalarUDF) -> Option<Self> {
        function.inner().downcast_ref::<InferUdf>().map(|udf| udf.function)
    }

    fn documentation(self) -> &'static Documentation {
        static CLASSIFY: LazyLock<Documentation> = LazyLock::new(|| {
            document(
                "The label of the class that the model finds most likely. NULL for NULL. An image that cannot be decoded fails the \
                 query with a message that names it; `try_classify` and `SET ocelli.on_error = 'null'` give NULL instead.",
                "classify(image [, model => 'name'])",
                "SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet'",
            )
        });
        static TRY_CLASSIFY: LazyLock<Documentation> = LazyLock::new(|| {
            document(
                "Like `classify`, with NULL for an image that cannot be decoded.",
                "try_classify(image [, model => 'name'])",
                "SELECT uri, try_classify(image) AS label FROM 'examples/data/mixed.parquet'",
            )
        });
        match self {
            Self::Classify => &CLASSIFY,
            Self::TryClassify => &TRY_CLASSIFY,
        }
    }
}

fn document(description: &str, syntax: &str, example: &str) -> Documentation {
    Documentation::builder(DocSection { label: "Models", ..Default::default() }, description, syntax)
        .with_argument(
            "image",
            "An encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF): Binary, LargeBinary or BinaryView",
        )
        .with_argument("model", "The name of a model, a constant; `ocelli.model` when it is left out")
        .with_sql_example(example)
        .build()
}

/// What DataFusion sees of an [`InferFunction`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct InferUdf {
    function: InferFunction,
    signature: Signature,
}

impl InferUdf {
    fn shared(function: InferFunction) -> Arc<ScalarUDF> {
        // Types are judged in `return_field_from_args`, where an error keeps its own words. The model behind a name may
        // change between queries: stable, not immutable.
        let signature = Signature::new(TypeSignature::UserDefined, Volatility::Stable)
            .with_parameter_names(vec!["image", "model"])
            .unwrap_or_else(|_| Signature::user_defined(Volatility::Stable));
        Arc::new(Self { function, signature }.into())
    }

    fn arguments(&self, problem: String) -> Error {
        Error::Arguments { function: self.function.name(), problem }
    }
}

impl ScalarUDFImpl for InferUdf {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{} is typed by return_field_from_args", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let function = self.function.name();
        let (image, model) = match (args.arg_fields, args.scalar_arguments) {
            ([image], _) => (image, None),
            ([image, model], [_, value]) => (image, Some((model, value))),
            _ => return Err(self.arguments(format!("got {} arguments", args.arg_fields.len())).into()),
        };
        if !is_image_type(image.data_type()) {
            let actual = image.data_type().clone();
            let hint = if actual.is_string() { ", and does not read files by their names yet" } else { "" };
            return Err(Error::ImageType { function, actual, hint }.into());
        }
        match model {
            None | Some((_, Some(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_))))) => {}
            Some((_, Some(value))) => {
                return Err(self.arguments(format!("the model's name must be text, got {value}")).into());
            }
            Some((_, None)) => {
                return Err(self.arguments("the model's name must be written as text, in quotes".to_owned()).into());
            }
        }
        Ok(Arc::new(Field::new(function, self.function.return_type(), true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let reason = "a model is run by an operator of its own, and there is none for this place; \
                      compute the label in a subquery first";
        Err(Error::Misplaced { function: self.function.name(), reason }.into())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(self.function.documentation())
    }
}
