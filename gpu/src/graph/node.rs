//! [`Node`]: one operator of a graph, with its attributes.

use std::collections::HashMap;

use super::Constant;
use crate::error::Error;

/// One operator.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) op: String,
    /// Empty for the standard operators.
    pub(crate) domain: String,
    pub(crate) name: String,
    /// An omitted input has an empty name.
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: HashMap<String, Attribute>,
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub(crate) enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Tensor(Constant),
    /// A subgraph, or an unknown attribute type.
    Other,
}

/// Whether a value of ONNX's `TensorProto.DataType` is a floating-point type: float, float16, double, bfloat16.
pub(crate) fn is_float_type(data_type: i64) -> bool {
    matches!(data_type, 1 | 10 | 11 | 16)
}

impl Node {
    /// The name of an input, `None` if it is omitted.
    pub(crate) fn input(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The error for an operator that is not supported, with the reason.
    pub(crate) fn unsupported(&self, reason: impl Into<String>) -> Error {
        let domain = if self.domain.is_empty() { String::new() } else { format!("{}.", self.domain) };
        let node = if self.name.is_empty() { self.outputs.first() } else { Some(&self.name) };
        Error::Unsupported {
            operator: format!("{domain}{}", self.op),
            node: node.cloned().unwrap_or_default(),
            reason: reason.into(),
        }
    }
}
