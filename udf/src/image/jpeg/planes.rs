//! [`Component`] holds a component of a JPEG file while it is decoded; [`Plane`] has its samples.

use super::frame::{Frame, FrameComponent};
use super::idct::idct;
use super::{DAMAGED, Invalid};

/// The samples of a component: rows of `stride` bytes, of which the first `size.0` belong to the image.
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    pub(super) stride: usize,
    /// Width and height.
    pub(super) size: (usize, usize),
}

/// A component while it is decoded.
pub(super) struct Component {
    pub(super) plane: Plane,
    /// The number of blocks that contain samples of the image, horizontal and vertical. Scans of one component have no others.
    pub(super) blocks: (usize, usize),
    /// The coefficients of a progressive file, 64 for each block of the plane.
    pub(super) coefficients: Vec<i16>,
    /// That of the first scan.
    pub(super) quantization: Option<[u16; 64]>,
    /// For each coefficient of a progressive file, in zigzag order: how many low bits are not decoded yet. `None` if all.
    pub(super) missing_bits: [Option<u8>; 64],
}

impl Component {
    pub(super) fn new(frame: &Frame, declared: &FrameComponent) -> Self {
        let (columns, rows) = frame.units();
        let size = frame.size(declared);
        let (stride, height) = (columns * declared.sampling.0 * 8, rows * declared.sampling.1 * 8);
        let coefficients = if frame.is_progressive { vec![0; stride * height] } else { Vec::new() };
        Self {
            plane: Plane { samples: vec![0; stride * height], stride, size },
            blocks: (size.0.div_ceil(8), size.1.div_ceil(8)),
            coefficients,
            quantization: None,
            missing_bits: [None; 64],
        }
    }

    /// The coefficients of a block of a progressive file.
    pub(super) fn block(&mut self, (column, row): (usize, usize)) -> Result<&mut [i16; 64], Invalid> {
        let blocks_per_row = self.plane.stride / 8;
        let blocks = self.coefficients.as_chunks_mut::<64>().0;
        blocks.get_mut(row * blocks_per_row + column).ok_or(DAMAGED)
    }

    /// The samples from the first one of a block.
    pub(super) fn samples(&mut self, (column, row): (usize, usize)) -> Result<&mut [u8], Invalid> {
        self.plane.samples.get_mut(row * 8 * self.plane.stride + column * 8..).ok_or(DAMAGED)
    }

    /// After all scans: transforms the coefficients of a progressive file.
    pub(super) fn finish(mut self) -> Result<Plane, Invalid> {
        // If one of these is missing, libjpeg interpolates between the blocks.
        const SMOOTHED_COEFFICIENTS: usize = 10;
        let is_complete = self.missing_bits.iter().take(SMOOTHED_COEFFICIENTS).all(|bits| *bits == Some(0));
        let Some(table) = self.quantization.filter(|_| is_complete) else {
            return Err(Invalid::Corrupt("its scans do not have all coefficients"));
        };
        let coefficients = std::mem::take(&mut self.coefficients);
        let stride = self.plane.stride;
        for (index, block) in coefficients.as_chunks::<64>().0.iter().enumerate() {
            let at = (index % (stride / 8), index / (stride / 8));
            let has_ac = block.iter().skip(1).any(|coefficient| *coefficient != 0);
            idct(block, &table, has_ac, self.samples(at)?, stride);
        }
        Ok(self.plane)
    }
}
