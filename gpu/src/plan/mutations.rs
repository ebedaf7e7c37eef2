//! Damaged graphs: whatever a file says, planning it gives steps that stay in their buffers, or one sentence.

use std::path::Path;

use fastrand::Rng;

use super::{Plan, Source, plan};
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

fn number(random: &mut Rng) -> i64 {
    const ODD: [i64; 10] = [0, 1, 2, 3, -1, -2, 7, 1 << 32, i64::MAX, i64::MIN];
    random.choice(ODD).unwrap_or(0)
}

/// Changes one thing.
fn damage(graph: &mut Graph, random: &mut Rng) {
    let names: Vec<String> = graph.constants.keys().cloned().collect();
    let tensors: Vec<String> = graph.nodes.iter().flat_map(|node| node.outputs.clone()).chain(names.clone()).collect();
    let number_of = random.usize(0..graph.nodes.len());
    let node = &mut graph.nodes[number_of];
    match random.u8(0..6) {
        0 => {
            let ints: Vec<i64> = (0..random.usize(0..5)).map(|_| number(random)).collect();
            const NAMES: [&str; 10] =
                ["axes", "pads", "strides", "dilations", "kernel_shape", "perm", "split", "starts", "ends", "shape"];
            let name = random.choice(node.attributes.keys().cloned().collect::<Vec<_>>());
            let name = name.unwrap_or_else(|| NAMES[random.usize(0..NAMES.len())].to_owned());
            node.attributes.insert(name, Attribute::Ints(ints));
        }
        1 => {
            const NAMES: [&str; 7] = ["axis", "group", "transA", "transB", "keepdims", "ceil_mode", "to"];
            node.attributes.insert(NAMES[random.usize(0..NAMES.len())].to_owned(), Attribute::Int(number(random)));
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
                true => Constant::ints(vec![3], (0..3).map(|_| number(random)).collect()),
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

/// The last place that a kernel reads or writes for `count` numbers, by walking over all of them.
fn last(places: &StridedLayout, count: usize) -> i128 {
    let place = |i: usize| {
        let (mut rest, mut place) = (i as i128, places.offset as i128);
        for (number, (&dim, &stride)) in places.dims.iter().zip(&places.strides).enumerate().rev() {
            let index = if number == 0 { rest } else { rest % dim as i128 };
            place += index * stride as i128;
            rest /= dim as i128;
        }
        place
    };
    (0..count).map(place).max().unwrap_or(-1)
}

/// That copies and operands stay in their buffers.
fn check(plan: &Plan) {
    /// Larger ones take long, and are made alike.
    const MOST: usize = 10_000;
    for step in plan.steps.iter().filter(|step| step.count <= MOST) {
        let len = |storage: usize| plan.storages[storage].len as i128;
        for operand in &step.operands {
            assert!(last(&operand.places, step.count) < len(operand.storage), "{step:?}");
        }
        if let Kernel::Copy(copy) = &step.kernel {
            assert!(last(&copy.dst, step.count) < len(step.output), "{step:?}");
            if copy.zero_fill.is_none() {
                assert!(last(&copy.src, step.count) < len(step.inputs[0]), "{step:?}");
            }
        }
    }
    for stored in &plan.storages {
        if let Source::Weights(weights) = &stored.source {
            assert_eq!((weights.prepare)().len(), stored.len, "{weights:?}");
        }
    }
}

#[test]
fn damaged_graphs_are_refused_or_planned() {
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
                opset: if round % 5 == 0 { 9 } else { whole.opset },
            };
            (0..random.usize(1..4)).for_each(|_| damage(&mut graph, &mut random));
            let shapes: Vec<Vec<usize>> = match name {
                "table" => vec![vec![2, 1]; 2],
                "features" => vec![vec![2, 3]],
                "nhwc-bytes" => vec![vec![2, 32, 32, 3]],
                _ => vec![vec![2, 3, 32, 32]],
            };
            let wanted = graph.outputs.clone();
            if let Ok(plan) = plan(&graph, &shapes, &wanted) {
                planned += 1;
                check(&plan);
            }
        }
    }
    // Most changes make no sense; some do, and are to be looked at.
    assert!(planned > GRAPHS.len() * ROUNDS / 20, "{planned}");
}
