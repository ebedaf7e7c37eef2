//! Elementwise operators, most of which are fused into the kernel before them.

use super::axis::axis;
use crate::error::Error;
use crate::graph::{BROADCASTING, Constant, Node, is_float_type};
use crate::kernel::{Binary, Expression, Kernel, Term, Unary};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::{PlannedTensor, broadcast_shape, row_major_order};

const UNARY: [(&str, Unary); 18] = [
    ("Abs", Unary::Abs),
    ("Ceil", Unary::Ceil),
    ("Cos", Unary::Cos),
    ("Erf", Unary::Erf),
    ("Exp", Unary::Exp),
    ("Floor", Unary::Floor),
    ("Log", Unary::Log),
    ("Neg", Unary::Neg),
    ("Not", Unary::Not),
    ("Reciprocal", Unary::Reciprocal),
    ("Relu", Unary::Relu),
    ("Round", Unary::Round),
    ("Sigmoid", Unary::Sigmoid),
    ("Sin", Unary::Sin),
    ("Softplus", Unary::Softplus),
    ("Sqrt", Unary::Sqrt),
    ("Tanh", Unary::Tanh),
    ("Trunc", Unary::Trunc),
];

const BINARY: [(&str, Binary); 14] = [
    ("Add", Binary::Add),
    ("And", Binary::Mul),
    ("Div", Binary::Div),
    ("Equal", Binary::Equal),
    ("Greater", Binary::Greater),
    ("GreaterOrEqual", Binary::GreaterOrEqual),
    ("Less", Binary::Less),
    ("LessOrEqual", Binary::LessOrEqual),
    ("Max", Binary::Max),
    ("Min", Binary::Min),
    ("Mul", Binary::Mul),
    ("Or", Binary::Max),
    ("Pow", Binary::Pow),
    ("Sub", Binary::Sub),
];

