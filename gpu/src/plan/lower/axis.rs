//! Axes as ONNX gives them: negative values count from the end.

use crate::graph::Node;

/// The index of an axis of a tensor with `rank` axes, `None` if it is out of range. The indices of Gather count the same way.
pub(in crate::plan) fn axis_index(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// The attribute `axis` of a node.
pub(super) fn axis(node: &Node, rank: usize, default: i64) -> Option<usize> {
    axis_index(node.int("axis", default), rank)
}
