//! [`plan`]: compiles a graph for the shapes of its inputs.

use std::collections::HashSet;
use std::sync::Arc;

use super::fuse::fuse_epilogues;
use super::planner::{PlanValue, Planner, checked_num_elements};
use super::tensor::{PlannedTensor, row_major_order};
use super::{BufferDecl, BufferSource, Plan, fold, lower};
use crate::error::Error;
use crate::graph::Graph;
use crate::kernel::MAX_ELEMENTS;

/// Compiles the steps that compute the tensors `requested` of a graph whose inputs have these shapes.
///
/// # Errors
/// [`Error::Unsupported`] for an operator that the GPU backend does not run, [`Error::Graph`] for an inconsistent graph.
pub(crate) fn plan(graph: &Graph, shapes: &[Vec<usize>], requested: &[String]) -> Result<Plan, Error> {
    let mut planner = Planner::new(graph);
    for (index, (name, shape)) in graph.inputs.iter().zip(shapes).enumerate() {
        let len = checked_num_elements(shape).filter(|&len| len > 0).ok_or_else(|| Error::Graph {
            reason: format!(
                "input '{name}' has shape {shape:?}, which is empty or has more than {MAX_ELEMENTS} elements"
            ),
        })?;
        let buffer = planner.store(BufferDecl { len, source: BufferSource::Input(index) });
        let tensor = PlannedTensor { buffer, shape: shape.clone(), order: row_major_order(shape.len()) };
        planner.values.insert(name.clone(), PlanValue::Tensor(tensor));
    }
    let live = live_nodes(graph, requested);
    for (node, is_live) in graph.nodes.iter().zip(live) {
        if !is_live {
            continue;
        }
        // A named input has to exist: the second output of a Dropout is never computed.
        if let Some(missing) = node.inputs.iter().find(|name| !name.is_empty() && planner.lookup(name).is_none()) {
            return Err(node.unsupported(format!("input '{missing}' is not computed")));
        }
        let values = match fold::fold(&planner, node)? {
            Some(constants) => constants.into_iter().map(|constant| PlanValue::Constant(Arc::new(constant))).collect(),
            None => lower::lower(&mut planner, node)?,
        };
        for (name, value) in node.outputs.iter().zip(values) {
            // Kernels index with 32 bits, and none of them handles empty tensors.
            match (checked_num_elements(value.shape()), &value) {
                (None, _) => {
                    return Err(node.unsupported(format!("the output of {:?} has too many elements", value.shape())));
                }
                (Some(0), PlanValue::Tensor(_)) => return Err(node.unsupported("the output is an empty tensor")),
                _ => {}
            }
            planner.values.insert(name.clone(), value);
        }
    }
    if let Some(largest) = planner.buffers.iter().find(|buffer| buffer.len > MAX_ELEMENTS) {
        let bytes = |elements: usize| (elements as u64).saturating_mul(size_of::<f32>() as u64);
        return Err(Error::TooLarge { bytes: bytes(largest.len), limit: bytes(MAX_ELEMENTS) });
    }
    let mut outputs = Vec::new();
    for name in requested {
        let value =
            planner.lookup(name).ok_or_else(|| Error::Graph { reason: format!("the graph has no tensor '{name}'") })?;
        let tensor = planner.tensor(name, &value);
        let tensor = planner.contiguous(&tensor);
        outputs.push(match planner.buffers[tensor.buffer].source {
            BufferSource::Step => tensor,
            // An input or constant that is returned unchanged is copied, because outputs need a buffer of their own.
            _ => planner.copy_to_layout(&tensor, &row_major_order(tensor.shape.len())),
        });
    }
    let mut plan = Plan { steps: planner.steps, buffers: planner.buffers, outputs };
    fuse_epilogues(&mut plan);
    Ok(plan)
}

/// Dead-code elimination: for each node, whether a requested tensor depends on it.
fn live_nodes(graph: &Graph, requested: &[String]) -> Vec<bool> {
    let mut tensors: HashSet<&str> = requested.iter().map(String::as_str).collect();
    let mut live = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        live[index] = node.outputs.iter().any(|output| tensors.contains(output.as_str()));
        if live[index] {
            tensors.extend(node.inputs.iter().map(String::as_str));
        }
    }
    live
}
