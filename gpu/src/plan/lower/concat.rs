//! Concatenation.

use super::axis::axis;
use crate::graph::Node;
use crate::kernel::{Copy, StridedLayout};
use crate::plan::planner::{Lowered, PlanValue, Planner};

/// Copies each input to its offset in the output, which has the axis order of the first computed input.
pub(super) fn concat(planner: &mut Planner, node: &Node) -> Lowered {
    let mut parts = Vec::new();
    for index in 0..node.inputs.len() {
        parts.push(planner.input(node, index)?);
    }
    // Constants are row-major; the order of a computed input saves a copy.
    let computed = (0..parts.len()).find(|&index| matches!(planner.optional(node, index), Some(PlanValue::Tensor(_))));
    let Some(first) = parts.get(computed.unwrap_or(0)).cloned() else {
        return Err(node.unsupported("it has no inputs"));
    };
    let Some(axis) = axis(node, first.shape.len(), 0) else {
        return Err(node.unsupported("its axis is out of range"));
    };
    let fits = |shape: &[usize]| {
        shape.len() == first.shape.len()
            && shape.iter().zip(&first.shape).enumerate().all(|(other, (a, b))| other == axis || a == b)
    };
    if let Some(other) = parts.iter().find(|part| !fits(&part.shape)) {
        return Err(node.unsupported(format!(
            "shapes {:?} and {:?} differ in another axis than the concatenated one",
            first.shape, other.shape
        )));
    }
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
    let whole = planner.alloc(shape.clone(), first.order.clone());
    let strides = whole.strides();
    let mut before = 0;
    for part in parts.iter().filter(|part| part.shape[axis] > 0) {
        let from = part.strides();
        let dims: Vec<usize> = first.order.iter().map(|&axis| part.shape[axis]).collect();
        let layout = |strides: &[isize], offset: usize| StridedLayout {
            dims: dims.clone(),
            strides: first.order.iter().map(|&axis| strides[axis]).collect(),
            offset,
        };
        let kernel = Copy {
            src: layout(&from, 0),
            dst: layout(&strides, before * strides[axis].unsigned_abs()),
            zero_fill: None,
        };
        planner.copy(part.buffer, kernel, part.len(), &whole);
        before += part.shape[axis];
    }
    Ok(vec![PlanValue::Tensor(whole)])
}
