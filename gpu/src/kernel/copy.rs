//! [`Copy`]: numbers from where they are to where they are wanted.

use super::shader::Shader;
use super::strided_layout::Places;

/// `out[to(i)] = in[from(i)]`: transposes, slices, repeats, and each part of a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) from: Places,
    pub(crate) to: Places,
    /// Of every so many numbers, those from which on are zeros instead: room behind what is copied.
    pub(crate) zeros: Option<(usize, usize)>,
}

impl Copy {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        let place =
            |name: &str, places: &Places| format!("fn {name}(i: u32) -> u32 {{ return {}; }}\n", places.to_wgsl("i"));
        let (every, behind) = self.zeros.unwrap_or((1, 1));
        let shader = shader.constant("EVERY", every).constant("ZEROS_BEHIND", behind);
        shader.push(&place("from_place", &self.from)).push(&place("to_place", &self.to)).push(include_str!("copy.wgsl"))
    }
}
