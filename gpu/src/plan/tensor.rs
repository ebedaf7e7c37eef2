//! [`Tensor`]: numbers on the device, and in which order their axes lie.

use super::Storage;
use crate::kernel::row_major_strides;

/// A tensor of the graph. All its numbers lie together, its axes in any order.
///
/// ```text
/// shape [2, 3, 32, 32] (as ONNX counts), order [0, 2, 3, 1]: the channels of a pixel lie side by side
/// ```
/// A transpose is another order, and moves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tensor {
    pub(crate) storage: Storage,
    /// As the graph counts.
    pub(crate) shape: Vec<usize>,
    /// The axes of the shape, the outermost in memory first.
    pub(crate) order: Vec<usize>,
}

/// Axes as the graph counts them.
pub(crate) fn counted(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// The numbers of a shape. What is more than a device counts is refused before anything is made of it.
pub(crate) fn saturated(shape: &[usize]) -> usize {
    shape.iter().fold(1, |len: usize, &dim| len.saturating_mul(dim))
}

/// How far apart the numbers of each axis are when a tensor is repeated to a shape that it fits: not at all where it is repeated.
pub(crate) fn spread(own: &[usize], strides: &[isize], shape: &[usize]) -> Vec<isize> {
    let missing = shape.len() - own.len();
    let stride = |axis: usize| match axis.checked_sub(missing) {
        Some(axis) if own[axis] > 1 => strides[axis],
        _ => 0,
    };
    (0..shape.len()).map(stride).collect()
}

/// The channels last, as convolutions want them.
pub(crate) const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

impl Tensor {
    pub(crate) fn len(&self) -> usize {
        saturated(&self.shape)
    }

    /// The dimensions as they lie.
    pub(crate) fn dims(&self) -> Vec<usize> {
        self.order.iter().map(|&axis| self.shape[axis]).collect()
    }

    /// How far apart the numbers of each axis of the shape are.
    pub(crate) fn strides(&self) -> Vec<isize> {
        let mut strides = vec![0; self.shape.len()];
        for (&axis, stride) in self.order.iter().zip(row_major_strides(&self.dims())) {
            strides[axis] = stride;
        }
        strides
    }

    /// Whether its numbers lie as those of that order do; axes of length 1 lie anywhere.
    pub(crate) fn lies_in(&self, order: &[usize]) -> bool {
        let long = |order: &[usize]| order.iter().copied().filter(|&axis| self.shape[axis] != 1).collect::<Vec<_>>();
        long(&self.order) == long(order)
    }

    /// The axes in another order, as ONNX's Transpose says it.
    pub(crate) fn transposed(&self, permutation: &[usize]) -> Self {
        let shape = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let new_axis = |old: usize| permutation.iter().position(|&axis| axis == old).unwrap_or(old);
        Self { storage: self.storage, shape, order: self.order.iter().map(|&axis| new_axis(axis)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_is_another_order() {
        let image = Tensor { storage: 0, shape: vec![2, 3, 4, 5], order: CHANNELS_LAST.to_vec() };
        assert_eq!((image.dims(), image.strides()), (vec![2, 4, 5, 3], vec![60, 1, 15, 3]));
        let turned = image.transposed(&[0, 2, 3, 1]);
        assert_eq!((turned.shape.clone(), turned.order.clone()), (vec![2, 4, 5, 3], vec![0, 1, 2, 3]));
        assert_eq!(turned.transposed(&[0, 3, 1, 2]), image);
        let pooled = Tensor { storage: 0, shape: vec![2, 3, 1, 1], order: CHANNELS_LAST.to_vec() };
        assert!(pooled.lies_in(&[0, 1, 2, 3]) && !image.lies_in(&[0, 1, 2, 3]));
    }
}
