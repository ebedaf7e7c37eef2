//! [`validate_protobuf`]: checks the Protocol Buffers wire format of an ONNX file before it is parsed.
//!
//! Protocol Buffers parsers trust the lengths in a file and recurse as deep as its messages. A corrupt or malicious file makes them
//! loop or overflow the stack. This walk compares lengths with the available bytes, and limits the nesting of recursive messages.

use super::wire::varint;

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

fn walk(mut bytes: &[u8], message: Message, depth: usize) -> Result<(), String> {
    if depth > MAX_NESTING_DEPTH {
        return Err("it is nested too deeply".to_owned());
    }
    let truncated = || "it is truncated".to_owned();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(truncated)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(truncated)?;
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes).ok_or_else(truncated)?,
            5 => 4,
            wire_type => return Err(format!("a field has the unknown wire type {wire_type}")),
        };
        let length = usize::try_from(length).map_err(|_| truncated())?;
        let (field, rest) = bytes.split_at_checked(length).ok_or_else(truncated)?;
        match message.field(tag >> 3) {
            Message::Other => {}
            // The parser rejects fields of another wire type.
            inner if tag & 7 == 2 => walk(field, inner, depth + 1)?,
            _ => {}
        }
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
                    let mut length = graph.len();
                    let mut field = vec![field_number << 3 | 2];
                    while length >= 0x80 {
                        field.push(length as u8 | 0x80);
                        length >>= 7;
                    }
                    field.push(length as u8);
                    graph = [field, graph].concat();
                }
            }
            walk(&graph, Message::Graph, 0)
        };
        assert_eq!(nested(50), Ok(()));
        assert_eq!(nested(100_000), Err("it is nested too deeply".to_owned()));
    }
}
