//! [`lower`]: compiles one ONNX operator to steps. One file per family of operators.

pub(super) mod axis;
mod concat;
mod conv;
mod elementwise;
mod matmul;
mod normalize;
mod pool;
mod reduce;
pub(super) mod reshape;
pub(super) mod slice;

use super::planner::{Lowered, Planner};
use crate::error::Error;
use crate::graph::{Graph, Node};

type Lower = fn(&mut Planner, &Node) -> Lowered;

/// The supported operators, and the function that lowers each.
const OPERATORS: [(&[&str], Lower); 15] = [
    (&["Conv"], conv::conv),
    (&["MaxPool", "AveragePool"], pool::pool),
    (&["GlobalAveragePool", "GlobalMaxPool"], reduce::global_pool),
    (&["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"], reduce::reduce),
    (&["Gemm"], matmul::gemm),
    (&["MatMul"], matmul::matmul),
    (&["BatchNormalization"], normalize::batch_norm),
    (&["LayerNormalization"], normalize::layer_norm),
    (&["Softmax"], normalize::softmax),
    (&["Reshape", "Flatten", "Squeeze", "Unsqueeze"], reshape::reshape),
    (&["Transpose"], reshape::transpose),
    (&["Identity", "Dropout"], reshape::identity),
    (&["Concat"], concat::concat),
    (&["Slice", "Split", "Gather", "Expand", "Pad"], slice::lower_indexing),
    // Constants only, see `fold`.
    (&["Shape", "ConstantOfShape", "Range"], only_constants),
];

pub(super) fn lower(planner: &mut Planner, node: &Node) -> Lowered {
    match operator(node) {
        Some(lower) => lower(planner, node),
        None => Err(node.unsupported("the GPU backend does not support it")),
    }
}

fn operator(node: &Node) -> Option<Lower> {
    if !node.domain.is_empty() {
        return None;
    }
    let found = OPERATORS.iter().find(|(names, _)| names.contains(&node.op.as_str())).map(|(_, lower)| *lower);
    found.or_else(|| elementwise::is_known(&node.op).then_some(elementwise::elementwise as Lower))
}

fn only_constants(_: &mut Planner, node: &Node) -> Lowered {
    Err(node.unsupported("the GPU backend supports it on constants only"))
}

impl Graph {
    /// Checks that all operators are supported.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names the first operator that is not.
    pub fn check_supported(&self) -> Result<(), Error> {
        match self.nodes.iter().find(|node| operator(node).is_none()) {
            Some(node) => Err(node.unsupported("the GPU backend does not support it")),
            None => Ok(()),
        }
    }
}
