//! [`fold`]: constant folding of what a graph computes from shapes and small constants.

use super::lower::axis::axis_index;
use super::planner::{PlanValue, Planner, checked_num_elements};
use super::tensor::{self, broadcast_shape, row_major_order};
use crate::error::Error;
use crate::graph::{Constant, ConstantData, Node, is_float_type};
use crate::kernel::{StridedLayout, row_major_strides};

/// The outputs of a node whose inputs are all known and small; `None` if the device has to compute it.
pub(super) fn fold(planner: &Planner, node: &Node) -> Result<Option<Vec<Constant>>, Error> {
    if !node.domain.is_empty() {
        return Ok(None);
    }
    if node.op == "Shape" {
        let shape: Vec<i64> = planner.value(node, 0)?.shape().iter().map(|&dim| dim as i64).collect();
        let rank = shape.len() as i64;
        // Not `axis_index`: Shape clamps bounds that are out of range.
        let clamped = |at: i64| usize::try_from(if at < 0 { at + rank } else { at }.clamp(0, rank)).unwrap_or(0);
        let (start, end) = (clamped(node.int("start", 0)), clamped(node.int("end", rank)));
        let shape = shape.get(start..end.max(start)).unwrap_or_default().to_vec();
        return Ok(Some(vec![Constant::ints(vec![shape.len()], shape)]));
    }
    let mut inputs = Vec::new();
    for index in 0..node.inputs.len() {
        match planner.optional(node, index) {
            Some(PlanValue::Constant(constant)) => inputs.push(Some(constant)),
            Some(PlanValue::Tensor(_)) => return Ok(None),
            None => inputs.push(None),
        }
    }
    /// Shapes and indices are below, weights above.
    const MAX_FOLD_INPUT: usize = 4096;
    if inputs.iter().flatten().any(|input| input.len() > MAX_FOLD_INPUT) {
        return Ok(None);
    }
    let input = |index: usize| inputs.get(index).and_then(Option::as_deref);
    let Some(first) = input(0) else { return Ok(None) };
    let folded = match node.op.as_str() {
        "Identity" => Some(first.clone()),
        "Cast" => {
            let is_float = is_float_type(node.int("to", 1));
            Some(match is_float {
                _ if node.int("to", 1) == 9 => {
                    let booleans = first.to_floats().iter().map(|&value| i64::from(value != 0.0)).collect();
                    Constant::ints(first.shape.clone(), booleans)
                }
                true => Constant { shape: first.shape.clone(), values: ConstantData::Float(first.to_floats()) },
                false => Constant { shape: first.shape.clone(), values: ConstantData::Int(first.to_ints()) },
            })
        }
        // The broadcasting along an `axis` of opset 6 is not folded.
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Less" | "Greater" | "Mod" | "Max" | "Min"
            if inputs.len() == 2 && !node.attributes.contains_key("axis") =>
        {
            input(1).and_then(|second| arithmetic(&node.op, first, second))
        }
        "Neg" => ints(first, |values| values.iter().map(|value| value.wrapping_neg()).collect()),
        "Where" => match (input(1), input(2)) {
            (Some(yes), Some(no)) => select(first, yes, no),
            _ => None,
        },
        "Concat" => concat(node, &inputs.iter().flatten().map(|input| (**input).clone()).collect::<Vec<_>>()),
        "Gather" => input(1).and_then(|indices| gather(node, first, indices)),
        "ConstantOfShape" => full(node, first),
        "Range" => match (input(1), input(2)) {
            (Some(limit), Some(delta)) => range(first, limit, delta),
            _ => None,
        },
        "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => {
            super::lower::reshape::new_shape(planner, node, &first.shape)?
                .filter(|shape| checked_num_elements(shape) == Some(first.len()))
                .map(|shape| Constant { shape, values: first.values.clone() })
        }
        "Slice" => super::lower::slice::slices(planner, node, &first.shape)?
            .map(|(shape, from)| gather_strided(first, shape, &from)),
        "Transpose" => {
            let rank = first.shape.len();
            let reversed: Vec<usize> = row_major_order(rank).into_iter().rev().collect();
            let permutation = super::lower::reshape::permutation(node, rank)?.unwrap_or(reversed);
            let strides = row_major_strides(&first.shape);
            let dims: Vec<usize> = permutation.iter().map(|&axis| first.shape[axis]).collect();
            let strides = permutation.iter().map(|&axis| strides[axis]).collect();
            Some(gather_strided(first, dims.clone(), &StridedLayout { dims, strides, offset: 0 }))
        }
        "Expand" => input(1).and_then(|shape| {
            let dims: Option<Vec<usize>> = shape.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect();
            let shape = broadcast_shape(&first.shape, &dims?)?;
            (checked_num_elements(&shape)? <= MAX_FOLD_INPUT).then(|| broadcast_to(first, &shape))
        }),
        _ => None,
    };
    Ok(folded.map(|constant| vec![constant]))
}

