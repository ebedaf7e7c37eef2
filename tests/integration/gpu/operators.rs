//! Each operator on shapes that are not multiples of a tile, compared with rten, an independent implementation.

use std::error::Error;

use fastrand::Rng;
use libtest_mimic::Trial;
use ocelli_gpu::{Graph, Input, Model, Precision};
use rten::ModelOptions;
use rten_tensor::{AsView, Layout, TensorView};

use super::onnx::Attribute::{Float, Int, Ints, Text};
use super::onnx::Constant::{self, Floats};
use super::onnx::{Node, file};
use super::{device, missing, missing_half};
use crate::requirement::require;
use crate::trial;

/// A graph of a few operators, with one or two inputs.
struct Case {
    inputs: Vec<(&'static str, Vec<usize>)>,
    constants: Vec<(&'static str, Constant)>,
    nodes: Vec<Node>,
    opset: i64,
}

/// Random graphs per generator.
const ROUNDS: usize = 12;

type Generator = fn(&mut Rng) -> Case;

const GENERATORS: [(&str, Generator); 13] = [
    ("convolutions", convolution),
    ("depthwise_convolutions", depthwise),
    ("chains_after_convolutions", chain),
    ("pools", pool),
    ("reductions", reduction),
    ("weights", weights),
    ("products", product),
    ("arithmetic", arithmetic),
    ("functions", function),
    ("normalizations", normalization),
    ("concatenations", concatenation),
    ("slices", slice),
    ("shapes", shapes),
];

/// Operators that are continuous in their inputs, so that rounding these to 16 bits has a bounded effect.
const HALF: [&str; 6] = ["convolutions", "depthwise_convolutions", "pools", "weights", "products", "concatenations"];

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, generator) in GENERATORS {
        let full = trial(format!("gpu::operators::{name}"), move || compare_with_rten(generator, Precision::F32));
        trials.push(require("gpu", missing(), full));
        if HALF.contains(&name) {
            let half =
                trial(format!("gpu::operators::f16::{name}"), move || compare_with_rten(generator, Precision::F16));
            trials.push(require("gpu", missing_half(), half));
        }
    }
    trials
}

fn compare_with_rten(generator: Generator, precision: Precision) -> Result<(), Box<dyn Error>> {
    let tolerance = match precision {
        // Another order of summation over a few hundred products, and approximated functions.
        Precision::F32 => 2e-5,
        // Inputs, weights and results have 11 significant bits; the rounding errors of a sum partly cancel.
        Precision::F16 => 4e-3,
    };
    for round in 0..ROUNDS {
        let mut random = Rng::with_seed(round as u64);
        let case = generator(&mut random);
        let inputs: Vec<(&str, &[usize])> = case.inputs.iter().map(|(name, shape)| (*name, &shape[..])).collect();
        let bytes = file(&inputs, &case.constants, case.nodes.clone(), case.opset);
        let values: Vec<Vec<f32>> =
            case.inputs.iter().map(|(_, shape)| floats(&mut random, shape.iter().product())).collect();
        let description = format!("round {round}: {:?} of {:?}", case.nodes, case.inputs);
        let (shape, expected) =
            rten(bytes.clone(), &inputs, &values).map_err(|error| format!("{description}: {error}"))?;
        let model = Model::new(device()?, Graph::parse(&bytes, &[])?.into(), precision)?;
        let given: Vec<Input> = inputs
            .iter()
            .zip(&values)
            .map(|((_, shape), values)| Input { shape: shape.to_vec(), chunks: vec![values] })
            .collect();
        let ours = model.run(&given, &["y".to_owned()]).map_err(|error| format!("{description}: {error}"))?.remove(0);
        assert_eq!(ours.shape, shape, "{description}");
        let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        let worst = ours.values.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, |worst: f32, other| if other.is_nan() { f32::INFINITY } else { worst.max(other) });
        assert!(worst <= tolerance * largest, "{description}: {worst} of {largest}");
    }
    Ok(())
}

