//! [`Softmax`]: rows that add up to 1.

use super::shader::Shader;

/// Over rows of so many numbers, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) length: usize,
}

impl Softmax {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        shader.constant("LENGTH", self.length).push(include_str!("row.wgsl")).push(include_str!("softmax.wgsl"))
    }
}
