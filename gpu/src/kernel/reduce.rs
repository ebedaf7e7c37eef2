//! [`Reduce`]: one number of many.

use super::shader::Shader;
use super::strided_layout::Places;

/// A result for each place of `kept`, of the `length` numbers at the places of `reduced` from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reduce {
    pub(crate) kept: Places,
    pub(crate) reduced: Places,
    pub(crate) length: usize,
    pub(crate) combine: Combine,
}

/// What is made of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combine {
    Sum,
    /// Their sum, by their number in the end.
    Mean,
    Max,
    Min,
}

impl Reduce {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        let combined = match self.combine {
            Combine::Sum | Combine::Mean => "a + b",
            Combine::Max => "max(a, b)",
            Combine::Min => "min(a, b)",
        };
        let shader = shader
            .constant("LENGTH", self.length)
            .constant("IS_MEAN", usize::from(self.combine == Combine::Mean))
            .push(&format!("fn combine(a: f32, b: f32) -> f32 {{ return {combined}; }}\n"))
            .push(&format!("fn kept(i: u32) -> u32 {{ return {}; }}\n", self.kept.to_wgsl("i")))
            .push(&format!("fn reduced(j: u32) -> u32 {{ return {}; }}\n", self.reduced.to_wgsl("j")));
        shader.push(include_str!("reduce.wgsl"))
    }
}
