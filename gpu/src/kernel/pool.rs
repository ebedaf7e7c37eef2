//! [`Pool`]: the largest or the mean number under a window.

use super::shader::Shader;
use super::window::Window;

/// `[batch, height, width, channels]` to the same with fewer pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    /// The largest, else the mean.
    pub(crate) is_max: bool,
    /// Whether the mean is that of the padding, too.
    pub(crate) counts_padding: bool,
}

impl Pool {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        let shader = self.window.declare(shader).constant("CHANNELS", self.channels);
        let shader = shader.constant("IS_MAX", self.is_max.into());
        shader.constant("COUNTS_PADDING", self.counts_padding.into()).push(include_str!("pool.wgsl"))
    }
}
