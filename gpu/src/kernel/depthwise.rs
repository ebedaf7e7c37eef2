//! [`Depthwise`]: a depthwise convolution.

use super::shader::Shader;
use super::window::Window;

/// Input `[batch, height, width, in_channels]` and weights `[kernel height, kernel width, channels]` to
/// `[batch, height, width, channels]`; the channel multiplier is `channels / in_channels`.
///
/// Not a GEMM: with one column per group, its tiles would be nearly empty. The direct kernel is bound by memory bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depthwise {
    pub(crate) window: Window,
    pub(crate) in_channels: usize,
    pub(crate) channels: usize,
}

impl Depthwise {
    pub(super) fn emit(&self, shader: Shader) -> Shader {
        let shader = self.window.emit(shader).constant("CHANNELS", self.channels);
        let shader = shader.constant("IN_CHANNELS", self.in_channels);
        let shader = shader.constant("MULTIPLIER", self.channels / self.in_channels);
        shader.push(include_str!("depthwise.wgsl"))
    }
}
