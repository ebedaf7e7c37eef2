//! Operators that change the shape and no element.

use super::axis::axis_index;
use crate::error::Error;
use crate::graph::Node;
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::num_elements_saturating;

pub(super) fn reshape(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let Some(shape) = new_shape(planner, node, &x.shape)? else {
        return Err(node.unsupported("its new shape is not constant"));
    };
    if num_elements_saturating(&shape) != x.len() {
        return Err(node.unsupported(format!("shapes {:?} and {shape:?} have different element counts", x.shape)));
    }
    Ok(vec![PlanValue::Tensor(planner.reshaped(&x, shape))])
}

/// Dropout is the identity at inference.
pub(super) fn identity(planner: &mut Planner, node: &Node) -> Lowered {
    Ok(vec![planner.value(node, 0)?])
}

pub(super) fn transpose(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let reversed: Vec<usize> = (0..x.shape.len()).rev().collect();
    let permutation = permutation(node, x.shape.len())?.unwrap_or(reversed);
    Ok(vec![PlanValue::Tensor(x.permuted(&permutation))])
}

/// The attribute `perm`.
pub(in crate::plan) fn permutation(node: &Node, rank: usize) -> Result<Option<Vec<usize>>, Error> {
    let Some(given) = node.ints("perm") else { return Ok(None) };
    let axes: Vec<usize> = given.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    match sorted == (0..rank).collect::<Vec<_>>() {
        true => Ok(Some(axes)),
        false => Err(node.unsupported(format!("{given:?} is not a permutation of {rank} axes"))),
    }
}

/// The output shape of a node for an input of shape `old`; `None` if it is not known at plan time.
pub(in crate::plan) fn new_shape(planner: &Planner, node: &Node, old: &[usize]) -> Result<Option<Vec<usize>>, Error> {
    let listed = |input: usize, attribute: &str| -> Result<Option<Vec<i64>>, Error> {
        match (node.ints(attribute), planner.optional(node, input)) {
            (Some(values), _) => Ok(Some(values.to_vec())),
            (None, Some(PlanValue::Constant(constant))) => Ok(Some(constant.to_ints().to_vec())),
            (None, Some(PlanValue::Tensor(_))) => Err(node.unsupported("its new shape is not constant")),
            (None, None) => Ok(None),
        }
    };
    let out_of_range = || node.unsupported("its axis is out of range");
    Ok(Some(match node.op.as_str() {
        "Flatten" => {
            // Not `axis_index`: Flatten also accepts the rank as its axis.
            let (axis, rank) = (node.int("axis", 1), old.len() as i64);
            let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).map_err(|_| out_of_range())?;
            let (outer, inner) = old.split_at_checked(axis).ok_or_else(out_of_range)?;
            vec![num_elements_saturating(outer), num_elements_saturating(inner)]
        }
        "Squeeze" => {
            let axes = listed(1, "axes")?;
            let is_gone = |axis: usize| match &axes {
                None => old[axis] == 1,
                Some(axes) => axes.iter().any(|&gone| axis_index(gone, old.len()) == Some(axis)),
            };
            (0..old.len()).filter(|&axis| !is_gone(axis)).map(|axis| old[axis]).collect()
        }
        "Unsqueeze" => {
            let Some(axes) = listed(1, "axes")? else { return Ok(None) };
            let rank = old.len() + axes.len();
            let is_new = |axis: usize| axes.iter().any(|&new| axis_index(new, rank) == Some(axis));
            let mut rest = old.iter().copied();
            (0..rank)
                .map(|axis| if is_new(axis) { Some(1) } else { rest.next() })
                .collect::<Option<_>>()
                .ok_or_else(out_of_range)?
        }
        _ => {
            let Some(target) = listed(1, "shape")? else { return Ok(None) };
            let keeps_zeros = node.int("allowzero", 0) != 0;
            let dims = target.iter().enumerate().map(|(axis, &dim)| match dim {
                0 if !keeps_zeros => old.get(axis).copied().map(Some),
                -1 => Some(None),
                dim => usize::try_from(dim).ok().map(Some),
            });
            let dims: Vec<Option<usize>> = dims.collect::<Option<_>>().ok_or_else(out_of_range)?;
            let known = dims.iter().flatten().fold(1, |known: usize, &dim| known.saturating_mul(dim));
            let rest = num_elements_saturating(old).checked_div(known).unwrap_or(0);
            dims.into_iter().map(|dim| dim.unwrap_or(rest)).collect()
        }
    }))
}
