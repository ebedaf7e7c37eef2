//! [`Constant`]: a tensor that is known at plan time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A row-major tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: ConstantData,
}

/// Integers are shapes and indices; floats are what a model computes with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ConstantData {
    Float(Arc<[f32]>),
    Int(Arc<[i64]>),
}

impl Constant {
    pub(crate) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, values: ConstantData::Float(values.into()) }
    }

    pub(crate) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Self { shape, values: ConstantData::Int(values.into()) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            ConstantData::Float(values) => values.len(),
            ConstantData::Int(values) => values.len(),
        }
    }

    /// Whether both share their data.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && match (&self.values, &other.values) {
                (ConstantData::Float(a), ConstantData::Float(b)) => Arc::ptr_eq(a, b),
                (ConstantData::Int(a), ConstantData::Int(b)) => Arc::ptr_eq(a, b),
                _ => false,
            }
    }

    /// A hash of shape and contents.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.shape.hash(&mut hasher);
        match &self.values {
            ConstantData::Float(values) => values.iter().for_each(|value| value.to_bits().hash(&mut hasher)),
            ConstantData::Int(values) => values.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// The elements as floats.
    pub(crate) fn to_floats(&self) -> Arc<[f32]> {
        match &self.values {
            ConstantData::Float(values) => Arc::clone(values),
            ConstantData::Int(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// The elements as integers, truncated.
    pub(crate) fn to_ints(&self) -> Arc<[i64]> {
        match &self.values {
            ConstantData::Float(values) => values.iter().map(|&value| value as i64).collect(),
            ConstantData::Int(values) => Arc::clone(values),
        }
    }

    /// The value of a tensor with one element.
    pub(crate) fn scalar(&self) -> Option<f32> {
        match &self.values {
            ConstantData::Float(values) if values.len() == 1 => Some(values[0]),
            ConstantData::Int(values) if values.len() == 1 => Some(values[0] as f32),
            _ => None,
        }
    }
}
