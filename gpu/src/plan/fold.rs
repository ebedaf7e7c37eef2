//! [`fold`]: what a graph computes of shapes and constants is known when it is planned.

use super::planner::{Planner, Value, size};
use super::tensor::{self, counted};
use crate::error::Error;
use crate::graph::{Constant, Node, Values};
use crate::kernel::{StridedLayout, row_major_strides};

/// The outputs of a node whose inputs are all known, when they are few numbers; `None` leaves it to the device.
pub(super) fn fold(planner: &Planner, node: &Node) -> Result<Option<Vec<Constant>>, Error> {
    if !node.domain.is_empty() {
        return Ok(None);
    }
    if node.op == "Shape" {
        let shape: Vec<i64> = planner.value(node, 0)?.shape().iter().map(|&dim| dim as i64).collect();
        let rank = shape.len() as i64;
        let place = |at: i64| usize::try_from(if at < 0 { at + rank } else { at }.clamp(0, rank)).unwrap_or(0);
        let (start, end) = (place(node.int("start", 0)), place(node.int("end", rank)));
        let shape = shape.get(start..end.max(start)).unwrap_or_default().to_vec();
        return Ok(Some(vec![Constant::ints(vec![shape.len()], shape)]));
    }
    let mut inputs = Vec::new();
    for number in 0..node.inputs.len() {
        match planner.optional(node, number) {
            Some(Value::Constant(constant)) => inputs.push(Some(constant)),
            Some(Value::Tensor(_)) => return Ok(None),
            None => inputs.push(None),
        }
    }
    /// Shapes and indices; weights are for the device.
    const FEW: usize = 4096;
    if inputs.iter().flatten().any(|input| input.len() > FEW) {
        return Ok(None);
    }
    let input = |number: usize| inputs.get(number).and_then(Option::as_deref);
    let Some(first) = input(0) else { return Ok(None) };
    let folded = match node.op.as_str() {
        "Identity" => Some(first.clone()),
        "Cast" => {
            // ONNX's numbers of the types with a point.
            let is_float = matches!(node.int("to", 1), 1 | 10 | 11 | 16);
            Some(match is_float {
                _ if node.int("to", 1) == 9 => {
                    let truths = first.to_floats().iter().map(|&value| i64::from(value != 0.0)).collect();
                    Constant::ints(first.shape.clone(), truths)
                }
                true => Constant { shape: first.shape.clone(), values: Values::Float(first.to_floats()) },
                false => Constant { shape: first.shape.clone(), values: Values::Int(first.to_ints()) },
            })
        }
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Less" | "Greater" | "Mod" | "Max" | "Min" if inputs.len() == 2 => {
            input(1).and_then(|second| arithmetic(&node.op, first, second))
        }
        "Neg" => ints(first, |values| values.iter().map(|value| value.wrapping_neg()).collect()),
        "Where" => match (input(1), input(2)) {
            (Some(yes), Some(no)) => choose(first, yes, no),
            _ => None,
        },
        "Concat" => concat(node, &inputs.iter().flatten().map(|input| (**input).clone()).collect::<Vec<_>>()),
        "Gather" => input(1).and_then(|indices| gather(node, first, indices)),
        "ConstantOfShape" => filled(node, first),
        "Range" => match (input(1), input(2)) {
            (Some(limit), Some(delta)) => range(first, limit, delta),
            _ => None,
        },
        "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => {
            super::lower::reshape::new_shape(planner, node, &first.shape)?
                .filter(|shape| size(shape) == Some(first.len()))
                .map(|shape| Constant { shape, values: first.values.clone() })
        }
        "Slice" => {
            super::lower::slice::slices(planner, node, &first.shape)?.map(|(shape, from)| picked(first, shape, &from))
        }
        "Transpose" => {
            let rank = first.shape.len();
            let reversed: Vec<usize> = counted(rank).into_iter().rev().collect();
            let permutation = super::lower::reshape::permutation(node, rank)?.unwrap_or(reversed);
            let strides = row_major_strides(&first.shape);
            let dims: Vec<usize> = permutation.iter().map(|&axis| first.shape[axis]).collect();
            let strides = permutation.iter().map(|&axis| strides[axis]).collect();
            Some(picked(first, dims.clone(), &StridedLayout { dims, strides, offset: 0 }))
        }
        "Expand" => input(1).and_then(|shape| {
            let dims: Option<Vec<usize>> = shape.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect();
            let shape = broadcast(&first.shape, &dims?)?;
            (size(&shape)? <= FEW).then(|| spread(first, &shape))
        }),
        _ => None,
    };
    Ok(folded.map(|constant| vec![constant]))
}

/// Numbers that a constant may grow to.
const MOST: usize = 1 << 20;

/// The shape of two operands together (ONNX, "Multidirectional Broadcasting").
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let together = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (1, other) | (other, 1) => Some(other),
        (one, other) => (one == other).then_some(one),
    });
    together.collect()
}

