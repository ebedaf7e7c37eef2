//! [`replace_zip_maps`]: the operator ZipMap at the end of a graph is replaced by the tensor that it reads.
//!
//! scikit-learn's classifiers, as skl2onnx writes them by default, end with `ZipMap`: a sequence of maps from label to score. `predict`
//! returns a struct with one field per label instead, from the tensor `[rows, labels]`, which every backend can compute.

use std::collections::{BTreeMap, BTreeSet};

use rten_onnx::onnx::{GraphProto, NodeProto};

use super::wire::{encode_field, fields};

/// The labels of the outputs that a ZipMap computes, by the names of the outputs.
pub(crate) type ZipMaps = BTreeMap<String, Vec<String>>;

/// Field numbers in `onnx.proto`.
const MODEL_GRAPH: u8 = 7;
const MODEL_OPSET_IMPORT: u8 = 8;
const GRAPH_NODE: u8 = 1;
const GRAPH_OUTPUT: u8 = 12;
const NODE_INPUT: u8 = 1;
const NODE_OUTPUT: u8 = 2;
const NODE_OP_TYPE: u8 = 4;
const NODE_DOMAIN: u8 = 7;
const INFO_NAME: u8 = 1;
const INFO_TYPE: u8 = 2;
const TYPE_TENSOR: u8 = 1;

const OPERATOR: &str = "ZipMap";
const DOMAIN: &str = "ai.onnx.ml";

/// The outputs of a graph that a ZipMap with distinct labels computes.
pub(super) fn zip_maps(graph: &GraphProto) -> ZipMaps {
    let is_output = |name: &String| graph.output.iter().any(|output| output.name.as_ref() == Some(name));
    let found = graph.node.iter().filter_map(|node| {
        let is_zip_map = node.op_type.as_deref() == Some(OPERATOR) && node.domain.as_deref() == Some(DOMAIN);
        let output = node.output.first().filter(|output| is_zip_map && is_output(output))?;
        Some((output.clone(), labels(node)?))
    });
    found.collect()
}

/// Integers are written in decimals.
fn labels(node: &NodeProto) -> Option<Vec<String>> {
    /// Each label becomes a column.
    const MAX_LABELS: usize = 10_000;
    let find = |name: &str| node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
    let integers = find("classlabels_int64s").filter(|attribute| !attribute.ints.is_empty());
    let labels: Vec<String> = match integers {
        Some(attribute) => attribute.ints.iter().map(ToString::to_string).collect(),
        None => find("classlabels_strings")?.strings.clone(),
    };
    let num_distinct = labels.iter().collect::<BTreeSet<_>>().len();
    (num_distinct == labels.len() && (1..=MAX_LABELS).contains(&num_distinct)).then_some(labels)
}

/// The file with an `Identity` in place of each ZipMap in `zip_maps`, and float tensors as these outputs. `opset` is the version of the
/// default domain, 0 if the file does not use it.
pub(crate) fn replace_zip_maps(file: &[u8], zip_maps: &ZipMaps, opset: i64) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(file.len());
    // The file has been validated.
    for field in fields(file).map_while(Result::ok) {
        match field.content.filter(|_| field.number == u64::from(MODEL_GRAPH)) {
            Some(graph) => replaced.extend(encode_field(MODEL_GRAPH, &replace_in_graph(graph, zip_maps))),
            None => replaced.extend_from_slice(field.bytes),
        }
    }
    if opset == 0 {
        // `OperatorSetIdProto.version = 2`, a varint: the opset of version 7 of the format.
        replaced.extend(encode_field(MODEL_OPSET_IMPORT, &[2 << 3, 13]));
    }
    replaced
}

fn replace_in_graph(graph: &[u8], zip_maps: &ZipMaps) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(graph.len());
    for field in fields(graph).map_while(Result::ok) {
        let new = match (u8::try_from(field.number), field.content) {
            (Ok(GRAPH_NODE), Some(node)) => identity(node, zip_maps).map(|node| encode_field(GRAPH_NODE, &node)),
            (Ok(GRAPH_OUTPUT), Some(info)) => tensor_info(info, zip_maps).map(|info| encode_field(GRAPH_OUTPUT, &info)),
            _ => None,
        };
        match new {
            Some(new) => replaced.extend(new),
            None => replaced.extend_from_slice(field.bytes),
        }
    }
    replaced
}

