//! [`repair`]: rewrites operators that rten computes differently from ONNX, and rejects those that cannot be rewritten.
//!
//! The differences are those of rten 0.27, found with ONNX's own test cases (`tests/integration/onnx_suite.rs`).

use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, TensorProto};

use crate::onnx::{GraphInfo, is_default_domain, omits_kernel_shape};

/// The operators that [`rewrite`] or [`check`] handles.
const DIFFERENT: [&str; 7] = ["ArgMax", "ArgMin", "BitCast", "NonMaxSuppression", "Resize", "SequenceInsert", "Sign"];

/// Whether a graph may need [`repair`]; the others are loaded without a copy.
pub(super) fn may_need_repair(graph: &GraphInfo) -> bool {
    graph.omits_kernel_shapes || DIFFERENT.iter().any(|operator| graph.operators.contains(*operator))
}

/// The file with each operator that rten computes differently replaced by equivalent operators.
///
/// # Errors
/// One sentence that names an operator for which there is no such form.
pub(super) fn repair(file: &[u8]) -> Result<Vec<u8>, String> {
    let mut model = ModelProto::parse_buf(file).map_err(|error| error.to_string())?;
    if let Some(graph) = &mut model.graph {
        repair_graph(graph, false)?;
    }
    model.write_buf().map_err(|error| error.to_string())
}

/// The nesting of subgraphs is limited by `validate_protobuf`.
fn repair_graph(graph: &mut GraphProto, is_subgraph: bool) -> Result<(), String> {
    let mut repaired = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            if let Some(subgraph) = &mut attribute.g {
                repair_graph(subgraph, true)?;
            }
        }
        if omits_kernel_shape(&node) {
            match kernel_shape(&node, &graph.initializer) {
                Some(kernel_shape) => node.attribute.push(kernel_shape),
                // The weight may be one of an outer graph; rten reports it if it needs the attribute.
                None if is_subgraph => {}
                None => return Err("the kernel shape of a convolution is unknown".to_owned()),
            }
        }
        if !is_default_domain(node.domain.as_deref()) {
            repaired.push(node);
            continue;
        }
        check(&node)?;
        match rewrite(&node) {
            Some(nodes) => repaired.extend(nodes),
            None => repaired.push(node),
        }
    }
    graph.node = repaired;
    Ok(())
}

/// Rejects operators that rten computes differently, and that other operators of rten cannot express.
fn check(node: &NodeProto) -> Result<(), String> {
    let operator = node.op_type.as_deref().unwrap_or_default();
    let difference = match operator {
        // It keeps one class per box, and divides by the area of the bounding box of both boxes instead of their union.
        "NonMaxSuppression" => "suppresses other boxes than ONNX defines",
        "Resize" if text(node, "mode") == Some("cubic") => "interpolates linearly where mode is 'cubic'",
        "BitCast" if int(node, "to").is_some_and(is_64_bit) => "has no types of 64 bits",
        _ => return Ok(()),
    };
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let name = name.map_or_else(String::new, |name| format!(" '{name}'"));
    Err(format!("its results for operator {operator}{name} are wrong, because rten {difference}"))
}

/// Whether a `TensorProto.DataType` has 64 bits.
fn is_64_bit(code: i64) -> bool {
    [DataType::INT64, DataType::UINT64, DataType::DOUBLE].iter().any(|data_type| i64::from(data_type.0) == code)
}

/// The nodes that compute the same as ONNX defines, `None` if the node itself does.
fn rewrite(node: &NodeProto) -> Option<Vec<NodeProto>> {
    match node.op_type.as_deref()? {
        "Sign" => sign(node),
        "ArgMax" | "ArgMin" => arg_max(node),
        "SequenceInsert" => sequence_insert(node),
        _ => None,
    }
}

/// rten's `Sign(0)` is 1: `(x > 0) - (x < 0)` instead. Comparisons are integers there.
fn sign(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let (x, y) = (node.input.first()?, node.output.first()?);
    let [zero_float, zero, positive, negative, difference] =
        ["zero float", "zero", "positive", "negative", "difference"].map(|what| format!("{y} {what}"));
    Some(vec![
        constant(&zero_float, AttributeProto { f: Some(0.0), ..attribute("value_float", AttributeType::FLOAT) }),
        operator("CastLike", &[&zero_float, x], &[&zero]),
        operator("Greater", &[x, &zero], &[&positive]),
        operator("Less", &[x, &zero], &[&negative]),
        operator("Sub", &[&positive, &negative], &[&difference]),
        operator("CastLike", &[&difference, x], &[y]),
    ])
}

/// rten returns the last index of equal values, and does not know `select_last_index`: its `TopK` returns the first one.
fn arg_max(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let (x, y) = (node.input.first()?, node.output.first()?);
    if int(node, "select_last_index").unwrap_or(0) != 0 {
        let mut last = node.clone();
        last.attribute.retain(|attribute| attribute.name.as_deref() != Some("select_last_index"));
        return Some(vec![last]);
    }
    let axis = int(node, "axis").unwrap_or(0);
    let keeps_axis = int(node, "keepdims").unwrap_or(1) != 0;
    let is_max = node.op_type.as_deref() == Some("ArgMax");
    let [count, values, kept, axes] = ["count", "values", "kept", "axes"].map(|what| format!("{y} {what}"));
    let indices = if keeps_axis { y } else { &kept };
    let mut top_k = operator("TopK", &[x, &count], &[&values, indices]);
    top_k.attribute = vec![int_attribute("axis", axis), int_attribute("largest", i64::from(is_max))];
    let mut nodes = vec![int_list(&count, vec![1]), top_k];
    if !keeps_axis {
        nodes.extend([int_list(&axes, vec![axis]), operator("Squeeze", &[&kept, &axes], &[y])]);
    }
    Some(nodes)
}

