//! [`Graph::parse`]: reads an ONNX file.
//!
//! `ocelli` reads the metadata of the same file for its backends (`GraphInfo`). This crate does not depend on it and reads the file
//! itself, so that it can be used alone.

use std::collections::{HashMap, HashSet};

use half::f16;
use rten_onnx::onnx::{AttributeProto, AttributeType, DataLocation, DataType, ModelProto, NodeProto, TensorProto};

use super::node::Attribute;
use super::opset::check_opset;
use super::{Constant, Graph, Node};
use crate::error::Error;

impl Graph {
    /// Reads an ONNX file; `external` holds the contents of external data files, by the names in the graph.
    ///
    /// # Errors
    /// [`Error::Graph`] when the file is inconsistent, [`Error::Unsupported`] for constants of an unsupported type.
    pub fn parse(file: &[u8], external: &[(String, Vec<u8>)]) -> Result<Self, Error> {
        let model = ModelProto::parse_buf(file).map_err(|error| invalid_graph(error.to_string()))?;
        let proto = model.graph.ok_or_else(|| invalid_graph("the file contains no graph".to_owned()))?;
        let standard =
            model.opset_import.iter().find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")));
        // Files of the first version of the format name no opset.
        let opset = standard.and_then(|set| set.version).unwrap_or(1);
        let mut constants = HashMap::new();
        for tensor in &proto.initializer {
            constants.insert(tensor.name.clone().unwrap_or_default(), constant(tensor, external)?);
        }
        let mut nodes = Vec::new();
        for node in proto.node {
            let node = self::node(node, external)?;
            match (node.op.as_str(), node.outputs.first()) {
                ("Constant", Some(output)) => {
                    let value = value(&node)?;
                    constants.insert(output.clone(), value);
                }
                // Exporters share equal weights this way.
                ("Identity", Some(output)) if node.input(0).is_some_and(|input| constants.contains_key(input)) => {
                    let shared = node.input(0).and_then(|input| constants.get(input)).cloned();
                    constants.extend(shared.map(|constant| (output.clone(), constant)));
                }
                _ => {
                    check_opset(&node, opset, &constants)?;
                    nodes.push(node);
                }
            }
        }
        let inputs = proto.input.into_iter().filter_map(|input| input.name);
        let inputs: Vec<String> = inputs.filter(|name| !constants.contains_key(name)).collect();
        let outputs = proto.output.into_iter().filter_map(|output| output.name).collect();
        let mut graph = Self { nodes, constants, inputs, outputs, opset };
        graph.sort()?;
        graph.fold_batch_norms();
        Ok(graph)
    }

    /// Sorts the nodes topologically: ONNX requires it, and not every exporter guarantees it.
    fn sort(&mut self) -> Result<(), Error> {
        let mut known: HashSet<String> = self.constants.keys().chain(&self.inputs).cloned().collect();
        let mut waiting = std::mem::take(&mut self.nodes);
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut later = Vec::new();
            for node in waiting {
                if node.inputs.iter().all(|input| input.is_empty() || known.contains(input)) {
                    known.extend(node.outputs.iter().cloned());
                    self.nodes.push(node);
                } else {
                    later.push(node);
                }
            }
            if later.len() == before {
                let missing = later.iter().flat_map(|node| &node.inputs).find(|input| !known.contains(*input));
                return Err(invalid_graph(format!("no node computes tensor '{}'", missing.map_or("", |name| name))));
            }
            waiting = later;
        }
        Ok(())
    }
}

fn invalid_graph(reason: String) -> Error {
    Error::Graph { reason }
}

fn node(proto: NodeProto, external: &[(String, Vec<u8>)]) -> Result<Node, Error> {
    let mut attributes = HashMap::new();
    for attribute in proto.attribute {
        let name = attribute.name.clone().unwrap_or_default();
        attributes.insert(name, self::attribute(attribute, external)?);
    }
    Ok(Node {
        op: proto.op_type.unwrap_or_default(),
        domain: proto.domain.filter(|domain| domain != "ai.onnx").unwrap_or_default(),
        name: proto.name.unwrap_or_default(),
        inputs: proto.input,
        outputs: proto.output,
        attributes,
    })
}

fn attribute(proto: AttributeProto, external: &[(String, Vec<u8>)]) -> Result<Attribute, Error> {
    // Files of IR version 1 have no attribute types.
    let guessed = match &proto {
        AttributeProto { i: Some(_), .. } => AttributeType::INT,
        AttributeProto { f: Some(_), .. } => AttributeType::FLOAT,
        AttributeProto { s: Some(_), .. } => AttributeType::STRING,
        AttributeProto { t: Some(_), .. } => AttributeType::TENSOR,
        AttributeProto { floats, .. } if !floats.is_empty() => AttributeType::FLOATS,
        _ => AttributeType::INTS,
    };
    Ok(match proto.r#type.or(Some(guessed)) {
        Some(AttributeType::INT) => Attribute::Int(proto.i.unwrap_or(0)),
        Some(AttributeType::FLOAT) => Attribute::Float(proto.f.unwrap_or(0.0)),
        Some(AttributeType::STRING) => Attribute::Text(proto.s.unwrap_or_default()),
        Some(AttributeType::INTS) => Attribute::Ints(proto.ints),
        Some(AttributeType::FLOATS) => Attribute::Floats(proto.floats),
        Some(AttributeType::TENSOR) => match &proto.t {
            Some(tensor) => Attribute::Tensor(constant(tensor, external)?),
            None => Attribute::Other,
        },
        _ => Attribute::Other,
    })
}

