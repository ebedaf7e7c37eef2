//! Parts of a tensor, and repeats of it.

use super::Lowered;
use super::normalize::axis;
use crate::error::Error;
use crate::graph::{Constant, Node};
use crate::kernel::{Copy, StridedLayout, row_major_strides};
use crate::plan::fold::broadcast;
use crate::plan::planner::{Planner, Value, size};
use crate::plan::tensor::{Tensor, counted, saturated, spread};

pub(super) fn part(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    match node.op.as_str() {
        "Split" => split(planner, node, &x),
        "Gather" => gather(planner, node, &x),
        "Pad" => pad(planner, node, &x),
        "Expand" => {
            let shape = planner.constant(node, 1)?.and_then(|shape| dims(&shape));
            let shape = shape.and_then(|shape| broadcast(&x.shape, &shape));
            let shape = shape.filter(|shape| size(shape).is_some());
            let shape = shape.ok_or_else(|| node.unsupported("its new shape does not fit"))?;
            let strides = spread(&x.shape, &x.strides(), &shape);
            let from = StridedLayout { dims: shape.clone(), strides, offset: 0 };
            Ok(vec![Value::Tensor(taken(planner, &x, shape, from))])
        }
        _ => {
            let (shape, logical) =
                slices(planner, node, &x.shape)?.ok_or_else(|| node.unsupported("where it cuts is not constant"))?;
            Ok(vec![Value::Tensor(cut(planner, &x, shape, &logical))])
        }
    }
}

fn dims(constant: &Constant) -> Option<Vec<usize>> {
    constant.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect()
}

/// A new tensor of the numbers at some places of another.
fn taken(planner: &mut Planner, x: &Tensor, shape: Vec<usize>, from: StridedLayout) -> Tensor {
    let (to, order) = (StridedLayout::contiguous(&shape), counted(shape.len()));
    let count = saturated(&shape);
    let room = planner.room(shape, order);
    planner.copy(x.storage, Copy { src: from, dst: to, zero_fill: None }, count, &room);
    room
}

/// The same for places in terms of numbers that lie as they are counted; the result lies as `x` does.
fn cut(planner: &mut Planner, x: &Tensor, shape: Vec<usize>, logical: &StridedLayout) -> Tensor {
    let (counted_strides, strides) = (row_major_strides(&x.shape), x.strides());
    // Where each axis begins, and in which steps it goes on.
    let mut rest = logical.offset as isize;
    let (mut offset, mut steps) = (0, Vec::new());
    for axis in 0..shape.len() {
        // No axis is empty: tensors without numbers are refused when they are made.
        let begin = rest / counted_strides[axis].max(1);
        rest %= counted_strides[axis].max(1);
        offset += begin * strides[axis];
        steps.push(logical.strides[axis] / counted_strides[axis].max(1) * strides[axis]);
    }
    let in_order = |values: Vec<isize>| x.order.iter().map(|&axis| values[axis]).collect::<Vec<_>>();
    let dims: Vec<usize> = x.order.iter().map(|&axis| shape[axis]).collect();
    let from =
        StridedLayout { dims: dims.clone(), strides: in_order(steps), offset: usize::try_from(offset).unwrap_or(0) };
    let count = saturated(&shape);
    let room = planner.room(shape, x.order.clone());
    planner.copy(x.storage, Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: None }, count, &room);
    room
}

