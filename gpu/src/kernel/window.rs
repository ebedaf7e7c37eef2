//! [`Window`]: how a kernel slides over the pixels of a picture.

use super::shader::Shader;

/// Sizes are height, then width; all are of `[batch, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Above and left of the picture.
    pub(crate) pads: [usize; 2],
    /// Below and right of it.
    pub(crate) pads_behind: [usize; 2],
}

impl Window {
    /// The pixels of a picture that it makes.
    pub(crate) fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Its constants in a shader.
    pub(crate) fn declare(&self, mut shader: Shader) -> Shader {
        let pairs = [
            (["IN_HEIGHT", "IN_WIDTH"], self.input),
            (["OUT_HEIGHT", "OUT_WIDTH"], self.output),
            (["KERNEL_HEIGHT", "KERNEL_WIDTH"], self.kernel),
            (["STRIDE_Y", "STRIDE_X"], self.strides),
            (["DILATION_Y", "DILATION_X"], self.dilations),
            (["PAD_TOP", "PAD_LEFT"], self.pads),
            (["PAD_BOTTOM", "PAD_RIGHT"], self.pads_behind),
        ];
        for ([down, across], [height, width]) in pairs {
            shader = shader.constant(down, height).constant(across, width);
        }
        shader
    }
}
