//! [`Component`] holds a component of a JPEG file while it is decoded; [`Plane`] has its samples.

use super::frame::{Frame, FrameComponent};
use super::idct::{idct, idct_1x1, idct_2x2, idct_4x4};
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
    plane: Plane,
    /// The samples in a row of a block: 8, or fewer at a reduced scale.
    side: usize,
    blocks_per_row: usize,
    /// The number of blocks that contain samples of the image, horizontal and vertical. Scans of one component have no others.
    pub(super) blocks: (usize, usize),
    /// The coefficients of a progressive file, 64 for each block of the plane.
    coefficients: Vec<i16>,
    /// That of the first scan.
    pub(super) quantization: Option<[u16; 64]>,
    /// For each coefficient of a progressive file, in zigzag order: how many low bits are not decoded yet. `None` if all.
    pub(super) missing_bits: [Option<u8>; 64],
}

impl Component {
    pub(super) fn new(frame: &Frame, declared: &FrameComponent) -> Self {
        let (columns, rows) = frame.units();
        let (blocks_per_row, block_rows) = (columns * declared.sampling.0, rows * declared.sampling.1);
        let side = frame.block_side(declared);
        let (stride, height) = (blocks_per_row * side, block_rows * side);
        let coefficients = if frame.is_progressive { vec![0; blocks_per_row * block_rows * 64] } else { Vec::new() };
        Self {
            plane: Plane { samples: vec![0; stride * height], stride, size: frame.component_size(declared) },
            side,
            blocks_per_row,
            blocks: frame.blocks(declared),
            coefficients,
            quantization: None,
            missing_bits: [None; 64],
        }
    }

    /// Whether the first coefficient of a block determines its samples.
    pub(super) fn needs_dc_only(&self) -> bool {
        self.side == 1
    }

    /// The coefficients of a block of a progressive file.
    pub(super) fn block(&mut self, (column, row): (usize, usize)) -> Result<&mut [i16; 64], Invalid> {
        let blocks = self.coefficients.as_chunks_mut::<64>().0;
        blocks.get_mut(row * self.blocks_per_row + column).ok_or(DAMAGED)
    }

    /// Computes the samples of a block. `has_ac` is false if all coefficients but the first are zero.
    #[inline]
    pub(super) fn transform(
        &mut self,
        (column, row): (usize, usize),
        block: &[i16; 64],
        has_ac: bool,
    ) -> Result<(), Invalid> {
        let table = self.quantization.as_ref().ok_or(NO_TABLE)?;
        let stride = self.plane.stride;
        let start = (row * stride + column) * self.side;
        let samples = self.plane.samples.get_mut(start..).ok_or(DAMAGED)?;
        match self.side {
            8 => idct(block, table, has_ac, samples, stride),
            4 => idct_4x4(block, table, has_ac, samples, stride),
            2 => idct_2x2(block, table, has_ac, samples, stride),
            _ => *samples.first_mut().ok_or(DAMAGED)? = idct_1x1(block[0], table[0]),
        }
        Ok(())
    }

    /// After all scans: transforms the coefficients of a progressive file.
    pub(super) fn finish(mut self) -> Result<Plane, Invalid> {
        // If one of these is missing, libjpeg interpolates between the blocks.
        const SMOOTHED_COEFFICIENTS: usize = 10;
        let is_complete = self.missing_bits.iter().take(SMOOTHED_COEFFICIENTS).all(|bits| *bits == Some(0));
        if !is_complete {
            return Err(Invalid::Corrupt("its scans do not have all coefficients"));
        }
        let coefficients = std::mem::take(&mut self.coefficients);
        for (index, block) in coefficients.as_chunks::<64>().0.iter().enumerate() {
            let at = (index % self.blocks_per_row, index / self.blocks_per_row);
            let has_ac = !self.needs_dc_only() && block.iter().skip(1).any(|coefficient| *coefficient != 0);
            self.transform(at, block, has_ac)?;
        }
        Ok(self.plane)
    }

    /// After the last scan of a sequential file that has a single one.
    pub(super) fn into_plane(self) -> Plane {
        self.plane
    }
}

const NO_TABLE: Invalid = Invalid::Corrupt("a quantization table is missing");
