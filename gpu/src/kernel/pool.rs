//! [`Pool`]: max and average pooling.

use super::shader::Shader;
use super::window::Window;

/// Pools each channel of `[batch, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    /// Max pooling, else average pooling.
    pub(crate) is_max: bool,
    /// Whether the average counts the padding (ONNX `count_include_pad`).
    pub(crate) count_include_pad: bool,
}

impl Pool {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        let shader = self.window.emit(shader).constant("CHANNELS", self.channels);
        let shader = shader.constant("IS_MAX", self.is_max.into());
        shader.constant("COUNT_INCLUDE_PAD", self.count_include_pad.into()).push(include_str!("pool.wgsl"))
    }
}