fn rten(
    file: Vec<u8>,
    inputs: &[(&str, &[usize])],
    values: &[Vec<f32>],
) -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
    let model = ModelOptions::with_all_ops().load(file)?;
    let given = inputs
        .iter()
        .zip(values)
        .map(|((name, shape), values)| Ok((model.node_id(name)?, TensorView::from_data(*shape, &values[..]).into())));
    let given = given.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let mut results = model.run(given, &[model.node_id("y")?], None)?;
    let tensor: rten_tensor::Tensor<f32> = results.remove(0).try_into().map_err(|_| "its output is not f32")?;
    Ok((tensor.shape().to_vec(), tensor.to_vec()))
}

fn floats(random: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn constant(random: &mut Rng, shape: &[usize]) -> Constant {
    Floats(shape.to_vec(), floats(random, shape.iter().product()))
}

fn ints<T: Copy + Into<i64>>(values: &[T]) -> super::onnx::Attribute {
    Ints(values.iter().map(|&value| value.into()).collect())
}

fn one(
    op: &'static str,
    inputs: Vec<&'static str>,
    attributes: Vec<(&'static str, super::onnx::Attribute)>,
) -> Vec<Node> {
    vec![(op, inputs, vec!["y"], attributes)]
}

/// A 1 x 1 convolution, whose output is channels-last (NHWC).
fn channels_last(output: &'static str) -> Node {
    ("Conv", vec!["x", "w"], vec![output], vec![("kernel_shape", ints(&[1, 1]))])
}

/// An image size, and the kernel size and attributes of a window that fits into it.
fn window(random: &mut Rng) -> ([usize; 2], [usize; 2], Vec<(&'static str, super::onnx::Attribute)>) {
    let kernel = [random.usize(1..5), random.usize(1..5)];
    let dilations = [random.i32(1..3), random.i32(1..3)];
    let image = [0, 1].map(|axis| kernel[axis] * dilations[axis] as usize + random.usize(0..9));
    let mut attributes = vec![
        ("kernel_shape", ints(&kernel.map(|size| size as i32))),
        ("strides", ints(&[random.i32(1..4), random.i32(1..4)])),
        ("dilations", ints(&dilations)),
    ];
    let pads = [0, 1, 0, 1].map(|axis: usize| random.usize(0..kernel[axis]) as i32);
    match random.u8(0..4) {
        0 => attributes.push(("auto_pad", Text("SAME_UPPER"))),
        1 => {}
        _ => attributes.push(("pads", ints(&pads))),
    }
    (image, kernel, attributes)
}

fn convolution(random: &mut Rng) -> Case {
    let group = [1, 1, 2, 3][random.usize(0..4)];
    let (depth, columns) =
        ([1, 3, 4, 8, 20][random.usize(0..5)].max(if group > 1 { 2 } else { 1 }), random.usize(1..40));
    let ([height, width], kernel, mut attributes) = window(random);
    attributes.push(("group", Int(group as i64)));
    let channels = columns * group;
    Case {
        inputs: vec![("x", vec![random.usize(1..4), depth * group, height, width])],
        constants: vec![
            ("w", constant(random, &[channels, depth, kernel[0], kernel[1]])),
            ("b", constant(random, &[channels])),
        ],
        nodes: one("Conv", if random.bool() { vec!["x", "w", "b"] } else { vec!["x", "w"] }, attributes),
        opset: 17,
    }
}

fn depthwise(random: &mut Rng) -> Case {
    let (group, times) = (random.usize(2..20), random.usize(1..3));
    let ([height, width], kernel, mut attributes) = window(random);
    attributes.push(("group", Int(group as i64)));
    Case {
        inputs: vec![("x", vec![2, group, height, width])],
        constants: vec![("w", constant(random, &[group * times, 1, kernel[0], kernel[1]]))],
        nodes: one("Conv", vec!["x", "w"], attributes),
        opset: 17,
    }
}

/// Two convolutions that are added, with a channel gate and a residual: tests epilogue fusion.
fn chain(random: &mut Rng) -> Case {
    let (in_channels, out_channels) = (random.usize(1..9), random.usize(2..9));
    let per_channel = |random: &mut Rng| constant(random, &[out_channels]);
    let norm = vec!["n1", "s", "t", "m", "v"];
    let variance = Floats(vec![out_channels], (0..out_channels).map(|_| random.f32() + 0.5).collect());
    Case {
        inputs: vec![("x", vec![2, in_channels, 6, 5])],
        constants: vec![
            ("w1", constant(random, &[out_channels, in_channels, 3, 3])),
            ("w2", constant(random, &[out_channels, in_channels, 1, 1])),
            ("s", per_channel(random)),
            ("t", per_channel(random)),
            ("m", per_channel(random)),
            ("v", variance),
            ("half", Floats(Vec::new(), vec![0.5])),
        ],
        nodes: vec![
            ("Conv", vec!["x", "w1"], vec!["n1"], vec![("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1, 1, 1, 1]))]),
            ("BatchNormalization", norm, vec!["n2"], Vec::new()),
            ("Conv", vec!["x", "w2"], vec!["n3"], vec![("kernel_shape", ints(&[1, 1]))]),
            ("Add", vec!["n2", "n3"], vec!["n4"], Vec::new()),
            ("Relu", vec!["n4"], vec!["n5"], Vec::new()),
            ("GlobalAveragePool", vec!["n5"], vec!["n6"], Vec::new()),
            ("Sigmoid", vec!["n6"], vec!["n7"], Vec::new()),
            ("Mul", vec!["n5", "n7"], vec!["n8"], Vec::new()),
            ("Sub", vec!["n8", "n3"], vec!["n9"], Vec::new()),
            ("Mul", vec!["n9", "half"], vec!["y"], Vec::new()),
        ],
        opset: 17,
    }
}

fn pool(random: &mut Rng) -> Case {
    let ([height, width], kernel, mut attributes) = window(random);
    let op = if random.bool() { "MaxPool" } else { "AveragePool" };
    // rten supports neither dilations of average pooling nor ceil_mode.
    attributes.retain(|(name, _)| *name != "dilations");
    if op == "AveragePool" {
        attributes.push(("count_include_pad", Int(random.i64(0..2))));
    }
    let _ = kernel;
    Case {
        inputs: vec![("x", vec![2, random.usize(1..9), height, width])],
        constants: Vec::new(),
        nodes: one(op, vec!["x"], attributes),
        opset: 17,
    }
}

fn reduction(random: &mut Rng) -> Case {
    let op = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"][random.usize(0..4)];
    let shape: Vec<usize> = (0..4).map(|_| random.usize(1..7)).collect();
    let mut axes: Vec<i64> = (0..4).filter(|_| random.bool()).collect();
    if axes.is_empty() {
        axes.push(-1);
    }
    let keepdims = ("keepdims", Int(random.i64(0..2)));
    let conv = channels_last("n");
    let (inputs, attributes) = match op {
        "ReduceSum" => (vec!["n", "axes"], vec![keepdims]),
        _ => (vec!["n"], vec![keepdims, ("axes", Ints(axes.clone()))]),
    };
    Case {
        constants: vec![("w", constant(random, &[shape[1], shape[1], 1, 1])), ("axes", Constant::Ints(axes))],
        inputs: vec![("x", shape)],
        nodes: vec![conv, (op, inputs, vec!["y"], attributes)],
        opset: 17,
    }
}

fn weights(random: &mut Rng) -> Case {
    let (rows, depth, columns) = (random.usize(1..70), random.usize(1..70), random.usize(1..70));
    let (is_transposed, c) = (random.bool(), [vec![columns], vec![1], vec![rows, columns]][random.usize(0..3)].clone());
    let shape = if is_transposed { [columns, depth] } else { [depth, columns] };
    let attributes = vec![("transB", Int(is_transposed.into())), ("alpha", Float(0.5)), ("beta", Float(2.0))];
    Case {
        inputs: vec![("x", vec![rows, depth])],
        constants: vec![("w", constant(random, &shape)), ("c", constant(random, &c))],
        nodes: one("Gemm", vec!["x", "w", "c"], attributes),
        opset: 17,
    }
}

fn product(random: &mut Rng) -> Case {
    let (rows, depth, columns) = (random.usize(1..40), random.usize(1..40), random.usize(1..40));
    let heads = random.usize(1..5);
    let (is_transposed, is_matrix) = (random.bool(), random.bool());
    let shape = if is_matrix { vec![depth, columns] } else { vec![heads, depth, columns] };
    let input = if is_transposed { [&shape[..shape.len() - 2], &[columns, depth]].concat() } else { shape.clone() };
    let rank = input.len() as i64;
    let mut order: Vec<i64> = (0..rank).collect();
    order.swap(input.len() - 2, input.len() - 1);
    let mut nodes = vec![("MatMul", vec!["x", if is_transposed { "t" } else { "z" }], vec!["y"], Vec::new())];
    if is_transposed {
        nodes.insert(0, ("Transpose", vec!["z"], vec!["t"], vec![("perm", Ints(order))]));
    }
    Case { inputs: vec![("x", vec![heads, rows, depth]), ("z", input)], constants: Vec::new(), nodes, opset: 17 }
}

fn arithmetic(random: &mut Rng) -> Case {
    let op = ["Add", "Sub", "Mul", "Div", "Max", "Min"][random.usize(0..6)];
    let shape: Vec<usize> = (0..4).map(|_| random.usize(1..6)).collect();
    let skipped = random.usize(0..3);
    let other: Vec<usize> = shape[skipped..].iter().map(|&dim| if random.bool() { dim } else { 1 }).collect();
    // The operands have different memory layouts.
    let transpose = ("Transpose", vec!["x"], vec!["t"], vec![("perm", ints(&[0, 2, 3, 1]))]);
    let transpose_back = ("Transpose", vec!["s"], vec!["n"], vec![("perm", ints(&[0, 3, 1, 2]))]);
    let nodes = vec![
        transpose,
        ("Abs", vec!["t"], vec!["s"], Vec::new()),
        transpose_back,
        (op, vec!["z", "n"], vec!["y"], Vec::new()),
    ];
    // Keeps divisors away from 0.
    let nodes = if op == "Div" {
        vec![("Exp", vec!["x"], vec!["n"], Vec::new()), (op, vec!["z", "n"], vec!["y"], Vec::new())]
    } else {
        nodes
    };
    Case { inputs: vec![("x", shape), ("z", other)], constants: Vec::new(), nodes, opset: 17 }
}

fn function(random: &mut Rng) -> Case {
    const FUNCTIONS: [&str; 17] = [
        "Relu",
        "Sigmoid",
        "Tanh",
        "Erf",
        "Exp",
        "Neg",
        "Abs",
        "Floor",
        "Ceil",
        "HardSwish",
        "HardSigmoid",
        "Elu",
        "LeakyRelu",
        "Gelu",
        "Clip",
        "Softplus",
        "Round",
    ];
    // Chains of three.
    let first = random.usize(0..FUNCTIONS.len());
    let names = ["x", "a", "b", "y"];
    let nodes = (0..3).map(|position| {
        let op = FUNCTIONS[(first + position) % FUNCTIONS.len()];
        let inputs = if op == "Clip" { vec![names[position], "low", "high"] } else { vec![names[position]] };
        let attributes = match op {
            "Gelu" if random.bool() => vec![("approximate", Text("tanh"))],
            "LeakyRelu" | "Elu" => vec![("alpha", Float(0.3))],
            _ => Vec::new(),
        };
        (op, inputs, vec![names[position + 1]], attributes)
    });
    Case {
        nodes: nodes.collect(),
        inputs: vec![("x", vec![3, random.usize(1..300)])],
        constants: vec![("low", Floats(Vec::new(), vec![-0.3])), ("high", Floats(Vec::new(), vec![0.4]))],
        opset: 20,
    }
}

fn normalization(random: &mut Rng) -> Case {
    let shape: Vec<usize> = vec![random.usize(1..4), random.usize(1..5), random.usize(1..5), random.usize(1..200)];
    let width = shape[3];
    let (op, inputs, attributes) = match random.u8(0..3) {
        0 => ("Softmax", vec!["x"], vec![("axis", Int(random.i64(-4..4)))]),
        1 => ("LayerNormalization", vec!["x", "s", "b"], vec![("axis", Int(-1)), ("epsilon", Float(1e-3))]),
        _ => ("BatchNormalization", vec!["x", "one", "one", "one", "one"], Vec::new()),
    };
    Case {
        constants: vec![
            ("s", constant(random, &[width])),
            ("b", constant(random, &[width])),
            ("one", Floats(vec![shape[1]], (0..shape[1]).map(|_| random.f32() + 0.5).collect())),
        ],
        inputs: vec![("x", shape)],
        nodes: one(op, inputs, attributes),
        opset: 17,
    }
}

fn concatenation(random: &mut Rng) -> Case {
    let axis = random.usize(0..4);
    let first: Vec<usize> = (0..4).map(|_| random.usize(1..6)).collect();
    let mut second = first.clone();
    second[axis] = random.usize(1..6);
    let conv = channels_last("n");
    let concat = (
        "Concat",
        vec!["n", "z", "n"],
        vec!["y"],
        vec![("axis", Int(axis as i64 - if random.bool() { 4 } else { 0 }))],
    );
    Case {
        constants: vec![("w", constant(random, &[first[1], first[1], 1, 1]))],
        inputs: vec![("x", first), ("z", second)],
        nodes: vec![conv, concat],
        opset: 17,
    }
}

fn slice(random: &mut Rng) -> Case {
    let shape: Vec<usize> = (0..4).map(|_| random.usize(2..8)).collect();
    let axis = random.usize(0..4);
    let len = shape[axis] as i64;
    let conv = channels_last("n");
    let w = ("w", constant(random, &[shape[1], shape[1], 1, 1]));
    let (constants, node): (Vec<(&str, Constant)>, Node) = match random.u8(0..4) {
        0 => {
            let start = random.i64(0..len);
            let step = if random.bool() { 2 } else { -1 };
            let end = if step > 0 { i64::MAX } else { -len - 1 };
            let lists = [("s", start), ("e", end), ("a", axis as i64), ("k", step)];
            let lists = lists.map(|(name, value)| (name, Constant::Ints(vec![value])));
            (lists.to_vec(), ("Slice", vec!["n", "s", "e", "a", "k"], vec!["y"], Vec::new()))
        }
        1 => {
            let front = random.i64(1..len);
            let parts = ("s", Constant::Ints(vec![front, len - front]));
            (vec![parts], ("Split", vec!["n", "s"], vec!["first", "y"], vec![("axis", Int(axis as i64))]))
        }
        2 => {
            let indices = Constant::Ints(vec![len - 1, 0, -1]);
            (vec![("i", indices)], ("Gather", vec!["n", "i"], vec!["y"], vec![("axis", Int(axis as i64))]))
        }
        _ => {
            let pads: Vec<i64> = (0..8).map(|_| random.i64(0..3)).collect();
            let constants = vec![("p", Constant::Ints(pads)), ("c", Floats(Vec::new(), vec![0.25]))];
            (constants, ("Pad", vec!["n", "p", "c"], vec!["y"], Vec::new()))
        }
    };
    Case { inputs: vec![("x", shape)], constants: [vec![w], constants].concat(), nodes: vec![conv, node], opset: 17 }
}

/// Transposed, merged, inserted and broadcast axes.
fn shapes(random: &mut Rng) -> Case {
    let shape: Vec<usize> = (0..4).map(|_| random.usize(1..6)).collect();
    let mut order = [0, 1, 2, 3];
    random.shuffle(&mut order);
    Case {
        constants: vec![
            ("w", constant(random, &[shape[1], shape[1], 1, 1])),
            ("joined", Constant::Ints(vec![0, -1])),
            ("axes", Constant::Ints(vec![1, -1])),
            ("wide", Constant::Ints(vec![1, 3, 1, 2])),
        ],
        inputs: vec![("x", shape)],
        nodes: vec![
            channels_last("a"),
            ("Transpose", vec!["a"], vec!["b"], vec![("perm", ints(&order))]),
            ("Reshape", vec!["b", "joined"], vec!["c"], Vec::new()),
            ("Unsqueeze", vec!["c", "axes"], vec!["d"], Vec::new()),
            ("Expand", vec!["d", "wide"], vec!["e"], Vec::new()),
            ("Relu", vec!["e"], vec!["y"], Vec::new()),
        ],
        opset: 17,
    }
}
