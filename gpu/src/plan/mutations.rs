//! Mutated graphs: planning any graph gives steps that stay within their buffers, or an error.

use std::path::Path;

use fastrand::Rng;

use super::{BufferSource, Plan, plan};
use crate::graph::{Attribute, Constant, Graph};
use crate::kernel::{Kernel, StridedLayout};

const GRAPHS: [&str; 12] = [
    "resnet",
    "mobilenet",
    "efficientnet",
    "convnext",
    "vit",
    "densenet",
    "squeezenet",
    "maps",
    "half",
    "nhwc-bytes",
    "table",
    "features",
];
const ROUNDS: usize = 200;

fn graph(name: &str) -> Graph {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/models");
    Graph::parse(&std::fs::read(folder.join(format!("{name}.onnx"))).unwrap(), &[]).unwrap()
}

fn integer(random: &mut Rng) -> i64 {
    const ODD: [i64; 10] = [0, 1, 2, 3, -1, -2, 7, 1 << 32, i64::MAX, i64::MIN];
    random.choice(ODD).unwrap_or(0)
}

/// Mutates the graph in one point.
fn mutate(graph: &mut Graph, random: &mut Rng) {
    let names: Vec<String> = graph.constants.keys().cloned().collect();
    let tensors: Vec<String> = graph.nodes.iter().flat_map(|node| node.outputs.clone()).chain(names.clone()).collect();
    let index = random.usize(0..graph.nodes.len());
    let node = &mut graph.nodes[index];
    match random.u8(0..6) {
        0 => {
            let ints: Vec<i64> = (0..random.usize(0..5)).map(|_| integer(random)).collect();
            const NAMES: [&str; 10] =
                ["axes", "pads", "strides", "dilations", "kernel_shape", "perm", "split", "starts", "ends", "shape"];
            let name = random.choice(node.attributes.keys().cloned().collect::<Vec<_>>());
            let name = name.unwrap_or_else(|| NAMES[random.usize(0..NAMES.len())].to_owned());
            node.attributes.insert(name, Attribute::Ints(ints));
        }
        1 => {
            const NAMES: [&str; 7] = ["axis", "group", "transA", "transB", "keepdims", "ceil_mode", "to"];
            node.attributes.insert(NAMES[random.usize(0..NAMES.len())].to_owned(), Attribute::Int(integer(random)));
        }
        2 if !node.inputs.is_empty() => {
            let input = random.usize(0..node.inputs.len());
            node.inputs[input] = tensors[random.usize(0..tensors.len())].clone();
        }
        3 => {
            node.inputs.pop();
        }
        4 => {
            const OPS: [&str; 14] = [
                "Concat",
                "Slice",
                "Split",
                "Gather",
                "Pad",
                "Expand",
                "Reshape",
                "Softmax",
                "MatMul",
                "Transpose",
                "ReduceMean",
                "Squeeze",
                "MaxPool",
                "Mul",
            ];
            OPS[random.usize(0..OPS.len())].clone_into(&mut node.op);
        }
        _ => {
            let Some(name) = random.choice(names) else { return };
            let constant = match random.bool() {
                true => Constant::ints(vec![3], (0..3).map(|_| integer(random)).collect()),
                false => {
                    let shape: Vec<usize> = (0..random.usize(0..5)).map(|_| random.usize(0..4)).collect();
                    let len = shape.iter().product();
                    Constant::floats(shape, vec![0.5; len])
                }
            };
            graph.constants.insert(name, constant);
        }
    }
}

/// The largest offset that a kernel accesses for `count` elements, by visiting each of them.
///
/// Deliberately not the strided walk of `fold` (`gather_strided`): an independent check does not share its errors.
fn max_offset(layout: &StridedLayout, count: usize) -> i128 {
    let offset_of = |i: usize| {
        let (mut rest, mut offset) = (i as i128, layout.offset as i128);
        for (axis, (&dim, &stride)) in layout.dims.iter().zip(&layout.strides).enumerate().rev() {
            let index = if axis == 0 { rest } else { rest % dim as i128 };
            offset += index * stride as i128;
            rest /= dim as i128;
        }
        offset
    };
    (0..count).map(offset_of).max().unwrap_or(-1)
}

/// Checks that copies and operands stay within their buffers.
fn check(plan: &Plan) {
    /// Larger steps take long and are generated the same way.
    const MAX_WALKED_ELEMENTS: usize = 10_000;
    for step in plan.steps.iter().filter(|step| step.num_elements <= MAX_WALKED_ELEMENTS) {
        let len = |buffer: usize| plan.buffers[buffer].len as i128;
        for operand in &step.operands {
            assert!(max_offset(&operand.layout, step.num_elements) < len(operand.buffer), "{step:?}");
        }
        if let Kernel::Copy(copy) = &step.kernel {
            assert!(max_offset(&copy.dst, step.num_elements) < len(step.output), "{step:?}");
            if copy.zero_fill.is_none() {
                assert!(max_offset(&copy.src, step.num_elements) < len(step.inputs[0]), "{step:?}");
            }
        }
    }
    for stored in &plan.buffers {
        if let BufferSource::Weights(weights) = &stored.source {
            assert_eq!((weights.pack)().len(), stored.len, "{weights:?}");
        }
    }
}

#[test]
fn mutated_graphs_are_planned_or_rejected() {
    let mut planned = 0;
    for name in GRAPHS {
        let whole = graph(name);
        for round in 0..ROUNDS {
            let mut random = Rng::with_seed(round as u64);
            let mut graph = Graph {
                nodes: whole.nodes.clone(),
                constants: whole.constants.clone(),
                inputs: whole.inputs.clone(),
                outputs: whole.outputs.clone(),
                opset: match round % 5 {
                    0 => 9,
                    1 => 6,
                    _ => whole.opset,
                },
            };
            (0..random.usize(1..4)).for_each(|_| mutate(&mut graph, &mut random));
            let shapes: Vec<Vec<usize>> = match name {
                "table" => vec![vec![2, 1]; 2],
                "features" => vec![vec![2, 3]],
                "nhwc-bytes" => vec![vec![2, 32, 32, 3]],
                _ => vec![vec![2, 3, 32, 32]],
            };
            let requested = graph.outputs.clone();
            if let Ok(plan) = plan(&graph, &shapes, &requested) {
                planned += 1;
                check(&plan);
            }
        }
    }
    // Most mutations are rejected; enough have to be planned for the test to mean something.
    assert!(planned > GRAPHS.len() * ROUNDS / 20, "{planned}");
}
