//! [`Buffer`]: a slice of numbers on a device.

/// `len` 32-bit floats on the device that made it.
#[derive(Debug)]
pub struct Buffer {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) len: usize,
}

impl Buffer {
    /// How many numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
