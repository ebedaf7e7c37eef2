//! [`LayerNorm`]: layer normalization (Ba et al., Layer Normalization, 2016).

use super::shader::Shader;

/// Normalizes contiguous rows of `length` elements to mean 0 and variance 1. Scale and bias are part of the epilogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerNorm {
    pub(crate) length: usize,
    pub(crate) epsilon: f32,
}

impl LayerNorm {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        let epsilon = format!("const EPSILON: f32 = f32({:?});\n", self.epsilon);
        shader
            .constant("LENGTH", self.length)
            .push(&epsilon)
            .push(include_str!("row.wgsl"))
            .push(include_str!("layer_norm.wgsl"))
    }
}