/// Operators that are expressed as several terms.
const COMPOSITE: [&str; 12] =
    ["Cast", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Sum", "Swish", "Where"];

pub(super) fn is_known(op: &str) -> bool {
    UNARY.iter().any(|(name, _)| *name == op) || BINARY.iter().any(|(name, _)| *name == op) || COMPOSITE.contains(&op)
}

pub(super) fn elementwise(planner: &mut Planner, node: &Node) -> Lowered {
    let mut values = Vec::new();
    for index in 0..node.inputs.len() {
        values.extend(planner.optional(node, index).map(|value| (index, value)));
    }
    if planner.graph.opset < BROADCASTING
        && let [(_, a), (_, b)] = &mut values[..]
    {
        align_operand(planner, node, a.shape().len(), b)?;
    }
    // The limits of Clip are literals in its expression.
    let read = match node.op.as_str() {
        "Clip" => values.get(..1).unwrap_or_default(),
        _ => &values[..],
    };
    let Some(shape) = read.iter().try_fold(Vec::new(), |shape, (_, value)| broadcast_shape(&shape, value.shape()))
    else {
        let shapes: Vec<&[usize]> = read.iter().map(|(_, value)| value.shape()).collect();
        return Err(node.unsupported(format!("its inputs cannot be broadcast together: {shapes:?}")));
    };
    let whole = read.iter().find_map(|(_, value)| match value {
        PlanValue::Tensor(tensor) if tensor.shape == shape => Some(tensor.order.clone()),
        _ => None,
    });
    let order = whole.unwrap_or_else(|| row_major_order(shape.len()));
    let (mut epilogue, mut operands) = (Expression(Vec::new()), Vec::new());
    let mut inputs = Vec::new();
    for (index, value) in read {
        let name = node.input(*index).unwrap_or_default().to_owned();
        let term = planner.term(node, &name, value, (&shape, &order), &mut operands)?;
        inputs.push(epilogue.push(term));
    }
    compose(planner, node, &mut epilogue, &inputs)?;
    let out: PlannedTensor =
        planner.emit_with_epilogue(Kernel::Pointwise, Vec::new(), shape, order, epilogue, operands);
    Ok(vec![PlanValue::Tensor(out)])
}

/// Before opset 7, `axis` says with which axis of the first operand the second one begins, and the slopes of PRelu are one per channel. Axes
/// of size 1 after them mean the same to NumPy's broadcasting.
fn align_operand(planner: &mut Planner, node: &Node, rank: usize, operand: &mut PlanValue) -> Result<(), Error> {
    let first = match node.op.as_str() {
        "PRelu" if rank > 1 && operand.shape().len() == 1 && operand.shape() != [1] => 1,
        "PRelu" => return Ok(()),
        _ if node.int("broadcast", 0) != 0 && node.attributes.contains_key("axis") => {
            axis(node, rank, 0).ok_or_else(|| node.unsupported("its axis is out of range"))?
        }
        _ => return Ok(()),
    };
    let after = rank.saturating_sub(first + operand.shape().len());
    let shape = [operand.shape(), &vec![1; after]].concat();
    let aligned = match &*operand {
        PlanValue::Constant(constant) => {
            PlanValue::Constant(Constant { shape, values: constant.values.clone() }.into())
        }
        PlanValue::Tensor(tensor) => PlanValue::Tensor(planner.reshaped(tensor, shape)),
    };
    *operand = aligned;
    Ok(())
}

/// Appends the expression of a node to the terms of its inputs.
fn compose(planner: &Planner, node: &Node, e: &mut Expression, inputs: &[usize]) -> Result<(), Error> {
    let missing = |index: usize| node.unsupported(format!("input {index} is missing"));
    let a = *inputs.first().ok_or_else(|| missing(0))?;
    if let Some((_, function)) = UNARY.iter().find(|(name, _)| *name == node.op) {
        e.push(Term::Unary(*function, a));
        return Ok(());
    }
    if let ("Pow", Some(Term::Literal(exponent))) = (node.op.as_str(), inputs.get(1).and_then(|&b| e.0.get(b)).copied())
    {
        let exact = match exponent {
            2.0 => Some(Term::Binary(Binary::Mul, a, a)),
            0.5 => Some(Term::Unary(Unary::Sqrt, a)),
            _ => None,
        };
        if let Some(term) = exact {
            e.push(term);
            return Ok(());
        }
    }
    let binary = BINARY.iter().find(|(name, _)| *name == node.op).map(|(_, function)| *function);
    if let Some(function) = binary.or((node.op == "Sum").then_some(Binary::Add)) {
        // Max, Min and Sum take any number of inputs.
        let mut result = a;
        for &b in &inputs[1..] {
            result = e.push(Term::Binary(function, result, b));
        }
        return Ok(());
    }
    let b = inputs.get(1).copied().ok_or_else(|| missing(1));
    let mut literal = |value: f32| e.push(Term::Literal(value));
    match node.op.as_str() {
        // Booleans are stored as 0 and 1. A cast from float to integer truncates.
        "Cast" => {
            let is_float = is_float_type(node.int("to", 1));
            let is_bool = node.int("to", 1) == 9;
            if is_bool {
                let zero = literal(0.0);
                let is_zero = e.push(Term::Binary(Binary::Equal, a, zero));
                e.push(Term::Unary(Unary::Not, is_zero));
            } else if !is_float {
                // Allowed for graph outputs only: values are floats on the device, so that integer arithmetic on them would be wrong.
                let output = node.outputs.first().map_or("", String::as_str);
                if planner.graph.nodes.iter().any(|reader| reader.inputs.iter().any(|input| input == output)) {
                    return Err(node.unsupported("the GPU backend does not support integer arithmetic"));
                }
                e.push(Term::Unary(Unary::Trunc, a));
            }
        }
        "Clip" => {
            let limit = |name: &str, input: usize| -> Result<Option<f32>, Error> {
                match planner.constant(node, input)? {
                    Some(constant) if constant.scalar().is_none() => {
                        Err(node.unsupported("its limits are not scalars"))
                    }
                    Some(constant) => Ok(constant.scalar()),
                    None => Ok(node.attributes.contains_key(name).then(|| node.float(name, 0.0))),
                }
            };
            let (low, high) = (limit("min", 1)?, limit("max", 2)?);
            let mut result = a;
            for (limit, function) in [(low, Binary::Max), (high, Binary::Min)] {
                if let Some(limit) = limit {
                    let limit = e.push(Term::Literal(limit));
                    result = e.push(Term::Binary(function, result, limit));
                }
            }
        }
        "HardSigmoid" => {
            hard_sigmoid(e, a, node.float("alpha", 0.2), node.float("beta", 0.5));
        }
        "HardSwish" => {
            let gate = hard_sigmoid(e, a, 1.0 / 6.0, 0.5);
            e.push(Term::Binary(Binary::Mul, a, gate));
        }
        "Swish" => {
            let alpha = literal(node.float("alpha", 1.0));
            let scaled = e.push(Term::Binary(Binary::Mul, a, alpha));
            let gate = e.push(Term::Unary(Unary::Sigmoid, scaled));
            e.push(Term::Binary(Binary::Mul, a, gate));
        }
        "Mish" => {
            let soft = e.push(Term::Unary(Unary::Softplus, a));
            let gate = e.push(Term::Unary(Unary::Tanh, soft));
            e.push(Term::Binary(Binary::Mul, a, gate));
        }
        "Gelu" => gelu(e, a, node.text("approximate") == Some("tanh")),
        "LeakyRelu" => {
            let slope = literal(node.float("alpha", 0.01));
            leaky_relu(e, a, slope);
        }
        "PRelu" => leaky_relu(e, a, b?),
        "Elu" => {
            let (alpha, one) = (literal(node.float("alpha", 1.0)), e.push(Term::Literal(1.0)));
            let grown = e.push(Term::Unary(Unary::Exp, a));
            let less = e.push(Term::Binary(Binary::Sub, grown, one));
            let below = e.push(Term::Binary(Binary::Mul, less, alpha));
            select_positive(e, a, below);
        }
        "Where" => {
            let no = inputs.get(2).copied().ok_or_else(|| missing(2))?;
            e.push(Term::Select(a, b?, no));
        }
        _ => return Err(node.unsupported("the GPU backend does not support it")),
    }
    Ok(())
}

/// `x` where it is positive, else `below`.
fn select_positive(e: &mut Expression, x: usize, below: usize) {
    let zero = e.push(Term::Literal(0.0));
    let is_above = e.push(Term::Binary(Binary::Greater, x, zero));
    e.push(Term::Select(is_above, x, below));
}

fn leaky_relu(e: &mut Expression, x: usize, slope: usize) {
    let below = e.push(Term::Binary(Binary::Mul, x, slope));
    select_positive(e, x, below);
}

fn hard_sigmoid(e: &mut Expression, x: usize, alpha: f32, beta: f32) -> usize {
    let (alpha, beta) = (e.push(Term::Literal(alpha)), e.push(Term::Literal(beta)));
    let scaled = e.push(Term::Binary(Binary::Mul, x, alpha));
    let shifted = e.push(Term::Binary(Binary::Add, scaled, beta));
    let (zero, one) = (e.push(Term::Literal(0.0)), e.push(Term::Literal(1.0)));
    let low = e.push(Term::Binary(Binary::Max, shifted, zero));
    e.push(Term::Binary(Binary::Min, low, one))
}

/// Gaussian error linear unit (Hendrycks and Gimpel 2016): exact, or its tanh approximation.
fn gelu(e: &mut Expression, x: usize, with_tanh: bool) {
    let inner = if with_tanh {
        let (cubed, root) =
            (e.push(Term::Literal(0.044_715)), e.push(Term::Literal((2.0 / std::f32::consts::PI).sqrt())));
        let square = e.push(Term::Binary(Binary::Mul, x, x));
        let cube = e.push(Term::Binary(Binary::Mul, square, x));
        let part = e.push(Term::Binary(Binary::Mul, cube, cubed));
        let sum = e.push(Term::Binary(Binary::Add, x, part));
        let scaled = e.push(Term::Binary(Binary::Mul, sum, root));
        e.push(Term::Unary(Unary::Tanh, scaled))
    } else {
        let root = e.push(Term::Literal(std::f32::consts::FRAC_1_SQRT_2));
        let scaled = e.push(Term::Binary(Binary::Mul, x, root));
        e.push(Term::Unary(Unary::Erf, scaled))
    };
    let (one, half) = (e.push(Term::Literal(1.0)), e.push(Term::Literal(0.5)));
    let gate = e.push(Term::Binary(Binary::Add, inner, one));
    let halved = e.push(Term::Binary(Binary::Mul, x, half));
    e.push(Term::Binary(Binary::Mul, halved, gate));
}
