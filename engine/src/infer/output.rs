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
    pub(crate) value: InferValue,
}

/// What an output holds. Equal values of one image by one model are one column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct InferValue {
    pub(crate) task: Task,
    pub(crate) on_error: OnError,
    /// A bad image's error is data: `STRUCT<value, error>`.
    pub(crate) error: bool,
    pub(crate) data_type: DataType,
}

impl InferValue {
    /// What a call gives, by this model.
    ///
    /// # Errors
    /// When the model cannot do it.
    pub(crate) fn new(call: &InferCall, options: &OcelliOptions, model: &Model) -> Result<Self, Error> {
        let on_error = call.on_error.unwrap_or(options.on_error);
        Ok(Self { task: call.task, on_error, error: call.error, data_type: call.data_type(model)? })
    }

    /// Whether a bad image fails the query.
    pub(crate) fn raises(&self) -> bool {
        self.on_error == OnError::Raise && !self.error
    }
}

/// `classify AS __infer_1`, or `try_classify AS …` where bad images are NULL.
impl fmt::Display for InferOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, name) = (self.value.task, &self.name);
        match (self.value.error, self.value.on_error) {
            (true, _) => write!(f, "{task} with error AS {name}"),
            (false, OnError::Raise) => write!(f, "{task} AS {name}"),
            (false, OnError::Null) => write!(f, "try_{task} AS {name}"),
        }
    }
}