/// Numbers at some places of a constant, by walking over all indices.
fn picked(constant: &Constant, shape: Vec<usize>, places: &StridedLayout) -> Constant {
    let len: usize = shape.iter().product();
    let place = |i: usize| {
        let (mut rest, mut place) = (i, places.offset as isize);
        for (&dim, &stride) in places.dims.iter().zip(&places.strides).rev() {
            place += (rest % dim.max(1)) as isize * stride;
            rest /= dim.max(1);
        }
        usize::try_from(place).unwrap_or(0)
    };
    let values = match &constant.values {
        Values::Float(values) => Values::Float((0..len).map(|i| values[place(i)]).collect()),
        Values::Int(values) => Values::Int((0..len).map(|i| values[place(i)]).collect()),
    };
    Constant { shape, values }
}

/// A constant, repeated to a shape.
fn spread(constant: &Constant, shape: &[usize]) -> Constant {
    let strides = tensor::spread(&constant.shape, &row_major_strides(&constant.shape), shape);
    let places = StridedLayout { dims: shape.to_vec(), strides, offset: 0 };
    picked(constant, shape.to_vec(), &places)
}

fn ints(constant: &Constant, function: impl Fn(&[i64]) -> Vec<i64>) -> Option<Constant> {
    match &constant.values {
        Values::Int(values) => Some(Constant::ints(constant.shape.clone(), function(values))),
        Values::Float(_) => None,
    }
}

/// On whole numbers, and on a few with a point.
fn arithmetic(op: &str, a: &Constant, b: &Constant) -> Option<Constant> {
    let shape = broadcast(&a.shape, &b.shape).filter(|shape| size(shape).is_some_and(|len| len <= MOST))?;
    let (a, b) = (spread(a, &shape), spread(b, &shape));
    if let (Values::Int(a), Values::Int(b)) = (&a.values, &b.values) {
        let values = a.iter().zip(b.iter()).map(|(&a, &b)| match op {
            "Add" => a.checked_add(b),
            "Sub" => a.checked_sub(b),
            "Mul" => a.checked_mul(b),
            "Div" => a.checked_div(b),
            // With the sign of the divisor.
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

fn choose(condition: &Constant, yes: &Constant, no: &Constant) -> Option<Constant> {
    let shape = broadcast(&broadcast(&condition.shape, &yes.shape)?, &no.shape)?;
    size(&shape).filter(|&len| len <= MOST)?;
    let is_yes = spread(condition, &shape).to_ints();
    let (yes, no) = (spread(yes, &shape), spread(no, &shape));
    let (Values::Int(yes), Values::Int(no)) = (&yes.values, &no.values) else { return None };
    let values = is_yes.iter().enumerate().map(|(i, &is_yes)| if is_yes != 0 { yes[i] } else { no[i] });
    Some(Constant::ints(shape, values.collect()))
}

/// Of lists alone: shapes are lists.
fn concat(node: &Node, parts: &[Constant]) -> Option<Constant> {
    let is_list = parts.iter().all(|part| part.shape.len() == 1 && matches!(part.values, Values::Int(_)));
    if !is_list || ![0, -1].contains(&node.int("axis", 0)) {
        return None;
    }
    let values: Vec<i64> = parts.iter().flat_map(|part| part.to_ints().to_vec()).collect();
    Some(Constant::ints(vec![values.len()], values))
}

/// From a list alone.
fn gather(node: &Node, from: &Constant, indices: &Constant) -> Option<Constant> {
    let (Values::Int(from), 1, 0 | -1) = (&from.values, from.shape.len(), node.int("axis", 0)) else { return None };
    let len = from.len() as i64;
    let values = indices
        .to_ints()
        .iter()
        .map(|&at| from.get(usize::try_from(if at < 0 { at + len } else { at }).ok()?).copied())
        .collect();
    let values: Option<Vec<i64>> = values;
    Some(Constant::ints(indices.shape.clone(), values?))
}

fn filled(node: &Node, shape: &Constant) -> Option<Constant> {
    let dims: Option<Vec<usize>> = shape.to_ints().iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let dims = dims?;
    let len = dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).filter(|&len| len <= 1 << 24)?;
    Some(match node.attributes.get("value") {
        Some(crate::graph::Attribute::Tensor(value)) => match &value.values {
            Values::Int(values) => Constant::ints(dims, vec![*values.first()?; len]),
            Values::Float(values) => Constant::floats(dims, vec![*values.first()?; len]),
        },
        _ => Constant::floats(dims, vec![0.0; len]),
    })
}

fn range(start: &Constant, limit: &Constant, delta: &Constant) -> Option<Constant> {
    let number = |constant: &Constant| match &constant.values {
        Values::Int(values) => values.first().copied(),
        Values::Float(_) => None,
    };
    let (start, limit, delta) = (number(start)?, number(limit)?, number(delta)?);
    let (whole, rest) = (limit.checked_sub(start)?.checked_div(delta)?, limit.checked_sub(start)?.checked_rem(delta)?);
    // None, where the steps lead away.
    let has_more = rest != 0 && (rest < 0) == (delta < 0);
    let len = usize::try_from(whole.max(0)).ok().filter(|&len| len <= MOST)? + usize::from(whole >= 0 && has_more);
    Some(Constant::ints(vec![len], (0..len as i64).map(|i| start + i * delta).collect()))
}
