//! [`BitReader`] and [`HuffmanTable`] decode the entropy-coded data of a JPEG scan.

use super::segments::next_marker;
use super::{DAMAGED, Invalid};

/// Codes of at most this length are decoded by one lookup.
const LOOKUP_BITS: usize = 9;
/// The longest code.
const MAX_BITS: usize = 16;

/// A Huffman table, in canonical form.
pub(super) struct HuffmanTable {
    /// For each value of the next bits: the length of the code at their start, which is 0 if it is longer, and its symbol.
    lookup: [(u8, u8); 1 << LOOKUP_BITS],
    /// For each length: the first value of the next 16 bits that is beyond the codes of this length.
    limits: [u32; MAX_BITS + 1],
    /// For each length: the index of a symbol minus its code.
    offsets: [i32; MAX_BITS + 1],
    symbols: [u8; 256],
}

impl HuffmanTable {
    /// `counts` has the number of codes of each length; `symbols` are ordered by their codes.
    ///
    /// `None` if there are more codes of a length than bits allow, or a code consists of ones only.
    pub(super) fn try_new(counts: &[u8; MAX_BITS], symbols: &[u8]) -> Option<Box<Self>> {
        let mut table = Box::new(Self {
            lookup: [(0, 0); 1 << LOOKUP_BITS],
            limits: [0; MAX_BITS + 1],
            offsets: [0; MAX_BITS + 1],
            symbols: [0; 256],
        });
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut index) = (0_usize, 0_usize);
        for (length, count) in (1..).zip(counts) {
            table.offsets[length] = index as i32 - code as i32;
            for _ in 0..*count {
                let symbol = *symbols.get(index)?;
                if length <= LOOKUP_BITS {
                    let free_bits = LOOKUP_BITS - length;
                    table.lookup.get_mut(code << free_bits..(code + 1) << free_bits)?.fill((length as u8, symbol));
                }
                code += 1;
                index += 1;
            }
            if *count > 0 && code >= 1 << length {
                return None;
            }
            table.limits[length] = (code << (MAX_BITS - length)) as u32;
            code <<= 1;
        }
        Some(table)
    }
}

