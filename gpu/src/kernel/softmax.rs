//! [`Softmax`]: softmax over rows.

use super::shader::Shader;

/// Softmax over contiguous rows of `length` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) length: usize,
}

impl Softmax {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        shader.constant("LENGTH", self.length).push(include_str!("row.wgsl")).push(include_str!("softmax.wgsl"))
    }
}
