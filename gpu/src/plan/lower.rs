//! [`lower`]: one operator of ONNX to steps. One file a family.

mod concat;
mod conv;
mod elementwise;
mod matmul;
mod normalize;
mod pool;
mod reduce;
pub(super) mod reshape;
pub(super) mod slice;

use super::planner::{Planner, Value};
use crate::error::Error;
use crate::graph::{Graph, Node};

type Lowered = Result<Vec<Value>, Error>;
type Lower = fn(&mut Planner, &Node) -> Lowered;

/// The operators that there are, and what lowers each.
const OPERATORS: [(&[&str], Lower); 15] = [
    (&["Conv"], conv::conv),
    (&["MaxPool", "AveragePool"], pool::pool),
    (&["GlobalAveragePool", "GlobalMaxPool"], reduce::global),
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
    (&["Slice", "Split", "Gather", "Expand", "Pad"], slice::part),
    // Constants alone, see `fold`.
    (&["Shape", "ConstantOfShape", "Range"], only_constants),
];

pub(super) fn lower(planner: &mut Planner, node: &Node) -> Lowered {
    match operator(node) {
        Some(lower) => lower(planner, node),
        None => Err(node.unsupported("the GPU does not run it")),
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
    Err(node.unsupported("the GPU runs it on constants only"))
}

impl Graph {
    /// Whether the GPU has all of its operators.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names the first that it has not.
    pub fn check(&self) -> Result<(), Error> {
        match self.nodes.iter().find(|node| operator(node).is_none()) {
            Some(node) => Err(node.unsupported("the GPU does not run it")),
            None => Ok(()),
        }
    }
}
