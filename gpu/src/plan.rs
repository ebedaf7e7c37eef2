//! [`Plan`]: a graph for inputs of given shapes, compiled to steps that a device runs one after the other.
//!
//! ```text
//! ONNX nodes ──lower──▶ steps, one kernel each ──fuse──▶ fewer steps ──plan_memory──▶ the same steps on a few shared buffers
//! ```
//! Shapes are known at plan time: nodes that only compute shapes are constant-folded (`fold`), and a transpose is a view with another
//! axis order ([`PlannedTensor`]).

mod compile;
mod fold;
mod fuse;
mod lower;
mod memory;
#[cfg(test)]
mod mutations;
mod planner;
mod tensor;

use std::fmt;
use std::sync::Arc;

pub(crate) use compile::plan;
pub(crate) use memory::plan_memory;
pub(crate) use tensor::PlannedTensor;

use crate::kernel::{Expression, Kernel, StridedLayout};

/// The index of a buffer in [`Plan::buffers`].
pub(crate) type BufferId = usize;

/// Steps, and the buffers they read and write.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) buffers: Vec<BufferDecl>,
    /// The requested outputs, in order.
    pub(crate) outputs: Vec<PlannedTensor>,
}

/// A buffer on the device; `len` counts elements.
#[derive(Debug, Clone)]
pub(crate) struct BufferDecl {
    pub(crate) len: usize,
    pub(crate) source: BufferSource,
}

/// Where the contents of a buffer come from.
#[derive(Debug, Clone)]
pub(crate) enum BufferSource {
    /// The graph input with this index.
    Input(usize),
    Weights(PackedWeights),
    /// Computed by a step.
    Step,
}

/// Constant operands that stay on the device, packed for the kernel that reads them.
#[derive(Clone)]
pub(crate) struct PackedWeights {
    /// Equal names imply equal contents, in all plans of a graph.
    pub(crate) name: String,
    pub(crate) pack: Arc<dyn Fn() -> Vec<f32> + Send + Sync>,
}

/// One kernel dispatch.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) inputs: Vec<BufferId>,
    pub(crate) output: BufferId,
    /// Elements of the output.
    pub(crate) num_elements: usize,
    pub(crate) epilogue: Expression,
    pub(crate) operands: Vec<Operand>,
}

/// A buffer that an epilogue reads in addition to the accumulator.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) buffer: BufferId,
    pub(crate) layout: StridedLayout,
}

impl Step {
    /// All buffers it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = BufferId> {
        self.inputs.iter().copied().chain(self.operands.iter().map(|operand| operand.buffer))
    }
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
