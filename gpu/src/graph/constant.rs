//! [`Constant`]: a tensor whose numbers are known when a graph is planned.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// Whole numbers are shapes and indices; all else is what a model computes with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Float(Arc<[f32]>),
    Int(Arc<[i64]>),
}

impl Constant {
    pub(crate) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, values: Values::Float(values.into()) }
    }

    pub(crate) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Self { shape, values: Values::Int(values.into()) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Float(values) => values.len(),
            Values::Int(values) => values.len(),
        }
    }

    /// Whether it is that one, or a copy of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.shape == other.shape
            && match (&self.values, &other.values) {
                (Values::Float(a), Values::Float(b)) => Arc::ptr_eq(a, b),
                (Values::Int(a), Values::Int(b)) => Arc::ptr_eq(a, b),
                _ => false,
            }
    }

    /// A number that equal ones share.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.shape.hash(&mut hasher);
        match &self.values {
            Values::Float(values) => values.iter().for_each(|value| value.to_bits().hash(&mut hasher)),
            Values::Int(values) => values.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// As numbers to compute with.
    pub(crate) fn to_floats(&self) -> Arc<[f32]> {
        match &self.values {
            Values::Float(values) => Arc::clone(values),
            Values::Int(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// As whole numbers, cut off behind the point.
    pub(crate) fn to_ints(&self) -> Arc<[i64]> {
        match &self.values {
            Values::Float(values) => values.iter().map(|&value| value as i64).collect(),
            Values::Int(values) => Arc::clone(values),
        }
    }

    /// The one number that there is.
    pub(crate) fn scalar(&self) -> Option<f32> {
        match &self.values {
            Values::Float(values) if values.len() == 1 => Some(values[0]),
            Values::Int(values) if values.len() == 1 => Some(values[0] as f32),
            _ => None,
        }
    }
}