/// The shape that Slice gives, and where its numbers are in those that lie as they are counted; `None` when that is not known.
pub(in crate::plan) fn slices(
    planner: &Planner,
    node: &Node,
    shape: &[usize],
) -> Result<Option<(Vec<usize>, StridedLayout)>, Error> {
    let mut lists = Vec::new();
    for (number, name) in [(1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")] {
        lists.push(match (node.ints(name), planner.constant(node, number)?) {
            (Some(values), _) => Some(values.to_vec()),
            (None, constant) => constant.map(|constant| constant.to_ints().to_vec()),
        });
    }
    let [Some(starts), Some(ends), axes, steps] = &lists[..] else { return Ok(None) };
    let axes = axes.clone().unwrap_or_else(|| (0..starts.len() as i64).collect());
    let strides = row_major_strides(shape);
    let (mut dims, mut places) =
        (shape.to_vec(), StridedLayout { dims: Vec::new(), strides: strides.clone(), offset: 0 });
    for (number, &axis) in axes.iter().enumerate() {
        let rank = shape.len() as i64;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&axis| axis < shape.len());
        let axis = axis.ok_or_else(|| node.unsupported("it names an axis that is not there"))?;
        if dims[axis] != shape[axis] || places.strides[axis] != strides[axis] || shape[axis] == 0 {
            return Err(node.unsupported("it cuts an axis twice, or one that is empty"));
        }
        let step = steps.as_ref().and_then(|steps| steps.get(number)).copied().unwrap_or(1);
        let (Some(&start), Some(&end)) = (starts.get(number), ends.get(number)) else {
            return Err(node.unsupported("it has fewer places than axes"));
        };
        let len = shape[axis] as i64;
        // Longer ones lead outside as well.
        let step = step.clamp(-len, len);
        let from_front = |place: i64| if place < 0 { place.saturating_add(len) } else { place };
        let (start, end) = match step > 0 {
            true => (from_front(start).clamp(0, len), from_front(end).clamp(0, len)),
            false => (from_front(start).clamp(0, len - 1), from_front(end).clamp(-1, len - 1)),
        };
        if step == 0 {
            return Err(node.unsupported("it steps nowhere"));
        }
        let count = if step > 0 { (end - start + step - 1) / step } else { (start - end - step - 1) / -step };
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 {
            return Err(node.unsupported("nothing is left of its input"));
        }
        places.offset += usize::try_from(start).unwrap_or(0) * strides[axis].unsigned_abs();
        places.strides[axis] = strides[axis] * step as isize;
        dims[axis] = count;
    }
    places.dims.clone_from(&dims);
    Ok(Some((dims, places)))
}

fn split(planner: &mut Planner, node: &Node, x: &Tensor) -> Lowered {
    let Some(axis) = axis(node, x.shape.len(), 0) else {
        return Err(node.unsupported("it names an axis that is not there"));
    };
    let parts = match (node.ints("split"), planner.constant(node, 1)?) {
        (Some(parts), _) => parts.iter().map(|&part| usize::try_from(part).unwrap_or(0)).collect(),
        (None, Some(parts)) => dims(&parts).unwrap_or_default(),
        (None, None) => {
            let each = x.shape[axis].div_ceil(node.outputs.len().max(1));
            (0..node.outputs.len()).map(|number| each.min(x.shape[axis].saturating_sub(number * each))).collect()
        }
    };
    if parts.iter().fold(0, |sum: usize, &part| sum.saturating_add(part)) != x.shape[axis] || parts.contains(&0) {
        return Err(node.unsupported(format!("{parts:?} are no parts of {}", x.shape[axis])));
    }
    let strides = row_major_strides(&x.shape);
    let mut before = 0;
    let mut values = Vec::new();
    for part in parts {
        let mut shape = x.shape.clone();
        shape[axis] = part;
        let offset = before * strides[axis].unsigned_abs();
        let places = StridedLayout { dims: shape.clone(), strides: strides.clone(), offset };
        values.push(Value::Tensor(cut(planner, x, shape, &places)));
        before += part;
    }
    Ok(values)
}

