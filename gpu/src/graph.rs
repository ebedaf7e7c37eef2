//! [`Graph`]: an ONNX graph in the form the planner takes: nodes in topological order, constants by name.

mod batch_norm;
mod constant;
mod node;
mod opset;
mod parse;

use std::collections::HashMap;

pub(crate) use constant::{Constant, ConstantData};
pub(crate) use node::{Attribute, Node, is_float_type};
pub(crate) use opset::BROADCASTING;

/// An ONNX graph in memory.
///
/// The protobuf types are those of `rten-onnx`, which the engine's CPU backend depends on anyway.
#[derive(Debug)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<String, Constant>,
    /// The names of the inputs without initializers.
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    /// The opset version of the default domain.
    pub(crate) opset: i64,
}

impl Graph {
    /// The names of the graph's outputs.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// How often a tensor is read by nodes and as an output of the graph.
    pub(crate) fn use_count(&self, name: &str) -> usize {
        let nodes = self.nodes.iter().flat_map(|node| &node.inputs).filter(|input| *input == name).count();
        nodes + self.outputs.iter().filter(|output| *output == name).count()
    }
}
