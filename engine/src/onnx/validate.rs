//! [`check`]: whether bytes can be given to a parser of ONNX files.
//!
//! ONNX is written in Protocol Buffers. Parsers of trees believe the lengths in a file and go as deep as it does; one that is
//! damaged, or made to, keeps them going for ever or runs out of stack. Here the lengths are compared with what is there, and
//! what may contain itself is counted.

/// The messages that lead to messages of their own kind.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    ValueInfo,
    Type,
    Sequence,
    /// One that leads nowhere.
    Other,
}

impl Message {
    /// What a field holds, by its number in `onnx.proto`.
    fn field(self, number: u64) -> Self {
        match (self, number) {
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

/// Branches and loops in each other: more than anybody writes.
const DEEPEST: usize = 200;

/// # Errors
/// Where it does not hold together.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    walk(file, Message::Model, 0)
}

fn walk(mut bytes: &[u8], message: Message, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("it is nested too deeply".to_owned());
    }
    let truncated = || "it ends too early".to_owned();
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
            other => return Err(format!("a field has the unknown type {other}")),
        };
        let length = usize::try_from(length).map_err(|_| truncated())?;
        let (field, rest) = bytes.split_at_checked(length).ok_or_else(truncated)?;
        match message.field(tag >> 3) {
            Message::Other => {}
            // A field of another type is the parser's to refuse.
            inner if tag & 7 == 2 => walk(field, inner, depth + 1)?,
            _ => {}
        }
        bytes = rest;
    }
    Ok(())
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLED: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    #[test]
    fn a_whole_file_holds_together() {
        assert_eq!(check(BUNDLED), Ok(()));
        assert_eq!(check(&BUNDLED[..BUNDLED.len() - 3]), Err("it ends too early".to_owned()));
        assert_eq!(
            check(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Err("it ends too early".to_owned())
        );
        assert_eq!(check(b"not a graph"), Err("a field has the unknown type 6".to_owned()));
    }

    #[test]
    fn graphs_in_graphs_are_counted() {
        let nested = |levels: usize| {
            let mut graph = Vec::new();
            for _ in 0..levels {
                // A graph of a node of an attribute of a graph.
                for number in [6_u8, 5, 1] {
                    let mut length = graph.len();
                    let mut field = vec![number << 3 | 2];
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
