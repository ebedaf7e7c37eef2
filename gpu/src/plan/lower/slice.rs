//! Slices, gathers, padding and broadcasts: operators that copy elements.

use super::axis::{axis, axis_index};
use crate::error::Error;
use crate::graph::{Constant, Node};
use crate::kernel::{Copy, StridedLayout, row_major_strides};
use crate::plan::planner::{Lowered, PlanValue, Planner, checked_num_elements};
use crate::plan::tensor::{
    PlannedTensor, broadcast_shape, broadcast_strides, num_elements_saturating, row_major_order,
};

pub(super) fn lower_indexing(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    match node.op.as_str() {
        "Split" => split(planner, node, &x),
        "Gather" => gather(planner, node, &x),
        "Pad" => pad(planner, node, &x),
        "Expand" => {
            let shape = planner.constant(node, 1)?.and_then(|shape| dims(&shape));
            let shape = shape.and_then(|shape| broadcast_shape(&x.shape, &shape));
            let shape = shape.filter(|shape| checked_num_elements(shape).is_some());
            let shape = shape.ok_or_else(|| node.unsupported("its input cannot be broadcast to the new shape"))?;
            let strides = broadcast_strides(&x.shape, &x.strides(), &shape);
            let from = StridedLayout { dims: shape.clone(), strides, offset: 0 };
            Ok(vec![PlanValue::Tensor(materialize_view(planner, &x, shape, from))])
        }
        _ => {
            let (shape, logical) =
                slices(planner, node, &x.shape)?.ok_or_else(|| node.unsupported("its bounds are not constant"))?;
            Ok(vec![PlanValue::Tensor(strided_slice(planner, &x, shape, &logical))])
        }
    }
}

fn dims(constant: &Constant) -> Option<Vec<usize>> {
    constant.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect()
}

/// Copies the elements at the offsets of a layout into a new row-major tensor.
fn materialize_view(planner: &mut Planner, x: &PlannedTensor, shape: Vec<usize>, from: StridedLayout) -> PlannedTensor {
    let (to, order) = (StridedLayout::contiguous(&shape), row_major_order(shape.len()));
    let count = num_elements_saturating(&shape);
    let out = planner.alloc(shape, order);
    planner.copy(x.buffer, Copy { src: from, dst: to, zero_fill: None }, count, &out);
    out
}

/// The same for a layout of the row-major tensor; the output has the axis order of `x`.
fn strided_slice(
    planner: &mut Planner,
    x: &PlannedTensor,
    shape: Vec<usize>,
    logical: &StridedLayout,
) -> PlannedTensor {
    let (row_major_strides, strides) = (row_major_strides(&x.shape), x.strides());
    // The start and stride of each axis.
    let mut rest = logical.offset as isize;
    let (mut offset, mut steps) = (0, Vec::new());
    for axis in 0..shape.len() {
        // A stride is 0 if a later axis is empty, as in an empty constant; `plan` rejects the output afterwards.
        let begin = rest / row_major_strides[axis].max(1);
        rest %= row_major_strides[axis].max(1);
        offset += begin * strides[axis];
        steps.push(logical.strides[axis] / row_major_strides[axis].max(1) * strides[axis]);
    }
    let in_order = |values: Vec<isize>| x.order.iter().map(|&axis| values[axis]).collect::<Vec<_>>();
    let dims: Vec<usize> = x.order.iter().map(|&axis| shape[axis]).collect();
    let from =
        StridedLayout { dims: dims.clone(), strides: in_order(steps), offset: usize::try_from(offset).unwrap_or(0) };
    let count = num_elements_saturating(&shape);
    let out = planner.alloc(shape, x.order.clone());
    planner.copy(x.buffer, Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: None }, count, &out);
    out
}