/// rten counts a negative position from the end of the longer sequence, one element too far: `position - (position < 0)`.
fn sequence_insert(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let y = node.output.first()?;
    let position = node.input.get(2).filter(|name| !name.is_empty())?;
    let [zero, is_negative, moved] = ["zero", "is negative", "position"].map(|what| format!("{y} {what}"));
    let mut insert = node.clone();
    insert.input[2].clone_from(&moved);
    Some(vec![
        constant(&zero, AttributeProto { i: Some(0), ..attribute("value_int", AttributeType::INT) }),
        operator("Less", &[position, &zero], &[&is_negative]),
        operator("Sub", &[position, &is_negative], &[&moved]),
        insert,
    ])
}

/// The attribute `kernel_shape`, which is optional in ONNX and required by rten.
fn kernel_shape(node: &NodeProto, initializers: &[TensorProto]) -> Option<AttributeProto> {
    let is_weight = |tensor: &&TensorProto| tensor.name.as_ref() == node.input.get(1);
    let weight = initializers.iter().find(is_weight)?;
    let ints = weight.dims.get(2..).unwrap_or_default().to_vec();
    Some(AttributeProto { ints, ..attribute("kernel_shape", AttributeType::INTS) })
}

fn operator(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(op_type.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

fn constant(name: &str, value: AttributeProto) -> NodeProto {
    NodeProto { attribute: vec![value], ..operator("Constant", &[], &[name]) }
}

fn int_list(name: &str, ints: Vec<i64>) -> NodeProto {
    constant(name, AttributeProto { ints, ..attribute("value_ints", AttributeType::INTS) })
}

fn attribute(name: &str, attribute_type: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(attribute_type), ..AttributeProto::default() }
}

fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::INT) }
}

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    find(node, name)?.i
}

fn text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    find(node, name)?.s.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(nodes: &[NodeProto]) -> Vec<&str> {
        nodes.iter().filter_map(|node| node.op_type.as_deref()).collect()
    }

    fn graph(nodes: Vec<NodeProto>) -> GraphProto {
        GraphProto { node: nodes, ..GraphProto::default() }
    }

    #[test]
    fn other_operators_stay() {
        let mut relu = graph(vec![operator("Relu", &["x"], &["y"])]);
        repair_graph(&mut relu, false).unwrap();
        assert_eq!(types(&relu.node), ["Relu"]);
        let mut foreign = operator("Sign", &["x"], &["y"]);
        foreign.domain = Some("example.com".to_owned());
        assert_eq!(repair_graph(&mut graph(vec![foreign]), false), Ok(()));
        let mut resize = operator("Resize", &["x", "", "scales"], &["y"]);
        resize.attribute =
            vec![AttributeProto { s: Some("linear".to_owned()), ..attribute("mode", AttributeType::STRING) }];
        assert_eq!(check(&resize), Ok(()));
    }

    #[test]
    fn subgraphs_are_rewritten() {
        let branch = graph(vec![operator("Sign", &["x"], &["y"])]);
        let mut conditional = operator("If", &["condition"], &["z"]);
        conditional.attribute =
            vec![AttributeProto { g: Some(branch), ..attribute("then_branch", AttributeType::GRAPH) }];
        let mut outer = graph(vec![conditional]);
        repair_graph(&mut outer, false).unwrap();
        let branch = outer.node[0].attribute[0].g.as_ref().unwrap();
        assert_eq!(types(&branch.node), ["Constant", "CastLike", "Greater", "Less", "Sub", "CastLike"]);
    }

    #[test]
    fn the_last_index_is_that_of_rten() {
        let mut node = operator("ArgMax", &["x"], &["y"]);
        assert_eq!(types(&arg_max(&node).unwrap()), ["Constant", "TopK"]);
        node.attribute = vec![int_attribute("keepdims", 0)];
        assert_eq!(types(&arg_max(&node).unwrap()), ["Constant", "TopK", "Constant", "Squeeze"]);
        node.attribute = vec![int_attribute("select_last_index", 1)];
        let last = arg_max(&node).unwrap();
        assert_eq!((types(&last), last[0].attribute.len()), (vec!["ArgMax"], 0));
    }

    #[test]
    fn what_cannot_be_rewritten_is_rejected() {
        let mut node = operator("Resize", &["x", "", "scales"], &["y"]);
        node.attribute =
            vec![AttributeProto { s: Some("cubic".to_owned()), ..attribute("mode", AttributeType::STRING) }];
        let error =
            "its results for operator Resize are wrong, because rten interpolates linearly where mode is 'cubic'";
        assert_eq!(repair_graph(&mut graph(vec![node]), false).unwrap_err(), error);
        let node =
            NodeProto { name: Some("nms".to_owned()), ..operator("NonMaxSuppression", &["boxes", "scores"], &["y"]) };
        let error = "its results for operator NonMaxSuppression 'nms' are wrong, because rten suppresses other boxes than ONNX defines";
        assert_eq!(check(&node).unwrap_err(), error);
        let mut node = operator("BitCast", &["x"], &["y"]);
        node.attribute = vec![int_attribute("to", 7)];
        assert!(check(&node).is_err());
        node.attribute = vec![int_attribute("to", 6)];
        assert_eq!(check(&node), Ok(()));
    }
}
