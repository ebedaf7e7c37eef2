//! [`Depthwise`]: a convolution of each channel by itself.

use super::shader::Shader;
use super::window::Window;

/// `[batch, height, width, in_channels]` and weights `[kernel height, kernel width, channels]` to
/// `[batch, height, width, channels]`; each channel of the input makes `channels / in_channels`.
///
/// A product would leave its tiles empty: there is one column a group. It is as fast as memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depthwise {
    pub(crate) window: Window,
    pub(crate) in_channels: usize,
    pub(crate) channels: usize,
}

impl Depthwise {
    pub(super) fn declare(&self, shader: Shader) -> Shader {
        let shader = self.window.declare(shader).constant("CHANNELS", self.channels);
        let shader = shader.constant("IN_CHANNELS", self.in_channels);
        let shader = shader.constant("MULTIPLIER", self.channels / self.in_channels);
        shader.push(include_str!("depthwise.wgsl"))
    }
}
