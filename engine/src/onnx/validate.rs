//! [`validate_protobuf`]: checks the Protocol Buffers wire format of an ONNX file before it is parsed.
//!
//! Protocol Buffers parsers trust the lengths in a file and recurse as deep as its messages. A corrupt or malicious file makes them
//! loop or overflow the stack. This walk compares lengths with the available bytes, and limits the nesting of recursive messages.

use super::wire::fields;

/// The recursive message types of ONNX.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    ValueInfo,
    Type,
    Sequence,
    /// A message without recursive messages.
    Other,
}

impl Message {
    /// The message type of a field, by its field number in `onnx.proto`.
    fn field(self, field_number: u64) -> Self {
        match (self, field_number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::ValueInfo, 2) | (Self::Sequence, 1) => Self::Type,
            (Self::Type, 4) => Self::Sequence,
            _ => Self::Other,
        }
    }
}

/// The maximum nesting depth of messages.
const MAX_NESTING_DEPTH: usize = 200;

/// Checks all lengths and the nesting depth of a file.
///
/// # Errors
/// A message if the file is truncated, nested too deeply, or contains an unknown wire type.
pub(super) fn validate_protobuf(file: &[u8]) -> Result<(), String> {
    walk(file, Message::Model, 0)
}

fn walk(bytes: &[u8], message: Message, depth: usize) -> Result<(), String> {
    if depth > MAX_NESTING_DEPTH {
        return Err("it is nested too deeply".to_owned());
    }
    for field in fields(bytes) {
        let field = field?;
        // The parser rejects fields of another wire type.
        match (message.field(field.number), field.content) {
            (Message::Other, _) | (_, None) => {}
            (inner, Some(content)) => walk(content, inner, depth + 1)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::wire::encode_field;
    use super::*;

    const BUILTIN: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    #[test]
    fn a_valid_file_is_accepted() {
        assert_eq!(validate_protobuf(BUILTIN), Ok(()));
        assert_eq!(validate_protobuf(&BUILTIN[..BUILTIN.len() - 3]), Err("it is truncated".to_owned()));
        assert_eq!(
            validate_protobuf(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Err("it is truncated".to_owned())
        );
        assert_eq!(validate_protobuf(b"not a graph"), Err("a field has the unknown wire type 6".to_owned()));
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |levels: usize| {
            let mut graph = Vec::new();
            for _ in 0..levels {
                // A graph in an attribute of a node of a graph.
                for field_number in [6_u8, 5, 1] {
                    graph = encode_field(field_number, &graph);
                }
            }
            walk(&graph, Message::Graph, 0)
        };
        assert_eq!(nested(50), Ok(()));
        assert_eq!(nested(100_000), Err("it is nested too deeply".to_owned()));
    }
}
