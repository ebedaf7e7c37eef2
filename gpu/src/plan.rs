//! [`Plan`]: a graph for inputs of given shapes, as steps that a device runs one after the other.
//!
//! ```text
//! ONNX nodes ──lower──▶ steps, one a kernel ──fuse──▶ fewer ──arena──▶ the same, on a few buffers
//! ```
//! Shapes are known when a graph is planned: what only computes shapes is gone (`fold`), and so are transposes that only say in
//! which order an axis is counted ([`Tensor`]).

mod arena;
mod fold;
mod fuse;
mod lower;
#[cfg(test)]
mod mutations;
mod planner;
mod tensor;

use std::fmt;
use std::sync::Arc;

pub(crate) use arena::arena;
pub(crate) use planner::plan;
pub(crate) use tensor::Tensor;

use crate::kernel::{Expression, Kernel, StridedLayout};

/// The number of a run of numbers on the device.
pub(crate) type Storage = usize;

/// Steps, and the numbers that they work on.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) storages: Vec<Stored>,
    /// The outputs that were wanted, in that order.
    pub(crate) outputs: Vec<Tensor>,
}

/// A run of numbers on the device.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) len: usize,
    pub(crate) source: Source,
}

/// Where numbers come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The input of that number.
    Input(usize),
    Weights(Weights),
    /// A step.
    Step,
}

/// Numbers that stay on the device, prepared for the kernel that reads them.
#[derive(Clone)]
pub(crate) struct Weights {
    /// Equal names are equal numbers, in all plans of a graph.
    pub(crate) name: String,
    pub(crate) prepare: Arc<dyn Fn() -> Vec<f32> + Send + Sync>,
}

/// One kernel at work.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) inputs: Vec<Storage>,
    pub(crate) output: Storage,
    /// Numbers that it makes.
    pub(crate) count: usize,
    pub(crate) finish: Expression,
    pub(crate) operands: Vec<Operand>,
}

/// What an expression reads beside the kernel's own number.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) storage: Storage,
    pub(crate) places: StridedLayout,
}

impl Step {
    /// All that it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Storage> {
        self.inputs.iter().copied().chain(self.operands.iter().map(|operand| operand.storage))
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
