//! [`Graph`]: an ONNX graph as the planner wants it: nodes in order, constants by name.

mod batch_norm;
mod constant;
mod node;
mod parse;

use std::collections::HashMap;

pub(crate) use constant::{Constant, Values};
pub(crate) use node::{Attribute, Node};

/// An ONNX graph in memory.
///
/// The protobuf types are those of `rten-onnx`, which the engine's CPU backend has anyway; parsers that also simplify
/// (`onnx-ir`) would be a second front end with its own opinions on which graphs there are.
#[derive(Debug)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<String, Constant>,
    /// The names of the inputs, without those that have a value already.
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    /// The version of the standard operators.
    pub(crate) opset: i64,
}

impl Graph {
    /// The names of the graph's outputs.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// How many nodes read a tensor; an output of the graph is read once more.
    pub(crate) fn readers(&self, name: &str) -> usize {
        let nodes = self.nodes.iter().flat_map(|node| &node.inputs).filter(|input| *input == name).count();
        nodes + self.outputs.iter().filter(|output| *output == name).count()
    }
}
