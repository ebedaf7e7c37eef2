//! Builds small ONNX graphs.

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// A node attribute.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

/// An initializer.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Floats(Vec<usize>, Vec<f32>),
    Ints(Vec<i64>),
}

/// `(operator, inputs, outputs, attributes)`.
pub(super) type Node = (&'static str, Vec<&'static str>, Vec<&'static str>, Vec<(&'static str, Attribute)>);

/// Serializes a graph with these inputs and the output `y`.
pub(super) fn file(
    inputs: &[(&str, &[usize])],
    constants: &[(&str, Constant)],
    nodes: Vec<Node>,
    opset: i64,
) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes.into_iter().map(node).collect(),
        initializer: constants.iter().map(|(name, value)| constant(name, value)).collect(),
        input: inputs.iter().map(|(name, shape)| info(name, Some(shape))).collect(),
        output: vec![info("y", None)],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: Some(opset), ..OperatorSetIdProto::default() };
    let model =
        ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() };
    model.write_buf().expect("it serializes")
}

/// Expands `x [rows, 1]` to `[rows, width]` and reduces it to the maximum of each row.
pub(super) fn expanded_and_reduced(width: usize) -> Vec<u8> {
    let constants = [("shape", Constant::Ints(vec![1, width as i64]))];
    let attributes = vec![("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(1))];
    let nodes = vec![
        ("Expand", vec!["x", "shape"], vec!["expanded"], Vec::new()),
        ("ReduceMax", vec!["expanded"], vec!["y"], attributes),
    ];
    file(&[("x", &[1, 1])], &constants, nodes, 17)
}

/// Divides `x [2]`, an int64 input, by 2.
pub(super) fn int64_division() -> Vec<u8> {
    let constants = [("two", Constant::Ints(vec![2]))];
    let file = file(&[("x", &[2])], &constants, vec![("Div", vec!["x", "two"], vec!["y"], Vec::new())], 17);
    let mut model = ModelProto::parse_buf(&file).expect("it parses");
    let graph = model.graph.as_mut().expect("it has a graph");
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(tensor) = value.r#type.as_mut().and_then(|value_type| value_type.tensor_type.as_mut()) {
            tensor.elem_type = Some(DataType::INT64);
        }
    }
    model.write_buf().expect("it serializes")
}

fn node((op, inputs, outputs, attributes): Node) -> NodeProto {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    NodeProto {
        op_type: Some(op.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        attribute: attributes.into_iter().map(attribute).collect(),
        ..NodeProto::default()
    }
}

fn attribute((name, value): (&str, Attribute)) -> AttributeProto {
    let empty = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    match value {
        Attribute::Int(value) => AttributeProto { i: Some(value), r#type: Some(AttributeType::INT), ..empty },
        Attribute::Float(value) => AttributeProto { f: Some(value), r#type: Some(AttributeType::FLOAT), ..empty },
        Attribute::Ints(values) => AttributeProto { ints: values, r#type: Some(AttributeType::INTS), ..empty },
        Attribute::Text(text) => {
            AttributeProto { s: Some(text.to_owned()), r#type: Some(AttributeType::STRING), ..empty }
        }
    }
}

fn constant(name: &str, value: &Constant) -> TensorProto {
    let named = TensorProto { name: Some(name.to_owned()), ..TensorProto::default() };
    match value {
        Constant::Floats(shape, values) => TensorProto {
            dims: shape.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(DataType::FLOAT),
            float_data: values.clone(),
            ..named
        },
        Constant::Ints(values) => TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(DataType::INT64),
            int64_data: values.clone(),
            ..named
        },
    }
}

fn info(name: &str, shape: Option<&[usize]>) -> ValueInfoProto {
    let dim = |&dim: &usize| Dimension { dim_value: Some(dim as i64), ..Dimension::default() };
    let shape = shape.map(|shape| TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor_type = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() });
    ValueInfoProto { name: Some(name.to_owned()), r#type }
}
