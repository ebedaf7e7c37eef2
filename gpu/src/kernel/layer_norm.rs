//! [`LayerNorm`]: rows of mean 0 and variance 1.

use super::shader::Shader;

/// Over rows of so many numbers, one behind the other (Ba et al., Layer Normalization, 2016). Scale and bias are what is done to each
/// number on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerNorm {
    pub(crate) length: usize,
    pub(crate) epsilon: f32,
}

impl LayerNorm {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        let epsilon = format!("const EPSILON: f32 = f32({:?});\n", self.epsilon);
        shader
            .constant("LENGTH", self.length)
            .push(&epsilon)
            .push(include_str!("row.wgsl"))
            .push(include_str!("layer_norm.wgsl"))
    }
}
