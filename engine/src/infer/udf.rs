//! [`InferUdf`]: an [`InferFunction`] as a DataFusion scalar function.
//!
//! Calls are planned like those of any scalar function. [`LiftInfer`](super::rules::LiftInfer) then moves them into `Infer` nodes. A call
//! that is not lifted is evaluated here, on the thread that evaluates the expression: slower, and without metrics.
//! `SET ocelli.lift_infer = false` evaluates all calls this way.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::internal_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;
use ocelli_udf::is_image_type;

use super::call::{InferCall, Task};
use super::context::InferContext;
use super::function::InferFunction;
use super::scalar_eval::evaluate_scalar;
use crate::error::Error;
use crate::options::{DEFAULT_MODEL, OcelliOptions};

/// A function and the models that its calls can name.
#[derive(Debug)]
pub(crate) struct InferUdf {
    function: InferFunction,
    signature: Signature,
    documentation: LazyLock<Documentation, Box<dyn FnOnce() -> Documentation + Send>>,
    context: InferContext,
    /// The default model, `ocelli.model`: the return type can depend on it.
    model: String,
    /// Not bound to a session; see [`InferUdf::unbound`].
    is_unbound: bool,
}

impl InferUdf {
    pub(crate) fn new(function: InferFunction, context: InferContext, model: &str) -> Self {
        // User-defined: `return_field_from_args` checks the types, with our error messages. Stable, not immutable: the model
        // registered under a name can change between queries.
        let names: Vec<&str> = function.parameters().to_vec();
        let signature = Signature::new(TypeSignature::UserDefined, Volatility::Stable)
            .with_parameter_names(names)
            .unwrap_or_else(|_| Signature::user_defined(Volatility::Stable));
        let documentation: Box<dyn FnOnce() -> Documentation + Send> = Box::new(move || function.documentation());
        Self {
            function,
            signature,
            documentation: LazyLock::new(documentation),
            context,
            model: model.to_owned(),
            is_unbound: false,
        }
    }

    /// A function for expressions that are built before a session exists. It knows only the built-in model, and accepts the names of
    /// other models: the session resolves them.
    pub(crate) fn unbound(function: InferFunction, context: InferContext) -> Self {
        Self { is_unbound: true, ..Self::new(function, context, DEFAULT_MODEL) }
    }
}

impl InferFunction {
    /// The function wrapped by a DataFusion UDF. `None` if the UDF is not an [`InferUdf`].
    pub(crate) fn from_udf(function: &ScalarUDF) -> Option<Self> {
        function.inner().downcast_ref::<InferUdf>().map(|udf| udf.function)
    }
}

/// Compares the function only: the same call is the same expression in every session.
impl PartialEq for InferUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for InferUdf {}

impl Hash for InferUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
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
        let mut types = arg_types.to_vec();
        // Encoded strings and run-end encoded columns are expanded; `ImageColumn` reads the others.
        match types.first() {
            Some(DataType::RunEndEncoded(_, values)) => types[0] = values.data_type().clone(),
            Some(DataType::Dictionary(_, values)) if values.is_string() => types[0] = values.as_ref().clone(),
            _ => {}
        }
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{}: return_type is not implemented, use return_field_from_args", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some((image, _)) = args.arg_fields.split_first() else {
            let problem = "got 0 arguments".to_owned();
            return Err(Error::InvalidArguments { syntax: self.function.syntax(), problem }.into());
        };
        if !is_image_type(image.data_type()) && !image.data_type().is_string() {
            let actual = image.data_type().clone();
            return Err(Error::UnsupportedImageType { function: self.name().to_owned(), actual }.into());
        }
        let constants: Vec<Option<ScalarValue>> =
            args.scalar_arguments[1..].iter().map(|value| value.cloned()).collect();
        let call = InferCall::parse(self.function, &constants)?;
        let model = call.model.as_deref().unwrap_or(&self.model);
        let model = match (self.context.models.get(model), call.task) {
            (Ok(model), _) => model,
            // The return type does not depend on the model, which the session can resolve later.
            (Err(_), Task::Classify | Task::ClassifyLabels { .. } | Task::ClassifyTopk { .. }) if self.is_unbound => {
                self.context.models.get(DEFAULT_MODEL)?
            }
            (Err(error), _) => return Err(error.into()),
        };
        Ok(Arc::new(Field::new(self.name(), call.data_type(&model)?, true)))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let model = OcelliOptions::from_config(config).model;
        (model != self.model).then(|| Self::new(self.function, self.context.clone(), &model).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = OcelliOptions::from_config(&args.config_options);
        let Some((image, rest)) = args.args.split_first() else {
            return internal_err!("{} was planned without an image", self.name());
        };
        let constants = rest.iter().map(|argument| match argument {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        });
        let call = InferCall::parse(self.function, &constants.collect::<Vec<_>>())?;
        let images = match image {
            // Evaluated once, not once per row.
            ColumnarValue::Scalar(value) => value.to_array()?,
            ColumnarValue::Array(images) => Arc::clone(images),
        };
        let values = evaluate_scalar(&images, self.function, &call, &options, &self.context)?;
        Ok(match image {
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?),
            ColumnarValue::Array(_) => ColumnarValue::Array(values),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
