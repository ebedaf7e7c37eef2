//! [`Tables`]: the tables that segments of a JPEG file define.

use super::Invalid;
use super::blocks::ZIGZAG;
use super::huffman::HuffmanTable;

/// The tables that segments define, by index.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) dc: [Option<Box<HuffmanTable>>; 4],
    pub(super) ac: [Option<Box<HuffmanTable>>; 4],
    /// In the order of rows.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) restart_interval: u16,
}

impl Tables {
    pub(super) fn define_huffman(&mut self, mut payload: &[u8]) -> Result<(), Invalid> {
        const INVALID: Invalid = Invalid::Corrupt("a Huffman table is invalid");
        while !payload.is_empty() {
            let (&[selector], rest) = payload.split_first_chunk::<1>().ok_or(INVALID)?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(INVALID)?;
            let length = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(length).ok_or(INVALID)?;
            let tables = if selector & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(selector & !0x10)).ok_or(INVALID)?;
            *table = Some(HuffmanTable::try_new(counts, symbols).ok_or(INVALID)?);
            payload = rest;
        }
        Ok(())
    }

    pub(super) fn define_quantization(&mut self, mut payload: &[u8]) -> Result<(), Invalid> {
        const INVALID: Invalid = Invalid::Corrupt("a quantization table is invalid");
        while let Some((selector, rest)) = payload.split_first() {
            let element_bytes = if selector >> 4 == 0 { 1 } else { 2 };
            let (elements, rest) = rest.split_at_checked(64 * element_bytes).ok_or(INVALID)?;
            let mut table = [0; 64];
            for (element, position) in elements.chunks_exact(element_bytes).zip(ZIGZAG) {
                table[usize::from(position)] =
                    element.iter().fold(0_u16, |value, byte| (value << 8) | u16::from(*byte));
            }
            *self.quantization.get_mut(usize::from(selector & 15)).ok_or(INVALID)? = Some(table);
            payload = rest;
        }
        Ok(())
    }
}
