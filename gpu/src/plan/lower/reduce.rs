//! Reductions over axes.

use super::axis::axis_index;
use crate::graph::Node;
use crate::kernel::{Kernel, Reduce, ReduceOp, StridedLayout};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::PlannedTensor;

/// Over all spatial axes.
pub(super) fn global_pool(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let op = if node.op == "GlobalMaxPool" { ReduceOp::Max } else { ReduceOp::Mean };
    let axes: Vec<usize> = (2..x.shape.len()).collect();
    Ok(vec![PlanValue::Tensor(reduce_axes(planner, &x, &axes, true, op))])
}

/// The axes are an attribute, or since opset 13 (ReduceSum) and 18 an input.
pub(super) fn reduce(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let axes = match (node.ints("axes"), planner.constant(node, 1)?) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(axes)) => axes.to_ints().to_vec(),
        (None, None) => Vec::new(),
    };
    if axes.is_empty() && node.int("noop_with_empty_axes", 0) != 0 {
        return Ok(vec![PlanValue::Tensor(x)]);
    }
    let axes: Option<Vec<usize>> = axes.iter().map(|&axis| axis_index(axis, x.shape.len())).collect();
    let Some(mut axes) = axes else {
        return Err(node.unsupported("its axis is out of range"));
    };
    if axes.is_empty() {
        axes = (0..x.shape.len()).collect();
    }
    let op = match node.op.as_str() {
        "ReduceMean" => ReduceOp::Mean,
        "ReduceSum" => ReduceOp::Sum,
        "ReduceMax" => ReduceOp::Max,
        _ => ReduceOp::Min,
    };
    Ok(vec![PlanValue::Tensor(reduce_axes(planner, &x, &axes, node.int("keepdims", 1) != 0, op))])
}

fn reduce_axes(
    planner: &mut Planner,
    x: &PlannedTensor,
    axes: &[usize],
    keeps_axes: bool,
    op: ReduceOp,
) -> PlannedTensor {
    let strides = x.strides();
    let layout = |axes: Vec<usize>| StridedLayout {
        dims: axes.iter().map(|&axis| x.shape[axis]).collect(),
        strides: axes.iter().map(|&axis| strides[axis]).collect(),
        offset: 0,
    };
    let (reduced, kept): (Vec<usize>, Vec<usize>) = x.order.iter().partition(|axis| axes.contains(axis));
    let length = reduced.iter().map(|&axis| x.shape[axis]).product();
    let kernel = Kernel::Reduce(Reduce { outer: layout(kept.clone()), inner: layout(reduced.clone()), length, op });
    if keeps_axes {
        let shape = x.shape.iter().enumerate().map(|(axis, &dim)| if axes.contains(&axis) { 1 } else { dim }).collect();
        let order = kept.into_iter().chain(reduced).collect();
        return planner.emit(kernel, vec![x.buffer], shape, order);
    }
    let remaining: Vec<usize> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let shape = remaining.iter().map(|&axis| x.shape[axis]).collect();
    let order = kept.iter().map(|axis| remaining.iter().position(|other| other == axis).unwrap_or(0)).collect();
    planner.emit(kernel, vec![x.buffer], shape, order)
}
