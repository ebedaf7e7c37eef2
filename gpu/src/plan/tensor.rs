//! [`PlannedTensor`]: a tensor on the device, with the order of its axes in memory.

use super::BufferId;
use crate::kernel::row_major_strides;

/// A dense tensor of the graph, whose axes may be in any order in memory.
///
/// ```text
/// shape [2, 3, 32, 32] (NCHW, as in ONNX), order [0, 2, 3, 1] (NHWC): the channels of a pixel are adjacent
/// ```
/// A transpose is a view: it changes the order and copies nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlannedTensor {
    pub(crate) buffer: BufferId,
    /// The shape in the graph.
    pub(crate) shape: Vec<usize>,
    /// The axes of the shape, the outermost in memory first.
    pub(crate) order: Vec<usize>,
}

/// The axis order of a row-major tensor.
pub(crate) fn row_major_order(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// The number of elements of a shape, saturating: shapes that are too large are rejected later.
pub(crate) fn num_elements_saturating(shape: &[usize]) -> usize {
    shape.iter().fold(1, |len: usize, &dim| len.saturating_mul(dim))
}

/// The strides of a tensor of shape `own` broadcast to `shape`: 0 along each broadcast axis.
pub(crate) fn broadcast_strides(own: &[usize], strides: &[isize], shape: &[usize]) -> Vec<isize> {
    let missing = shape.len() - own.len();
    let stride = |axis: usize| match axis.checked_sub(missing) {
        Some(axis) if own[axis] > 1 => strides[axis],
        _ => 0,
    };
    (0..shape.len()).map(stride).collect()
}

/// The shape of two operands broadcast together (ONNX, "Multidirectional Broadcasting").
pub(crate) fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let together = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (1, other) | (other, 1) => Some(other),
        (one, other) => (one == other).then_some(one),
    });
    together.collect()
}

/// The axis order of NHWC for a shape of NCHW.
pub(crate) const NHWC: [usize; 4] = [0, 2, 3, 1];

impl PlannedTensor {
    pub(crate) fn len(&self) -> usize {
        num_elements_saturating(&self.shape)
    }

    /// The dimensions in memory order.
    pub(crate) fn dims(&self) -> Vec<usize> {
        self.order.iter().map(|&axis| self.shape[axis]).collect()
    }

    /// The stride of each axis of the shape, in elements.
    pub(crate) fn strides(&self) -> Vec<isize> {
        let mut strides = vec![0; self.shape.len()];
        for (&axis, stride) in self.order.iter().zip(row_major_strides(&self.dims())) {
            strides[axis] = stride;
        }
        strides
    }

    /// Whether the memory layout equals that of `order`; axes of length 1 do not matter.
    pub(crate) fn is_layout(&self, order: &[usize]) -> bool {
        let long = |order: &[usize]| order.iter().copied().filter(|&axis| self.shape[axis] != 1).collect::<Vec<_>>();
        long(&self.order) == long(order)
    }

    /// The view that ONNX's Transpose with `permutation` gives.
    pub(crate) fn permuted(&self, permutation: &[usize]) -> Self {
        let shape = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let new_axis = |old: usize| permutation.iter().position(|&axis| axis == old).unwrap_or(old);
        Self { buffer: self.buffer, shape, order: self.order.iter().map(|&axis| new_axis(axis)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_is_a_view() {
        let image = PlannedTensor { buffer: 0, shape: vec![2, 3, 4, 5], order: NHWC.to_vec() };
        assert_eq!((image.dims(), image.strides()), (vec![2, 4, 5, 3], vec![60, 1, 15, 3]));
        let nhwc = image.permuted(&[0, 2, 3, 1]);
        assert_eq!((nhwc.shape.clone(), nhwc.order.clone()), (vec![2, 4, 5, 3], vec![0, 1, 2, 3]));
        assert_eq!(nhwc.permuted(&[0, 3, 1, 2]), image);
        let pooled = PlannedTensor { buffer: 0, shape: vec![2, 3, 1, 1], order: NHWC.to_vec() };
        assert!(pooled.is_layout(&[0, 1, 2, 3]) && !image.is_layout(&[0, 1, 2, 3]));
    }
}
