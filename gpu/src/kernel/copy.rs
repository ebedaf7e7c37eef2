//! [`Copy`]: a strided copy.

use super::shader::Shader;
use super::strided_layout::StridedLayout;

/// `out[dst(i)] = in[src(i)]`: transposes, slices, broadcasts, and each part of a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) src: StridedLayout,
    pub(crate) dst: StridedLayout,
    /// `(period, len)`: of every `period` output elements, those from `len` on are zero-filled padding.
    pub(crate) zero_fill: Option<(usize, usize)>,
}

impl Copy {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        let offset_fn = |name: &str, layout: &StridedLayout| {
            format!("fn {name}(i: u32) -> u32 {{ return {}; }}\n", layout.to_wgsl("i"))
        };
        let (period, len) = self.zero_fill.unwrap_or((1, 1));
        shader
            .constant("PERIOD", period)
            .constant("COPIED_LEN", len)
            .push(&offset_fn("src_offset", &self.src))
            .push(&offset_fn("dst_offset", &self.dst))
            .push(include_str!("copy.wgsl"))
    }
}