/// The largest constant that folding may create, in elements.
const MAX_FOLDED_ELEMENTS: usize = 1 << 20;

/// The elements of a constant at the offsets of a layout (a strided gather).
fn gather_strided(constant: &Constant, shape: Vec<usize>, layout: &StridedLayout) -> Constant {
    let len: usize = shape.iter().product();
    let offset_of = |i: usize| {
        let (mut rest, mut offset) = (i, layout.offset as isize);
        for (&dim, &stride) in layout.dims.iter().zip(&layout.strides).rev() {
            offset += (rest % dim.max(1)) as isize * stride;
            rest /= dim.max(1);
        }
        usize::try_from(offset).unwrap_or(0)
    };
    let values = match &constant.values {
        ConstantData::Float(values) => ConstantData::Float((0..len).map(|i| values[offset_of(i)]).collect()),
        ConstantData::Int(values) => ConstantData::Int((0..len).map(|i| values[offset_of(i)]).collect()),
    };
    Constant { shape, values }
}

/// A constant broadcast to a shape.
fn broadcast_to(constant: &Constant, shape: &[usize]) -> Constant {
    let strides = tensor::broadcast_strides(&constant.shape, &row_major_strides(&constant.shape), shape);
    let layout = StridedLayout { dims: shape.to_vec(), strides, offset: 0 };
    gather_strided(constant, shape.to_vec(), &layout)
}

fn ints(constant: &Constant, function: impl Fn(&[i64]) -> Vec<i64>) -> Option<Constant> {
    match &constant.values {
        ConstantData::Int(values) => Some(Constant::ints(constant.shape.clone(), function(values))),
        ConstantData::Float(_) => None,
    }
}

/// Elementwise arithmetic on integers, and the basic operations on floats.
fn arithmetic(op: &str, a: &Constant, b: &Constant) -> Option<Constant> {
    let shape = broadcast_shape(&a.shape, &b.shape)
        .filter(|shape| checked_num_elements(shape).is_some_and(|len| len <= MAX_FOLDED_ELEMENTS))?;
    let (a, b) = (broadcast_to(a, &shape), broadcast_to(b, &shape));
    if let (ConstantData::Int(a), ConstantData::Int(b)) = (&a.values, &b.values) {
        let values = a.iter().zip(b.iter()).map(|(&a, &b)| match op {
            "Add" => a.checked_add(b),
            "Sub" => a.checked_sub(b),
            "Mul" => a.checked_mul(b),
            "Div" => a.checked_div(b),
            // The result has the sign of the divisor.
            "Mod" => a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
            "Max" => Some(a.max(b)),
            "Min" => Some(a.min(b)),
            "Equal" => Some((a == b).into()),
            "Less" => Some((a < b).into()),
            _ => Some((a > b).into()),
        });
        return Some(Constant::ints(shape, values.collect::<Option<_>>()?));
    }
    let (a, b) = (a.to_floats(), b.to_floats());
    let values = a.iter().zip(b.iter()).map(|(&a, &b)| match op {
        "Add" => Some(a + b),
        "Sub" => Some(a - b),
        "Mul" => Some(a * b),
        "Div" => Some(a / b),
        "Max" => Some(a.max(b)),
        "Min" => Some(a.min(b)),
        _ => None,
    });
    Some(Constant::floats(shape, values.collect::<Option<_>>()?))
}

