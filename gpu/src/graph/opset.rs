//! [`check_opset`]: whether an operator means what this crate computes, in the opset of its file.
//!
//! Operators are versioned one by one, and few of them changed in a way that matters here. Attributes that became inputs (`axes`, `shape`,
//! `min`, …) are read in both forms where the operator is lowered, and so is the broadcasting of opset 6 (`lower/elementwise.rs`).

use std::collections::HashMap;

use super::{Constant, Node};
use crate::error::Error;

/// The opset with which NumPy-style broadcasting came, and inference became the only meaning of normalizations without a flag.
pub(crate) const BROADCASTING: i64 = 7;

/// The operators that had another meaning in early opsets, and the opset since which they have the present one.
const CHANGED: [(&str, i64); 4] = [
    // The default of `axis` was 1.
    ("Concat", 4),
    // `to` was the name of a type.
    ("Cast", 6),
    // `pads` was called `paddings`.
    ("Pad", 2),
    // The sizes were an input, as they are again since opset 13.
    ("Split", 2),
];

/// Checks that a node of the default domain means what this crate computes.
///
/// # Errors
/// [`Error::Unsupported`] names the difference.
pub(super) fn check_opset(node: &Node, opset: i64, constants: &HashMap<String, Constant>) -> Result<(), Error> {
    if !node.domain.is_empty() {
        return Ok(());
    }
    let op = node.op.as_str();
    if let Some((_, since)) = CHANGED.iter().find(|(name, since)| *name == op && opset < *since) {
        return Err(node.unsupported(format!(
            "the file uses opset {opset}, and the GPU backend supports this operator since opset {since}"
        )));
    }
    let is_old = opset < BROADCASTING;
    let is_set = |name: &str| constants.get(name).and_then(Constant::scalar).is_some_and(|value| value != 0.0);
    let difference = match op {
        "BatchNormalization" | "Dropout" if is_old && node.int("is_test", 0) == 0 => "it is in training mode",
        "Dropout" if node.input(2).is_some_and(is_set) => "it is in training mode",
        "BatchNormalization" if node.int("spatial", 1) == 0 => "it normalizes each position (spatial is 0)",
        // Whether padding counts was not specified.
        "AveragePool" if is_old && is_padded(node) => "padding before opset 7 is not supported",
        _ => return Ok(()),
    };
    Err(node.unsupported(difference))
}

fn is_padded(node: &Node) -> bool {
    node.text("auto_pad").is_some_and(|auto_pad| auto_pad.starts_with("SAME"))
        || node.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attribute;

    fn node(op: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> Node {
        Node {
            op: op.to_owned(),
            domain: String::new(),
            name: "n".to_owned(),
            inputs: inputs.iter().map(|name| (*name).to_owned()).collect(),
            outputs: vec!["y".to_owned()],
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }

    fn reason(node: &Node, opset: i64) -> Option<String> {
        let constants = HashMap::from([
            ("yes".to_owned(), Constant::ints(Vec::new(), vec![1])),
            ("no".to_owned(), Constant::ints(Vec::new(), vec![0])),
        ]);
        check_opset(node, opset, &constants).err().map(|error| error.to_string())
    }

    #[test]
    fn unchanged_operators_have_any_opset() {
        for op in ["Conv", "Relu", "MaxPool", "Gemm", "Add", "Softmax", "AveragePool", "Reshape", "Concat"] {
            assert_eq!(reason(&node(op, &["x"], &[]), 6), None, "{op}");
        }
        assert_eq!(reason(&node("Conv", &["x"], &[]), 1), None);
    }

    #[test]
    fn changed_operators_are_rejected() {
        let expected =
            "operator Concat ('n'): the file uses opset 3, and the GPU backend supports this operator since opset 4";
        assert_eq!(reason(&node("Concat", &["x"], &[]), 3).as_deref(), Some(expected));
        let padded = node("AveragePool", &["x"], &[("pads", Attribute::Ints(vec![0, 1, 0, 1]))]);
        assert!(reason(&padded, 6).is_some() && reason(&padded, 7).is_none());
        let positions = node("BatchNormalization", &["x"], &[("spatial", Attribute::Int(0))]);
        assert!(reason(&positions, 7).is_some());
    }

    #[test]
    fn training_is_rejected() {
        for op in ["BatchNormalization", "Dropout"] {
            let (training, testing) = (node(op, &["x"], &[]), node(op, &["x"], &[("is_test", Attribute::Int(1))]));
            assert_eq!(reason(&training, 6), Some(format!("operator {op} ('n'): it is in training mode")));
            assert_eq!((reason(&testing, 6), reason(&training, 7)), (None, None));
        }
        assert!(reason(&node("Dropout", &["x", "", "yes"], &[]), 13).is_some());
        assert_eq!(reason(&node("Dropout", &["x", "", "no"], &[]), 13), None);
    }
}
