//! Sums, means and extremes over axes.

use super::Lowered;
use crate::graph::Node;
use crate::kernel::{Kernel, Reduce, ReduceOp, StridedLayout};
use crate::plan::planner::{Planner, Value};
use crate::plan::tensor::Tensor;

/// Over all axes behind the channels.
pub(super) fn global(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let op = if node.op == "GlobalMaxPool" { ReduceOp::Max } else { ReduceOp::Mean };
    let axes: Vec<usize> = (2..x.shape.len()).collect();
    Ok(vec![Value::Tensor(over(planner, &x, &axes, true, op))])
}

/// Axes are an attribute, or since opset 13 and 18 an input.
pub(super) fn reduce(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let axes = match (node.ints("axes"), planner.constant(node, 1)?) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(axes)) => axes.to_ints().to_vec(),
        (None, None) => Vec::new(),
    };
    if axes.is_empty() && node.int("noop_with_empty_axes", 0) != 0 {
        return Ok(vec![Value::Tensor(x)]);
    }
    let rank = x.shape.len() as i64;
    let axes = axes.iter().map(|&axis| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok());
    let axes: Option<Vec<usize>> = axes.collect();
    let Some(mut axes) = axes.filter(|axes| axes.iter().all(|&axis| axis < x.shape.len())) else {
        return Err(node.unsupported("it names an axis that is not there"));
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
    Ok(vec![Value::Tensor(over(planner, &x, &axes, node.int("keepdims", 1) != 0, op))])
}

fn over(planner: &mut Planner, x: &Tensor, axes: &[usize], keeps_axes: bool, op: ReduceOp) -> Tensor {
    let strides = x.strides();
    let places = |axes: Vec<usize>| StridedLayout {
        dims: axes.iter().map(|&axis| x.shape[axis]).collect(),
        strides: axes.iter().map(|&axis| strides[axis]).collect(),
        offset: 0,
    };
    let (reduced, kept): (Vec<usize>, Vec<usize>) = x.order.iter().partition(|axis| axes.contains(axis));
    let length = reduced.iter().map(|&axis| x.shape[axis]).product();
    let kernel = Kernel::Reduce(Reduce { outer: places(kept.clone()), inner: places(reduced.clone()), length, op });
    if keeps_axes {
        let shape = x.shape.iter().enumerate().map(|(axis, &dim)| if axes.contains(&axis) { 1 } else { dim }).collect();
        let order = kept.into_iter().chain(reduced).collect();
        return planner.emit(kernel, vec![x.storage], shape, order);
    }
    let left: Vec<usize> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let shape = left.iter().map(|&axis| x.shape[axis]).collect();
    let order = kept.iter().map(|axis| left.iter().position(|left| left == axis).unwrap_or(0)).collect();
    planner.emit(kernel, vec![x.storage], shape, order)
}
