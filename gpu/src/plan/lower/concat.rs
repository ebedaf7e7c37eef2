//! Several tensors as one.

use super::Lowered;
use super::normalize::axis;
use crate::graph::Node;
use crate::kernel::{Copy, StridedLayout};
use crate::plan::planner::{Planner, Value};

/// Each part is copied to its place, in the order in which the first of them lies.
pub(super) fn concat(planner: &mut Planner, node: &Node) -> Lowered {
    let mut parts = Vec::new();
    for number in 0..node.inputs.len() {
        parts.push(planner.input(node, number)?);
    }
    // Constants lie as they are counted; what is computed is what counts.
    let computed = (0..parts.len()).find(|&number| matches!(planner.optional(node, number), Some(Value::Tensor(_))));
    let Some(first) = parts.get(computed.unwrap_or(0)).cloned() else {
        return Err(node.unsupported("it has no inputs"));
    };
    let Some(axis) = axis(node, first.shape.len(), 0) else {
        return Err(node.unsupported("it names an axis that is not there"));
    };
    let fits = |shape: &[usize]| {
        shape.len() == first.shape.len()
            && shape.iter().zip(&first.shape).enumerate().all(|(other, (a, b))| other == axis || a == b)
    };
    if let Some(other) = parts.iter().find(|part| !fits(&part.shape)) {
        return Err(node.unsupported(format!("{:?} and {:?} do not fit together", first.shape, other.shape)));
    }
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
    let whole = planner.room(shape.clone(), first.order.clone());
    let strides = whole.strides();
    let mut before = 0;
    for part in parts.iter().filter(|part| part.shape[axis] > 0) {
        let from = part.strides();
        let dims: Vec<usize> = first.order.iter().map(|&axis| part.shape[axis]).collect();
        let places = |strides: &[isize], offset: usize| StridedLayout {
            dims: dims.clone(),
            strides: first.order.iter().map(|&axis| strides[axis]).collect(),
            offset,
        };
        let kernel = Copy {
            src: places(&from, 0),
            dst: places(&strides, before * strides[axis].unsigned_abs()),
            zero_fill: None,
        };
        planner.copy(part.storage, kernel, part.len(), &whole);
        before += part.shape[axis];
    }
    Ok(vec![Value::Tensor(whole)])
}
