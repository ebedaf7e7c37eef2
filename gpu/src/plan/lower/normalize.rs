//! Normalizations.

use super::axis::axis;
use crate::graph::{Constant, Node};
use crate::kernel::{Binary, Expression, Kernel, LayerNorm, Softmax, Term};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::row_major_order;

/// With constant statistics: a scale and a shift per channel, fused into the producer of the input.
pub(super) fn batch_norm(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let channels = planner.graph.channel_affine(node).filter(|channels| x.shape.get(1) == Some(&channels.scale.len()));
    let Some(channels) = channels else {
        return Err(node.unsupported("its statistics are not constant or do not match its input"));
    };
    let (shape, order) = (x.shape.clone(), x.order.clone());
    let mut per_channel = vec![1; shape.len() - 1];
    per_channel[0] = channels.scale.len();
    let floats = |values: Vec<f64>| {
        Constant::floats(per_channel.clone(), values.into_iter().map(|value| value as f32).collect())
    };
    let (mut e, mut operands) = (Expression(Vec::new()), Vec::new());
    let parts = [
        PlanValue::Tensor(x),
        PlanValue::Constant(floats(channels.scale).into()),
        PlanValue::Constant(floats(channels.shift).into()),
    ];
    let mut terms = Vec::new();
    for part in &parts {
        let term = planner.term(node, "", part, (&shape, &order), &mut operands)?;
        terms.push(e.push(term));
    }
    let scaled = e.push(Term::Binary(Binary::Mul, terms[0], terms[1]));
    e.push(Term::Binary(Binary::Add, scaled, terms[2]));
    Ok(vec![PlanValue::Tensor(planner.emit_with_epilogue(Kernel::Pointwise, Vec::new(), shape, order, e, operands))])
}

/// Over `axis` and all axes after it.
pub(super) fn layer_norm(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let Some(axis) = axis(node, x.shape.len(), -1) else {
        return Err(node.unsupported("its axis is out of range"));
    };
    if node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
        return Err(node.unsupported("its mean and deviation outputs are not supported"));
    }
    let x = planner.contiguous(&x);
    let length = x.shape[axis..].iter().product();
    let epsilon = node.float("epsilon", 1e-5);
    let (shape, order) = (x.shape.clone(), x.order.clone());
    let (mut e, mut operands) = (Expression::identity(), Vec::new());
    let mut result = 0;
    for (index, function) in [(1, Binary::Mul), (2, Binary::Add)] {
        let Some(value) = planner.optional(node, index) else { continue };
        let name = node.input(index).unwrap_or_default().to_owned();
        let term = planner.term(node, &name, &value, (&shape, &order), &mut operands)?;
        let term = e.push(term);
        result = e.push(Term::Binary(function, result, term));
    }
    let kernel = Kernel::LayerNorm(LayerNorm { length, epsilon });
    Ok(vec![PlanValue::Tensor(planner.emit_with_epilogue(kernel, vec![x.buffer], shape, order, e, operands))])
}

/// Over one axis; before opset 13, over that axis and all after it.
pub(super) fn softmax(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let rank = x.shape.len();
    let is_old = planner.graph.opset < 13;
    let Some(axis) = axis(node, rank, if is_old { 1 } else { -1 }) else {
        return Err(node.unsupported("its axis is out of range"));
    };
    let (order, length) = match is_old {
        true => (row_major_order(rank), x.shape[axis..].iter().product()),
        // The axis becomes the innermost one.
        false => {
            (row_major_order(rank).into_iter().filter(|other| *other != axis).chain([axis]).collect(), x.shape[axis])
        }
    };
    let x = planner.ensure_layout(&x, &order);
    let kernel = Kernel::Softmax(Softmax { length });
    Ok(vec![PlanValue::Tensor(planner.emit(kernel, vec![x.buffer], x.shape.clone(), order))])
}