/// The value of a `Constant` node.
fn value(node: &Node) -> Result<Constant, Error> {
    let found = node.attributes.iter().find(|(name, _)| name.starts_with("value"));
    Ok(match found.map(|(_, value)| value) {
        Some(Attribute::Tensor(value)) => value.clone(),
        Some(Attribute::Float(value)) => Constant::floats(Vec::new(), vec![*value]),
        Some(Attribute::Int(value)) => Constant::ints(Vec::new(), vec![*value]),
        Some(Attribute::Floats(values)) => Constant::floats(vec![values.len()], values.clone()),
        Some(Attribute::Ints(values)) => Constant::ints(vec![values.len()], values.clone()),
        _ => return Err(node.unsupported("its value is not numeric")),
    })
}

fn constant(proto: &TensorProto, external: &[(String, Vec<u8>)]) -> Result<Constant, Error> {
    let name = proto.name.as_deref().unwrap_or_default();
    let broken = |what: &str| invalid_graph(format!("tensor '{name}' {what}"));
    let dims = proto.dims.iter().map(|&dim| usize::try_from(dim));
    let shape: Vec<usize> = dims.collect::<Result<_, _>>().map_err(|_| broken("has a negative dimension"))?;
    let len = shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim));
    let len = len.ok_or_else(|| broken("has too many elements"))?;
    let data_type = proto.data_type.unwrap_or(DataType(0));
    let raw = proto.raw_data.as_ref().map(|raw| raw.borrow());
    let bytes: Option<&[u8]> = match proto.data_location {
        Some(DataLocation::EXTERNAL) => {
            Some(external_bytes(proto, external).ok_or_else(|| broken("refers to a missing external data file"))?)
        }
        _ => raw.as_ref().map(|raw| raw.as_slice()),
    };
    fn decode_le<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|bytes| from(std::array::from_fn(|i| bytes[i]))).collect()
    }
    let ints = |values: Vec<i64>| Constant::ints(shape.clone(), values);
    let floats = |values: Vec<f32>| Constant::floats(shape.clone(), values);
    let int32: Vec<i64> = proto.int32_data.iter().map(|&value| value.into()).collect();
    let constant = match (data_type, bytes) {
        (DataType::FLOAT, Some(bytes)) => floats(decode_le(bytes, f32::from_le_bytes)),
        (DataType::FLOAT, None) => floats(proto.float_data.clone()),
        (DataType::DOUBLE, Some(bytes)) => floats(decode_le(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        (DataType::DOUBLE, None) => floats(proto.double_data.iter().map(|&value| value as f32).collect()),
        (DataType::FLOAT16, Some(bytes)) => floats(decode_le(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        (DataType::FLOAT16, None) => {
            floats(proto.int32_data.iter().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect())
        }
        (DataType::INT64, Some(bytes)) => ints(decode_le(bytes, i64::from_le_bytes)),
        (DataType::INT64, None) => ints(proto.int64_data.clone()),
        (DataType::INT32, Some(bytes)) => ints(decode_le(bytes, |bytes| i32::from_le_bytes(bytes).into())),
        (DataType::UINT8 | DataType::BOOL, Some(bytes)) => ints(bytes.iter().map(|&byte| byte.into()).collect()),
        (DataType::INT8, Some(bytes)) => ints(bytes.iter().map(|&byte| i64::from(byte as i8)).collect()),
        (DataType::INT32 | DataType::UINT8 | DataType::BOOL | DataType::INT8, None) => ints(int32),
        (other, _) => {
            let type_name = other.name().map_or_else(|| other.0.to_string(), str::to_lowercase);
            return Err(invalid_graph(format!(
                "tensor '{name}' has element type {type_name}, which the GPU backend does not support"
            )));
        }
    };
    match constant.len() == len {
        true => Ok(constant),
        false => Err(broken(&format!("has {} elements for shape {shape:?}", constant.len()))),
    }
}

/// The bytes of a tensor in an external data file.
fn external_bytes<'a>(proto: &TensorProto, external: &'a [(String, Vec<u8>)]) -> Option<&'a [u8]> {
    let entry = |key: &str| {
        let entry = proto.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        entry.and_then(|entry| entry.value.as_deref())
    };
    let (_, bytes) = external.iter().find(|(name, _)| Some(name.as_str()) == entry("location"))?;
    let offset = entry("offset").map_or(Some(0), |text| text.parse().ok())?;
    let rest = bytes.get(offset..)?;
    match entry("length") {
        Some(length) => rest.get(..length.parse().ok()?),
        None => Some(rest),
    }
}
