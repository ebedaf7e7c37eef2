//! [`InferOutput`]: a column that an [`InferNode`](super::InferNode) appends.

use std::fmt;

use datafusion::arrow::datatypes::DataType;

use super::call::{InferCall, Task};
use crate::error::Error;
use crate::model::Model;
use crate::options::{OcelliOptions, OnError};

/// A column that the node appends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct InferOutput {
    pub(crate) name: String,
    pub(crate) value: OutputSpec,
}

/// The specification of an output. Equal specifications for the same image and model share a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct OutputSpec {
    pub(crate) task: Task,
    pub(crate) on_error: OnError,
    /// Errors are returned as data: `STRUCT<value, error>`.
    pub(crate) errors_as_struct: bool,
    pub(crate) data_type: DataType,
}

impl OutputSpec {
    /// The output of a call by a model.
    ///
    /// # Errors
    /// When the model does not support the task.
    pub(crate) fn new(call: &InferCall, options: &OcelliOptions, model: &Model) -> Result<Self, Error> {
        let on_error = call.on_error.unwrap_or(options.on_error);
        Ok(Self {
            task: call.task,
            on_error,
            errors_as_struct: call.errors_as_struct,
            data_type: call.data_type(model)?,
        })
    }

    /// Whether an invalid image fails the query.
    pub(crate) fn fails_query(&self) -> bool {
        self.on_error == OnError::Raise && !self.errors_as_struct
    }
}

/// `classify AS __infer_1`, or `try_classify AS …` if invalid images give NULL.
impl fmt::Display for InferOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, name) = (self.value.task, &self.name);
        match (self.value.errors_as_struct, self.value.on_error) {
            (true, _) => write!(f, "{task} with error AS {name}"),
            (false, OnError::Raise) => write!(f, "{task} AS {name}"),
            (false, OnError::Null) => write!(f, "try_{task} AS {name}"),
        }
    }
}