/// The first field with a number, if it is length-delimited.
fn content(message: &[u8], number: u8) -> Option<&[u8]> {
    fields(message).map_while(Result::ok).find(|field| field.number == u64::from(number))?.content
}

fn is_zipped(name: &[u8], zip_maps: &ZipMaps) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| zip_maps.contains_key(name))
}

/// The node that passes the input of a ZipMap on, `None` for other nodes.
fn identity(node: &[u8], zip_maps: &ZipMaps) -> Option<Vec<u8>> {
    let is_zip_map = content(node, NODE_OP_TYPE) == Some(OPERATOR.as_bytes())
        && content(node, NODE_DOMAIN) == Some(DOMAIN.as_bytes());
    let output = content(node, NODE_OUTPUT).filter(|output| is_zip_map && is_zipped(output, zip_maps))?;
    let input = content(node, NODE_INPUT)?;
    Some(
        [encode_field(NODE_INPUT, input), encode_field(NODE_OUTPUT, output), encode_field(NODE_OP_TYPE, b"Identity")]
            .concat(),
    )
}

/// The declaration of a float tensor, `None` for other outputs.
fn tensor_info(info: &[u8], zip_maps: &ZipMaps) -> Option<Vec<u8>> {
    let name = content(info, INFO_NAME).filter(|name| is_zipped(name, zip_maps))?;
    // `TypeProto.Tensor.elem_type = 1`, a varint: `TensorProto.FLOAT`.
    let float_tensor = encode_field(TYPE_TENSOR, &[1 << 3, 1]);
    Some([encode_field(INFO_NAME, name), encode_field(INFO_TYPE, &float_tensor)].concat())
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::{AttributeProto, ModelProto, ValueInfoProto};

    use super::*;

    fn zip_map(attribute: AttributeProto) -> NodeProto {
        NodeProto {
            op_type: Some(OPERATOR.to_owned()),
            domain: Some(DOMAIN.to_owned()),
            input: vec!["scores".to_owned()],
            output: vec!["y".to_owned()],
            attribute: vec![attribute],
            ..NodeProto::default()
        }
    }

    fn strings(labels: &[&str]) -> AttributeProto {
        AttributeProto {
            name: Some("classlabels_strings".to_owned()),
            strings: labels.iter().map(|label| (*label).to_owned()).collect(),
            ..AttributeProto::default()
        }
    }

    #[test]
    fn labels_are_texts() {
        let integers = AttributeProto {
            name: Some("classlabels_int64s".to_owned()),
            ints: vec![3, -5],
            ..AttributeProto::default()
        };
        assert_eq!(labels(&zip_map(integers)), Some(vec!["3".to_owned(), "-5".to_owned()]));
        assert_eq!(labels(&zip_map(strings(&["a", "b"]))), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(labels(&zip_map(strings(&["a", "a"]))), None, "they are not distinct");
        assert_eq!(labels(&zip_map(strings(&[]))), None);
    }

    #[test]
    fn zip_maps_become_identities() {
        let relu = NodeProto {
            op_type: Some("Relu".to_owned()),
            input: vec!["x".to_owned()],
            output: vec!["scores".to_owned()],
            ..NodeProto::default()
        };
        let info = |name: &str| ValueInfoProto { name: Some(name.to_owned()), r#type: None };
        let graph = GraphProto {
            node: vec![relu, zip_map(strings(&["a", "b"]))],
            input: vec![info("x")],
            output: vec![info("y")],
            ..GraphProto::default()
        };
        let zip_maps = zip_maps(&graph);
        assert_eq!(zip_maps.keys().collect::<Vec<_>>(), ["y"]);
        let file = ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() };
        let replaced = replace_zip_maps(&file.write_buf().unwrap(), &zip_maps, 0);
        let model = ModelProto::parse_buf(&replaced).unwrap();
        let graph = model.graph.unwrap();
        let operators: Vec<_> = graph.node.iter().filter_map(|node| node.op_type.as_deref()).collect();
        assert_eq!((operators, model.ir_version), (vec!["Relu", "Identity"], Some(8)));
        assert_eq!((&graph.node[1].input[0], &graph.node[1].output[0]), (&"scores".to_owned(), &"y".to_owned()));
        let tensor = graph.output[0].r#type.as_ref().and_then(|declared| declared.tensor_type.as_ref());
        assert_eq!(tensor.and_then(|tensor| tensor.elem_type).map(|data_type| data_type.0), Some(1));
        assert_eq!(model.opset_import[0].version, Some(13));
    }
}
