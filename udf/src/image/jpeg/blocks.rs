//! [`State`] decodes the blocks of a scan: those of sequential files, and the four kinds of scans of progressive files.

use super::huffman::{BitReader, HuffmanTable};
use super::planes::Component;
use super::{DAMAGED, Invalid};

/// The position in the block of each coefficient, in the order of the file.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10,
    17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34,
    27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36,
    29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46,
    53, 60, 61, 54, 47, 55, 62, 63,
];

/// What a block needs to know of those before it; reset by restart markers.
pub(super) struct State {
    /// The last DC coefficient of each component of the scan.
    predictions: [i32; 4],
    /// The number of blocks that follow without further coefficients.
    empty_blocks: u32,
    /// How many low bits of the coefficients later scans have.
    low: u8,
}

impl State {
    pub(super) fn new(low: u8) -> Self {
        Self { predictions: [0; 4], empty_blocks: 0, low }
    }

    /// Decodes a block of a sequential file, and transforms it.
    #[inline]
    pub(super) fn sequential(
        &mut self,
        reader: &mut BitReader<'_>,
        dc: &HuffmanTable,
        ac: &HuffmanTable,
        member: usize,
        component: &mut Component,
        at: (usize, usize),
    ) -> Result<(), Invalid> {
        let mut block = [0; 64];
        block[0] = self.dc(reader, dc, member)? as i16;
        if component.needs_dc_only() {
            skip_ac(reader, ac)?;
            return component.transform(at, &block, false);
        }
        let mut index = 1;
        while index < 64 {
            reader.refill();
            let (run, size) = split(reader.symbol(ac)?);
            if size == 0 {
                if run != 15 {
                    break;
                }
                index += 16;
                continue;
            }
            index += run;
            *position(&mut block, index)? = reader.value(size) as i16;
            index += 1;
        }
        component.transform(at, &block, index > 1)
    }

    /// The next DC coefficient of a component.
    #[inline]
    fn dc(&mut self, reader: &mut BitReader<'_>, table: &HuffmanTable, member: usize) -> Result<i32, Invalid> {
        reader.refill();
        // The sizes of a DC table are at most 15.
        let size = u32::from(reader.symbol(table)?);
        let prediction = self.predictions.get_mut(member).ok_or(DAMAGED)?;
        *prediction = prediction.wrapping_add(reader.value(size));
        Ok(*prediction)
    }

    pub(super) fn dc_first(
        &mut self,
        reader: &mut BitReader<'_>,
        table: &HuffmanTable,
        member: usize,
        block: &mut [i16; 64],
    ) -> Result<(), Invalid> {
        block[0] = (self.dc(reader, table, member)? << self.low) as i16;
        Ok(())
    }

    pub(super) fn dc_refinement(&self, reader: &mut BitReader<'_>, block: &mut [i16; 64]) {
        if reader.bit() {
            block[0] |= 1 << self.low;
        }
    }

    pub(super) fn ac_first(
        &mut self,
        reader: &mut BitReader<'_>,
        table: &HuffmanTable,
        (start, end): (usize, usize),
        block: &mut [i16; 64],
    ) -> Result<(), Invalid> {
        if self.empty_blocks > 0 {
            self.empty_blocks -= 1;
            return Ok(());
        }
        let mut index = start;
        while index <= end {
            reader.refill();
            let (run, size) = split(reader.symbol(table)?);
            if size == 0 {
                if run != 15 {
                    self.empty_blocks = (1 << run) - 1 + reader.number(run as u32);
                    break;
                }
                index += 16;
                continue;
            }
            index += run;
            *position(block, index)? = (reader.value(size) << self.low) as i16;
            index += 1;
        }
        Ok(())
    }

    /// Adds a bit to each coefficient that is not zero, and new coefficients of one bit between them.
    pub(super) fn ac_refinement(
        &mut self,
        reader: &mut BitReader<'_>,
        table: &HuffmanTable,
        (start, end): (usize, usize),
        block: &mut [i16; 64],
    ) -> Result<(), Invalid> {
        let bit = 1_i16 << self.low;
        let mut index = start;
        if self.empty_blocks == 0 {
            while index <= end {
                reader.refill();
                let (run, size) = split(reader.symbol(table)?);
                let value = match (size, run) {
                    (0, 15) => 0,
                    (0, _) => {
                        self.empty_blocks = (1 << run) + reader.number(run as u32);
                        break;
                    }
                    _ => {
                        if reader.bit() {
                            bit
                        } else {
                            -bit
                        }
                    }
                };
                // The run counts the coefficients that are zero.
                let mut zeros = run;
                while index <= end {
                    let coefficient = position(block, index)?;
                    if *coefficient != 0 {
                        refine(reader, coefficient, bit);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    index += 1;
                }
                if value != 0 {
                    *position(block, index)? = value;
                }
                index += 1;
            }
        }
        if self.empty_blocks > 0 {
            while index <= end {
                let coefficient = position(block, index)?;
                if *coefficient != 0 {
                    refine(reader, coefficient, bit);
                }
                index += 1;
            }
            self.empty_blocks -= 1;
        }
        Ok(())
    }
}

/// Reads the other coefficients of a block of a sequential file, and keeps none of them.
#[inline]
fn skip_ac(reader: &mut BitReader<'_>, table: &HuffmanTable) -> Result<(), Invalid> {
    let mut index = 1;
    while index < 64 {
        reader.refill();
        let (run, size) = split(reader.symbol(table)?);
        if size == 0 && run != 15 {
            break;
        }
        reader.consume(size);
        index += run + 1;
        if size > 0 && index > 64 {
            return Err(DAMAGED);
        }
    }
    Ok(())
}

/// The run of zeros before a coefficient, and its size in bits.
#[inline]
fn split(symbol: u8) -> (usize, u32) {
    (usize::from(symbol >> 4), u32::from(symbol & 15))
}

/// The coefficient with an index in the order of the file.
#[inline]
fn position(block: &mut [i16; 64], index: usize) -> Result<&mut i16, Invalid> {
    let position = ZIGZAG.get(index).ok_or(DAMAGED)?;
    block.get_mut(usize::from(*position)).ok_or(DAMAGED)
}

/// Reads the next bit of a coefficient that is not zero.
#[inline]
fn refine(reader: &mut BitReader<'_>, coefficient: &mut i16, bit: i16) {
    if reader.bit() && *coefficient & bit == 0 {
        let step = if *coefficient >= 0 { bit } else { -bit };
        *coefficient = coefficient.wrapping_add(step);
    }
}
