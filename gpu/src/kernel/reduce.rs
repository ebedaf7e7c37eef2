//! [`Reduce`]: a reduction over axes.

use super::shader::Shader;
use super::strided_layout::StridedLayout;

/// `out[i] = reduce(in[outer(i) + inner(j)] for j in 0..length)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reduce {
    /// The layout of the axes that are kept.
    pub(crate) outer: StridedLayout,
    /// The layout of the axes that are reduced.
    pub(crate) inner: StridedLayout,
    pub(crate) length: usize,
    pub(crate) op: ReduceOp,
}

/// A reduction operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReduceOp {
    Sum,
    /// The sum divided by `length`.
    Mean,
    Max,
    Min,
}

impl Reduce {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        let combined = match self.op {
            ReduceOp::Sum | ReduceOp::Mean => "a + b",
            ReduceOp::Max => "max(a, b)",
            ReduceOp::Min => "min(a, b)",
        };
        let shader = shader
            .constant("LENGTH", self.length)
            .constant("IS_MEAN", usize::from(self.op == ReduceOp::Mean))
            .push(&format!("fn combine(a: f32, b: f32) -> f32 {{ return {combined}; }}\n"))
            .push(&format!("fn outer_offset(i: u32) -> u32 {{ return {}; }}\n", self.outer.to_wgsl("i")))
            .push(&format!("fn inner_offset(j: u32) -> u32 {{ return {}; }}\n", self.inner.to_wgsl("j")));
        shader.push(include_str!("reduce.wgsl"))
    }
}
