//! [`Tables`]: the tables that segments of a JPEG file define.

use std::sync::Arc;

use super::Invalid;
use super::blocks::ZIGZAG;
use super::huffman::HuffmanTable;
use super::segments::{DEFINE_HUFFMAN_TABLES, DEFINE_QUANTIZATION_TABLES, DEFINE_RESTART_INTERVAL, Segment, Segments};

/// The tables that segments define, by index.
#[derive(Clone, Default)]
pub(in crate::image) struct Tables {
    /// Their symbols are sizes of at most 15 bits.
    dc: [Option<Arc<HuffmanTable>>; 4],
    ac: [Option<Arc<HuffmanTable>>; 4],
    /// In the order of rows.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) restart_interval: u16,
}

impl Tables {
    /// Reads a stream of tables without an image, which other streams refer to (the standard's abbreviated format for tables).
    pub(in crate::image) fn try_new(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut tables = Self::default();
        for segment in Segments::new(bytes) {
            tables.define(&segment)?;
        }
        // A start-of-image marker resets it.
        tables.restart_interval = 0;
        Ok(tables)
    }

    /// Takes over what a segment defines, if it is one of tables.
    pub(super) fn define(&mut self, segment: &Segment<'_>) -> Result<(), Invalid> {
        match segment.marker {
            DEFINE_HUFFMAN_TABLES => self.define_huffman(segment.payload),
            DEFINE_QUANTIZATION_TABLES => self.define_quantization(segment.payload),
            DEFINE_RESTART_INTERVAL => {
                const INVALID: Invalid = Invalid::Corrupt("its restart interval is invalid");
                self.restart_interval = u16::from_be_bytes(segment.payload.try_into().map_err(|_| INVALID)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn dc(&self, index: usize) -> Option<&HuffmanTable> {
        self.dc.get(index)?.as_deref()
    }

    pub(super) fn ac(&self, index: usize) -> Option<&HuffmanTable> {
        self.ac.get(index)?.as_deref()
    }

    fn define_huffman(&mut self, mut payload: &[u8]) -> Result<(), Invalid> {
        const INVALID: Invalid = Invalid::Corrupt("a Huffman table is invalid");
        const AC: u8 = 0x10;
        const MAX_DC_SIZE: u8 = 15;
        while !payload.is_empty() {
            let (&[selector], rest) = payload.split_first_chunk::<1>().ok_or(INVALID)?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(INVALID)?;
            let length = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(length).ok_or(INVALID)?;
            let is_ac = selector & AC != 0;
            let tables = if is_ac { &mut self.ac } else { &mut self.dc };
            let table = tables.get_mut(usize::from(selector & !AC)).ok_or(INVALID)?;
            let is_valid = is_ac || symbols.iter().all(|size| *size <= MAX_DC_SIZE);
            // As in libjpeg, an invalid table is an error only if a scan refers to it.
            *table = HuffmanTable::try_new(counts, symbols).filter(|_| is_valid).map(Arc::from);
            payload = rest;
        }
        Ok(())
    }

    fn define_quantization(&mut self, mut payload: &[u8]) -> Result<(), Invalid> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];

    /// A segment with a Huffman table of a code of one bit.
    fn huffman(selector: u8, symbol: u8) -> Vec<u8> {
        let mut segment = vec![0xff, DEFINE_HUFFMAN_TABLES, 0, 20, selector, 1];
        segment.extend([0; 15]);
        segment.push(symbol);
        segment
    }

    #[test]
    fn a_stream_without_an_image_has_tables() {
        let restart_interval = [0xff, DEFINE_RESTART_INTERVAL, 0, 4, 0, 9];
        let mut quantization = vec![0xff, DEFINE_QUANTIZATION_TABLES, 0, 67, 2];
        quantization.extend(1..=64);
        let stream =
            [&START_OF_IMAGE[..], &huffman(0, 15), &quantization, &restart_interval, &huffman(0x13, 0xff)].concat();
        let tables = Tables::try_new(&stream).ok().unwrap();
        assert!(tables.dc(0).is_some() && tables.dc(1).is_none());
        assert!(tables.ac(3).is_some() && tables.ac(0).is_none() && tables.ac(4).is_none());
        // The third element is the first one of the second row.
        assert_eq!(tables.quantization[2].map(|table| table[8]), Some(3));
        assert_eq!(tables.restart_interval, 0);
    }

    #[test]
    fn invalid_tables_are_missing_if_they_are_not_used() {
        let tables = Tables::try_new(&[&START_OF_IMAGE[..], &huffman(0, 16)].concat()).ok().unwrap();
        assert!(tables.dc(0).is_none());
        let is_rejected = |segment: &[u8]| Tables::try_new(&[&START_OF_IMAGE[..], segment].concat()).is_err();
        assert!(is_rejected(&huffman(4, 0)), "a fifth table");
        assert!(is_rejected(&[0xff, DEFINE_HUFFMAN_TABLES, 0, 5, 0, 1, 2]), "not complete");
        assert!(is_rejected(&[0xff, DEFINE_QUANTIZATION_TABLES, 0, 5, 0, 1, 2]), "not complete");
        assert!(is_rejected(&[0xff, DEFINE_RESTART_INTERVAL, 0, 3, 0]), "one byte");
    }
}