/// Reads bits from the most significant one, up to the next marker. Beyond it, bits are zero; [`is_exhausted`](Self::is_exhausted)
/// tells that some were read.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Of the next byte that is not in `bits`; at a marker, of its first byte.
    offset: usize,
    /// The next bits, left-aligned.
    bits: u64,
    /// The number of valid bits, minus the number of bits that were read beyond the marker.
    count: i32,
    is_at_marker: bool,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset, bits: 0, count: 0, is_at_marker: false }
    }

    /// The offset at or before the next marker.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.count < 0
    }

    /// Makes at least 32 bits available: a code and a value.
    #[inline]
    pub(super) fn refill(&mut self) {
        if self.count >= 32 || self.is_at_marker {
            return;
        }
        if let Some((word, _)) = self.bytes.get(self.offset..).and_then(<[u8]>::split_first_chunk::<8>) {
            let word = u64::from_be_bytes(*word);
            if !has_byte_ff(word) {
                // The bits of a byte that fits in part are read again later.
                self.bits |= word >> self.count;
                let bytes = (63 - self.count) >> 3;
                self.offset += bytes as usize;
                self.count += bytes << 3;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    fn refill_bytewise(&mut self) {
        while self.count <= 56 {
            let Some(byte) = self.next_byte() else {
                self.is_at_marker = true;
                return;
            };
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next byte of entropy-coded data, of which `FF` is written as `FF 00`. `None` at a marker and at the end.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.offset)?;
        if byte != 0xff {
            self.offset += 1;
            return Some(byte);
        }
        let mut next = self.offset + 1;
        while self.bytes.get(next) == Some(&0xff) {
            next += 1;
        }
        if self.bytes.get(next) != Some(&0) {
            return None;
        }
        self.offset = next + 1;
        Some(0xff)
    }

    /// Passes over the next `count` bits; at most 16.
    #[inline]
    pub(super) fn consume(&mut self, count: u32) {
        self.bits <<= count;
        self.count -= count as i32;
    }

    /// The next symbol. At least 16 bits must be available.
    #[inline]
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, Invalid> {
        let (length, symbol) = table.lookup[(self.bits >> (64 - LOOKUP_BITS)) as usize];
        if length != 0 {
            self.consume(u32::from(length));
            return Ok(symbol);
        }
        self.long_symbol(table)
    }

    #[cold]
    fn long_symbol(&mut self, table: &HuffmanTable) -> Result<u8, Invalid> {
        let next = (self.bits >> (64 - MAX_BITS)) as u32;
        for length in LOOKUP_BITS + 1..=MAX_BITS {
            if next < table.limits[length] {
                let index = (next >> (MAX_BITS - length)) as i32 + table.offsets[length];
                self.consume(length as u32);
                return Ok(table.symbols[(index & 255) as usize]);
            }
        }
        Err(DAMAGED)
    }

    /// The next `count` bits as a number; at most 16.
    #[inline]
    pub(super) fn number(&mut self, count: u32) -> u32 {
        // In two steps, because a shift by 64 is not defined.
        let number = (self.bits >> 1 >> (63 - count)) as u32;
        self.consume(count);
        number
    }

    /// The next `count` bits as a signed value (the standard's `EXTEND`); at most 16.
    #[inline]
    pub(super) fn value(&mut self, count: u32) -> i32 {
        let number = self.number(count) as i32;
        let is_negative = count > 0 && number >> (count - 1) == 0;
        if is_negative { number - (1 << count) + 1 } else { number }
    }

    /// The next bit, for which no bits need to be available.
    #[inline]
    pub(super) fn bit(&mut self) -> bool {
        if self.count < 1 {
            self.refill();
        }
        self.number(1) == 1
    }

    /// Continues after the next marker, which has to be `RST` with this number.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Invalid> {
        const RESTART: u8 = 0xd0;
        let (marker, offset) = next_marker(self.bytes, self.offset).ok_or(DAMAGED)?;
        if marker != RESTART + number {
            return Err(DAMAGED);
        }
        *self = Self::new(self.bytes, offset);
        Ok(())
    }
}

fn has_byte_ff(word: u64) -> bool {
    // A byte of the complement is zero.
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = !word;
    word.wrapping_sub(LOW) & !word & HIGH != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_end_at_a_marker() {
        let bytes = [0b1010_0000, 0xff, 0x00, 0xff, 0xff, 0xd3, 0x80, 0xff, 0xd9];
        let mut reader = BitReader::new(&bytes, 0);
        reader.refill();
        assert_eq!([reader.value(1), reader.value(2), reader.value(3)], [1, -2, -7]);
        assert_eq!(reader.number(10), 0b00_1111_1111);
        assert!(!reader.is_exhausted());
        assert!(!reader.bit());
        assert!(reader.is_exhausted());
        assert!(reader.restart(3).is_ok());
        assert!(reader.bit() && !reader.is_exhausted());
        assert!(reader.restart(4).is_err());
    }

    #[test]
    fn all_bytes_are_read_once() {
        let bytes: Vec<u8> = (0..200_u8).chain([0xff, 0]).chain(3..50).collect();
        let mut reader = BitReader::new(&bytes, 0);
        for expected in (0..200).chain([0xff]).chain(3..50) {
            reader.refill();
            assert_eq!((reader.number(3) << 5) + reader.number(5), expected);
        }
        assert!(!reader.is_exhausted());
    }

    #[test]
    fn codes_of_all_lengths_are_decoded() {
        // One code of each length: 0, 10, 110, …
        let symbols: Vec<u8> = (1..=16).collect();
        let table = HuffmanTable::try_new(&[1; 16], &symbols).unwrap();
        for symbol in 1..=16_u8 {
            let code = ((0xffff_u32 << (17 - symbol)) & 0xffff) << 8;
            let mut reader = BitReader::new(&[], 0);
            reader.bits = u64::from(code) << 40;
            reader.count = 24;
            assert_eq!(reader.symbol(&table).ok(), Some(symbol));
            assert_eq!(reader.count, 24 - i32::from(symbol));
        }
        let mut reader = BitReader::new(&[], 0);
        reader.bits = u64::MAX;
        assert!(reader.symbol(&table).is_err());
    }

    #[test]
    fn invalid_tables_are_rejected() {
        let mut counts = [0; 16];
        counts[0] = 2;
        assert!(HuffmanTable::try_new(&counts, &[1, 2]).is_none(), "a code of ones only");
        counts[0] = 1;
        assert!(HuffmanTable::try_new(&counts, &[1]).is_some());
        assert!(HuffmanTable::try_new(&counts, &[]).is_none(), "a symbol is missing");
        assert!(HuffmanTable::try_new(&[255; 16], &[0; 256]).is_none());
    }
}
