//! [`Node`]: one operator of a graph, and what its attributes say.

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
    /// An input that is left out has no name.
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
    /// A graph in the graph, or a kind that is not known.
    Other,
}

impl Node {
    /// The name of an input that is there.
    pub(crate) fn input(&self, number: usize) -> Option<&str> {
        self.inputs.get(number).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(crate) fn int(&self, name: &str, otherwise: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => *value,
            _ => otherwise,
        }
    }

    pub(crate) fn float(&self, name: &str, otherwise: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => otherwise,
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

    /// This operator is not one that runs here, for that reason.
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