/// The output shape of Slice, and the layout of its elements in the row-major input; `None` if the bounds are not constant.
pub(in crate::plan) fn slices(
    planner: &Planner,
    node: &Node,
    shape: &[usize],
) -> Result<Option<(Vec<usize>, StridedLayout)>, Error> {
    let mut lists = Vec::new();
    for (index, name) in [(1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")] {
        lists.push(match (node.ints(name), planner.constant(node, index)?) {
            (Some(values), _) => Some(values.to_vec()),
            (None, constant) => constant.map(|constant| constant.to_ints().to_vec()),
        });
    }
    let [Some(starts), Some(ends), axes, steps] = &lists[..] else { return Ok(None) };
    let axes = axes.clone().unwrap_or_else(|| (0..starts.len() as i64).collect());
    let strides = row_major_strides(shape);
    let (mut dims, mut layout) =
        (shape.to_vec(), StridedLayout { dims: Vec::new(), strides: strides.clone(), offset: 0 });
    for (index, &axis) in axes.iter().enumerate() {
        let axis = axis_index(axis, shape.len()).ok_or_else(|| node.unsupported("its axis is out of range"))?;
        if dims[axis] != shape[axis] || layout.strides[axis] != strides[axis] || shape[axis] == 0 {
            return Err(node.unsupported("it slices an axis twice, or an empty one"));
        }
        let step = steps.as_ref().and_then(|steps| steps.get(index)).copied().unwrap_or(1);
        let (Some(&start), Some(&end)) = (starts.get(index), ends.get(index)) else {
            return Err(node.unsupported("it has fewer bounds than axes"));
        };
        let len = shape[axis] as i64;
        // Larger steps leave the axis as well.
        let step = step.clamp(-len, len);
        let from_front = |bound: i64| if bound < 0 { bound.saturating_add(len) } else { bound };
        let (start, end) = match step > 0 {
            true => (from_front(start).clamp(0, len), from_front(end).clamp(0, len)),
            false => (from_front(start).clamp(0, len - 1), from_front(end).clamp(-1, len - 1)),
        };
        if step == 0 {
            return Err(node.unsupported("its step is 0"));
        }
        let count = if step > 0 { (end - start + step - 1) / step } else { (start - end - step - 1) / -step };
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 {
            return Err(node.unsupported("the output is an empty tensor"));
        }
        layout.offset += usize::try_from(start).unwrap_or(0) * strides[axis].unsigned_abs();
        layout.strides[axis] = strides[axis] * step as isize;
        dims[axis] = count;
    }
    layout.dims.clone_from(&dims);
    Ok(Some((dims, layout)))
}

fn split(planner: &mut Planner, node: &Node, x: &PlannedTensor) -> Lowered {
    let Some(axis) = axis(node, x.shape.len(), 0) else {
        return Err(node.unsupported("its axis is out of range"));
    };
    let parts = match (node.ints("split"), planner.constant(node, 1)?) {
        (Some(parts), _) => parts.iter().map(|&part| usize::try_from(part).unwrap_or(0)).collect(),
        (None, Some(parts)) => dims(&parts).unwrap_or_default(),
        (None, None) => {
            let each = x.shape[axis].div_ceil(node.outputs.len().max(1));
            (0..node.outputs.len()).map(|index| each.min(x.shape[axis].saturating_sub(index * each))).collect()
        }
    };
    if parts.iter().fold(0, |sum: usize, &part| sum.saturating_add(part)) != x.shape[axis] || parts.contains(&0) {
        return Err(node.unsupported(format!("split {parts:?} does not sum to {}", x.shape[axis])));
    }
    let strides = row_major_strides(&x.shape);
    let mut before = 0;
    let mut values = Vec::new();
    for part in parts {
        let mut shape = x.shape.clone();
        shape[axis] = part;
        let offset = before * strides[axis].unsigned_abs();
        let layout = StridedLayout { dims: shape.clone(), strides: strides.clone(), offset };
        values.push(PlanValue::Tensor(strided_slice(planner, x, shape, &layout)));
        before += part;
    }
    Ok(values)
}

/// With constant indices: one copy per index, of which vision models have few.
fn gather(planner: &mut Planner, node: &Node, x: &PlannedTensor) -> Lowered {
    const MAX_GATHER_INDICES: usize = 1024;
    let Some(axis) = axis(node, x.shape.len(), 0) else {
        return Err(node.unsupported("its axis is out of range"));
    };
    let Some(indices) = planner.constant(node, 1)? else { return Err(node.unsupported("it has no indices")) };
    let len = x.shape[axis] as i64;
    let positions = indices.to_ints();
    let positions: Option<Vec<usize>> = positions.iter().map(|&at| axis_index(at, x.shape[axis])).collect();
    let Some(positions) = positions.filter(|positions| !positions.is_empty() && positions.len() <= MAX_GATHER_INDICES)
    else {
        return Err(
            node.unsupported(format!("its indices are not in 0..{len}, or there are more than {MAX_GATHER_INDICES}"))
        );
    };
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    let one = [&x.shape[..axis], &x.shape[axis + 1..]].concat();
    let without = |strides: &[isize]| [&strides[..axis], &strides[axis + 1..]].concat();
    // The output has the outer axes, the indices, the inner axes.
    let inner: usize = x.shape[axis + 1..].iter().product();
    let outer = row_major_strides(&one).into_iter().enumerate();
    let to: Vec<isize> =
        outer.map(|(index, stride)| if index < axis { stride * positions.len() as isize } else { stride }).collect();
    let out = planner.alloc(shape.clone(), row_major_order(shape.len()));
    let strides = x.strides();
    for (index, position) in positions.iter().enumerate() {
        let from = StridedLayout {
            dims: one.clone(),
            strides: without(&strides),
            offset: position * strides[axis].unsigned_abs(),
        };
        let to = StridedLayout { dims: one.clone(), strides: to.clone(), offset: index * inner };
        planner.copy(x.buffer, Copy { src: from, dst: to, zero_fill: None }, one.iter().product(), &out);
    }
    Ok(vec![PlanValue::Tensor(out)])
}

/// Padding with a constant.
fn pad(planner: &mut Planner, node: &Node, x: &PlannedTensor) -> Lowered {
    if node.text("mode").is_some_and(|mode| mode != "constant") || planner.optional(node, 3).is_some() {
        return Err(node.unsupported("only constant padding of all axes is supported"));
    }
    let pads = match (node.ints("pads"), planner.constant(node, 1)?) {
        (Some(pads), _) => pads.to_vec(),
        (None, Some(pads)) => pads.to_ints().to_vec(),
        (None, None) => Vec::new(),
    };
    let rank = x.shape.len();
    if pads.len() != 2 * rank || pads.iter().any(|&pad| pad < 0) {
        return Err(node.unsupported(format!("pads {pads:?} are not supported")));
    }
    let value = match planner.constant(node, 2)?.and_then(|constant| constant.scalar()) {
        Some(value) => value,
        None => node.float("value", 0.0),
    };
    let dim =
        |axis: usize| x.shape[axis].saturating_add(pads[axis] as usize).saturating_add(pads[axis + rank] as usize);
    let shape: Vec<usize> = (0..rank).map(dim).collect();
    if checked_num_elements(&shape).is_none() {
        return Err(node.unsupported(format!("padding by {pads:?} gives too many elements")));
    }
    let out = planner.alloc(shape.clone(), x.order.clone());
    let dims = out.dims();
    let source = planner.weights(format!("literal {:08x}", value.to_bits()), 1, move || vec![value]);
    let broadcast_scalar = StridedLayout { dims: dims.clone(), strides: vec![0; rank], offset: 0 };
    planner.copy(
        source,
        Copy { src: broadcast_scalar, dst: StridedLayout::contiguous(&dims), zero_fill: None },
        out.len(),
        &out,
    );
    let strides = out.strides();
    let offset = (0..rank).map(|axis| pads[axis] as usize * strides[axis].unsigned_abs()).sum();
    let to = StridedLayout { dims: x.dims(), strides: x.order.iter().map(|&axis| strides[axis]).collect(), offset };
    planner.copy(x.buffer, Copy { src: StridedLayout::contiguous(&x.dims()), dst: to, zero_fill: None }, x.len(), &out);
    Ok(vec![PlanValue::Tensor(out)])
}