fn select(condition: &Constant, yes: &Constant, no: &Constant) -> Option<Constant> {
    let shape = broadcast_shape(&broadcast_shape(&condition.shape, &yes.shape)?, &no.shape)?;
    checked_num_elements(&shape).filter(|&len| len <= MAX_FOLDED_ELEMENTS)?;
    let is_yes = broadcast_to(condition, &shape).to_ints();
    let (yes, no) = (broadcast_to(yes, &shape), broadcast_to(no, &shape));
    let (ConstantData::Int(yes), ConstantData::Int(no)) = (&yes.values, &no.values) else { return None };
    let values = is_yes.iter().enumerate().map(|(i, &is_yes)| if is_yes != 0 { yes[i] } else { no[i] });
    Some(Constant::ints(shape, values.collect()))
}

/// Of 1-D integer tensors only: shapes are 1-D.
fn concat(node: &Node, parts: &[Constant]) -> Option<Constant> {
    let is_list = parts.iter().all(|part| part.shape.len() == 1 && matches!(part.values, ConstantData::Int(_)));
    if !is_list || ![0, -1].contains(&node.int("axis", 0)) {
        return None;
    }
    let values: Vec<i64> = parts.iter().flat_map(|part| part.to_ints().to_vec()).collect();
    Some(Constant::ints(vec![values.len()], values))
}

/// From a 1-D integer tensor only.
fn gather(node: &Node, from: &Constant, indices: &Constant) -> Option<Constant> {
    let (ConstantData::Int(from), 1, 0 | -1) = (&from.values, from.shape.len(), node.int("axis", 0)) else {
        return None;
    };
    let value = |&at: &i64| axis_index(at, from.len()).map(|at| from[at]);
    let values: Option<Vec<i64>> = indices.to_ints().iter().map(value).collect();
    Some(Constant::ints(indices.shape.clone(), values?))
}

fn full(node: &Node, shape: &Constant) -> Option<Constant> {
    let dims: Option<Vec<usize>> = shape.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let dims = dims?;
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).filter(|&len| len <= 1 << 24)?;
    Some(match node.attributes.get("value") {
        Some(crate::graph::Attribute::Tensor(value)) => match &value.values {
            ConstantData::Int(values) => Constant::ints(dims, vec![*values.first()?; len]),
            ConstantData::Float(values) => Constant::floats(dims, vec![*values.first()?; len]),
        },
        _ => Constant::floats(dims, vec![0.0; len]),
    })
}

fn range(start: &Constant, limit: &Constant, delta: &Constant) -> Option<Constant> {
    let scalar = |constant: &Constant| match &constant.values {
        ConstantData::Int(values) => values.first().copied(),
        ConstantData::Float(_) => None,
    };
    let (start, limit, delta) = (scalar(start)?, scalar(limit)?, scalar(delta)?);
    let (whole, rest) = (limit.checked_sub(start)?.checked_div(delta)?, limit.checked_sub(start)?.checked_rem(delta)?);
    // Empty if `delta` leads away from `limit`.
    let has_more = rest != 0 && (rest < 0) == (delta < 0);
    let len = usize::try_from(whole.max(0)).ok().filter(|&len| len <= MAX_FOLDED_ELEMENTS)?
        + usize::from(whole >= 0 && has_more);
    Some(Constant::ints(vec![len], (0..len as i64).map(|i| start + i * delta).collect()))
}