/// With constant indices: one copy for each, which are few in models of pictures.
fn gather(planner: &mut Planner, node: &Node, x: &Tensor) -> Lowered {
    const MOST: usize = 1024;
    let Some(axis) = axis(node, x.shape.len(), 0) else {
        return Err(node.unsupported("it names an axis that is not there"));
    };
    let Some(indices) = planner.constant(node, 1)? else { return Err(node.unsupported("it has no indices")) };
    let len = x.shape[axis] as i64;
    let places = indices.to_ints();
    let places: Option<Vec<usize>> = places
        .iter()
        .map(|&at| usize::try_from(if at < 0 { at + len } else { at }).ok().filter(|&at| (at as i64) < len))
        .collect();
    let Some(places) = places.filter(|places| !places.is_empty() && places.len() <= MOST) else {
        return Err(node.unsupported(format!("its indices are not in 0 to {len}, or more than {MOST}")));
    };
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    let one = [&x.shape[..axis], &x.shape[axis + 1..]].concat();
    let without = |strides: &[isize]| [&strides[..axis], &strides[axis + 1..]].concat();
    // As the result lies: outer axes, indices, inner axes.
    let inner: usize = x.shape[axis + 1..].iter().product();
    let outer = row_major_strides(&one).into_iter().enumerate();
    let to: Vec<isize> =
        outer.map(|(number, stride)| if number < axis { stride * places.len() as isize } else { stride }).collect();
    let room = planner.room(shape.clone(), counted(shape.len()));
    let strides = x.strides();
    for (number, place) in places.iter().enumerate() {
        let from = StridedLayout {
            dims: one.clone(),
            strides: without(&strides),
            offset: place * strides[axis].unsigned_abs(),
        };
        let to = StridedLayout { dims: one.clone(), strides: to.clone(), offset: number * inner };
        planner.copy(x.storage, Copy { src: from, dst: to, zero_fill: None }, one.iter().product(), &room);
    }
    Ok(vec![Value::Tensor(room)])
}

/// With one constant around it.
fn pad(planner: &mut Planner, node: &Node, x: &Tensor) -> Lowered {
    if node.text("mode").is_some_and(|mode| mode != "constant") || planner.optional(node, 3).is_some() {
        return Err(node.unsupported("it pads with something else than a constant, or names axes"));
    }
    let pads = match (node.ints("pads"), planner.constant(node, 1)?) {
        (Some(pads), _) => pads.to_vec(),
        (None, Some(pads)) => pads.to_ints().to_vec(),
        (None, None) => Vec::new(),
    };
    let rank = x.shape.len();
    if pads.len() != 2 * rank || pads.iter().any(|&pad| pad < 0) {
        return Err(node.unsupported(format!("its pads are {pads:?}")));
    }
    let number = match planner.constant(node, 2)?.and_then(|value| value.scalar()) {
        Some(number) => number,
        None => node.float("value", 0.0),
    };
    let dim =
        |axis: usize| x.shape[axis].saturating_add(pads[axis] as usize).saturating_add(pads[axis + rank] as usize);
    let shape: Vec<usize> = (0..rank).map(dim).collect();
    if size(&shape).is_none() {
        return Err(node.unsupported(format!("its pads of {pads:?} make too many numbers")));
    }
    let room = planner.room(shape.clone(), x.order.clone());
    let dims = room.dims();
    let source = planner.weights(format!("number {:08x}", number.to_bits()), 1, move || vec![number]);
    let nowhere = StridedLayout { dims: dims.clone(), strides: vec![0; rank], offset: 0 };
    planner.copy(
        source,
        Copy { src: nowhere, dst: StridedLayout::contiguous(&dims), zero_fill: None },
        room.len(),
        &room,
    );
    let strides = room.strides();
    let offset = (0..rank).map(|axis| pads[axis] as usize * strides[axis].unsigned_abs()).sum();
    let to = StridedLayout { dims: x.dims(), strides: x.order.iter().map(|&axis| strides[axis]).collect(), offset };
    planner.copy(
        x.storage,
        Copy { src: StridedLayout::contiguous(&x.dims()), dst: to, zero_fill: None },
        x.len(),
        &room,
    );
    Ok(vec![Value::Tensor(room)])
}
