//! Normalizations.

use super::Lowered;
use crate::graph::{Constant, Node};
use crate::kernel::{Binary, Expression, Kernel, LayerNorm, Softmax, Term};
use crate::plan::planner::{Planner, Value};
use crate::plan::tensor::counted;

/// With constant statistics: a scale and a shift for each channel, done wherever its input is made.
pub(super) fn batch_norm(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let channels = planner.graph.channels(node).filter(|channels| x.shape.get(1) == Some(&channels.scale.len()));
    let Some(channels) = channels else {
        return Err(node.unsupported("its statistics are not constant, or do not fit its input"));
    };
    let (shape, order) = (x.shape.clone(), x.order.clone());
    let mut per_channel = vec![1; shape.len() - 1];
    per_channel[0] = channels.scale.len();
    let floats = |values: Vec<f64>| {
        Constant::floats(per_channel.clone(), values.into_iter().map(|value| value as f32).collect())
    };
    let (mut e, mut operands) = (Expression(Vec::new()), Vec::new());
    let parts = [
        Value::Tensor(x),
        Value::Constant(floats(channels.scale).into()),
        Value::Constant(floats(channels.shift).into()),
    ];
    let mut terms = Vec::new();
    for part in &parts {
        let term = planner.term(node, "", part, (&shape, &order), &mut operands)?;
        terms.push(e.push(term));
    }
    let scaled = e.push(Term::Binary(Binary::Mul, terms[0], terms[1]));
    e.push(Term::Binary(Binary::Add, scaled, terms[2]));
    Ok(vec![Value::Tensor(planner.emit_finished(Kernel::Pointwise, Vec::new(), shape, order, e, operands))])
}

/// Over the axes from `axis` on.
pub(super) fn layer_norm(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let Some(axis) = axis(node, x.shape.len(), -1) else {
        return Err(node.unsupported("it names an axis that is not there"));
    };
    if node.outputs.iter().skip(1).any(|output| !output.is_empty()) {
        return Err(node.unsupported("its mean and deviation are not handed out"));
    }
    let x = planner.counted(&x);
    let length = x.shape[axis..].iter().product();
    let epsilon = node.float("epsilon", 1e-5);
    let (shape, order) = (x.shape.clone(), x.order.clone());
    let (mut e, mut operands) = (Expression::identity(), Vec::new());
    let mut result = 0;
    for (number, function) in [(1, Binary::Mul), (2, Binary::Add)] {
        let Some(value) = planner.optional(node, number) else { continue };
        let name = node.input(number).unwrap_or_default().to_owned();
        let term = planner.term(node, &name, &value, (&shape, &order), &mut operands)?;
        let term = e.push(term);
        result = e.push(Term::Binary(function, result, term));
    }
    let kernel = Kernel::LayerNorm(LayerNorm { length, epsilon });
    Ok(vec![Value::Tensor(planner.emit_finished(kernel, vec![x.storage], shape, order, e, operands))])
}

/// Over one axis; before opset 13, over all from that on.
pub(super) fn softmax(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let rank = x.shape.len();
    let is_old = planner.graph.opset < 13;
    let Some(axis) = axis(node, rank, if is_old { 1 } else { -1 }) else {
        return Err(node.unsupported("it names an axis that is not there"));
    };
    let (order, length) = match is_old {
        true => (counted(rank), x.shape[axis..].iter().product()),
        // That axis is moved behind the others.
        false => (counted(rank).into_iter().filter(|other| *other != axis).chain([axis]).collect(), x.shape[axis]),
    };
    let x = planner.ordered(&x, &order);
    let kernel = Kernel::Softmax(Softmax { length });
    Ok(vec![Value::Tensor(planner.emit(kernel, vec![x.storage], x.shape.clone(), order))])
}

/// The attribute `axis`, counted from the front.
pub(super) fn axis(node: &Node, rank: usize, otherwise: i64) -> Option<usize> {
    let axis = node.int("axis", otherwise);
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|&axis| axis < rank)
}
