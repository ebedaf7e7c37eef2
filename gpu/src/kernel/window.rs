//! [`Window`]: the geometry of a convolution or pooling window.

use super::shader::Shader;

/// Each pair is height, then width; tensors are `[batch, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Top and left padding.
    pub(crate) pads_begin: [usize; 2],
    /// Bottom and right padding.
    pub(crate) pads_end: [usize; 2],
}

impl Window {
    /// Output pixels of one image.
    pub(crate) fn output_positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    pub(crate) fn emit(&self, mut shader: Shader) -> Shader {
        let pairs = [
            (["IN_HEIGHT", "IN_WIDTH"], self.input),
            (["OUT_HEIGHT", "OUT_WIDTH"], self.output),
            (["KERNEL_HEIGHT", "KERNEL_WIDTH"], self.kernel),
            (["STRIDE_Y", "STRIDE_X"], self.strides),
            (["DILATION_Y", "DILATION_X"], self.dilations),
            (["PAD_TOP", "PAD_LEFT"], self.pads_begin),
            (["PAD_BOTTOM", "PAD_RIGHT"], self.pads_end),
        ];
        for ([y_name, x_name], [height, width]) in pairs {
            shader = shader.constant(y_name, height).constant(x_name, width);
        }
        shader
    }
}
