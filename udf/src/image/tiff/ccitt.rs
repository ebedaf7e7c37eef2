//! [`decode`] decompresses bilevel rows of facsimile machines (ITU-T T.4 and T.6), as in TIFF.

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, Color};

use super::TiffError;

/// The encodings, which have the same codes for the lengths of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Runs, each row from the start of a byte.
    RunLength,
    /// Runs, with an end-of-line code before each row; if `is_2d`, a bit after it tells whether the row is encoded as in Group 4.
    Group3 { is_2d: bool },
    /// Differences to the row above.
    Group4,
}

/// Decodes rows of `width` pixels, of which white ones are 0, as libtiff does. Rows after the end-of-block code are white.
pub(super) fn decode(data: &[u8], encoding: Encoding, width: usize, rows: &mut [u8]) -> Result<(), TiffError> {
    rows.fill(0);
    let mut bits = Bits { data, position: 0 };
    // The positions at which the colour changes, first to black.
    let (mut above, mut changes) = (Vec::new(), Vec::new());
    for row in rows.chunks_exact_mut(width.div_ceil(8).max(1)) {
        let is_complete = match encoding {
            Encoding::RunLength => {
                bits.align();
                read_runs(&mut bits, width, &mut changes)?;
                true
            }
            Encoding::Group3 { is_2d: false } => {
                if bits.skip_end_of_line() && bits.is_end_of_line() {
                    false
                } else {
                    read_runs(&mut bits, width, &mut changes)?;
                    true
                }
            }
            Encoding::Group3 { is_2d: true } => {
                bits.find_end_of_line()?;
                match bits.take_bit() {
                    true if bits.is_end_of_line() => false,
                    true => {
                        read_runs(&mut bits, width, &mut changes)?;
                        true
                    }
                    false => read_differences(&mut bits, width, &above, &mut changes)?,
                }
            }
            Encoding::Group4 => read_differences(&mut bits, width, &above, &mut changes)?,
        };
        // Zeros after the end of truncated data look like an end-of-block code.
        if bits.position > data.len() * 8 {
            return Err(TiffError::Truncated);
        }
        if !is_complete {
            break;
        }
        for run in changes.chunks(2) {
            fill_bits(row, run[0], run.get(1).copied().unwrap_or(width));
        }
        std::mem::swap(&mut above, &mut changes);
    }
    Ok(())
}

/// Reads runs of alternating colours up to the width.
fn read_runs(bits: &mut Bits<'_>, width: usize, changes: &mut Vec<usize>) -> Result<(), TiffError> {
    changes.clear();
    let (mut position, mut color) = (0, Color::White);
    while position < width {
        position = width.min(position + read_run(bits, color)?);
        changes.push(position);
        color = !color;
    }
    Ok(())
}

/// Reads a row that is encoded by the differences of its changes to those of the row above. `false` at the end-of-block code.
fn read_differences(
    bits: &mut Bits<'_>,
    width: usize,
    above: &[usize],
    changes: &mut Vec<usize>,
) -> Result<bool, TiffError> {
    changes.clear();
    // `None` is the imaginary white pixel before the row.
    let (mut position, mut color) = (None, Color::White);
    let mut next_above = 0;
    while position.unwrap_or(0) < width {
        // The first change above that is to the right of the position and from its colour.
        let is_right = |index: usize| above.get(index).is_none_or(|&change| position.is_none_or(|p| change > p));
        while next_above > 0 && is_right(next_above - 1) {
            next_above -= 1;
        }
        while !is_right(next_above) || next_above % 2 != usize::from(color == Color::Black) {
            next_above += 1;
        }
        let change_above = |index: usize| above.get(index).copied().unwrap_or(width);
        match mode::decode(bits).ok_or_else(|| invalid_code(bits))? {
            Mode::Pass => position = Some(change_above(next_above + 1)),
            Mode::Horizontal => {
                let first = width.min(position.unwrap_or(0) + read_run(bits, color)?);
                let second = width.min(first + read_run(bits, !color)?);
                changes.extend([first, second]);
                position = Some(second);
            }
            Mode::Vertical(distance) => {
                let change = change_above(next_above).saturating_add_signed(isize::from(distance)).min(width);
                if change < position.unwrap_or(0) {
                    return Err(invalid_code(bits));
                }
                changes.push(change);
                position = Some(change);
                color = !color;
            }
            Mode::EOF => return Ok(false),
            Mode::Extension => return Err(TiffError::invalid("uncompressed rows of CCITT data are not supported")),
        }
    }
    Ok(true)
}

/// The length of a run, whose code may be preceded by codes of multiples of 64.
fn read_run(bits: &mut Bits<'_>, color: Color) -> Result<usize, TiffError> {
    let mut len = 0;
    loop {
        let code = if color == Color::Black { black::decode(bits) } else { white::decode(bits) };
        let code = usize::from(code.ok_or_else(|| invalid_code(bits))?);
        len += code;
        if code < 64 {
            return Ok(len);
        }
    }
}

fn invalid_code(bits: &Bits<'_>) -> TiffError {
    let is_at_end = bits.position + EOL_BITS >= bits.data.len() * 8;
    if is_at_end { TiffError::Truncated } else { TiffError::invalid("its CCITT data has an invalid code") }
}

/// Sets the bits of a row from `start` to `end`.
fn fill_bits(row: &mut [u8], start: usize, end: usize) {
    for (index, byte) in row.iter_mut().enumerate().take(end.div_ceil(8)).skip(start / 8) {
        let (first, last) = (start.saturating_sub(index * 8), (end - index * 8).min(8));
        if first < last {
            *byte |= (0xff_u8 >> first) & (0xff_u16 << (8 - last)) as u8;
        }
    }
}

/// The bits of an end-of-line code: 11 zeros and a one, which may be preceded by more zeros.
const EOL_BITS: usize = 12;

/// Reads bits, the highest of a byte first. Zeros follow the data.
struct Bits<'a> {
    data: &'a [u8],
    /// In bits.
    position: usize,
}

impl Bits<'_> {
    fn align(&mut self) {
        self.position = self.position.next_multiple_of(8);
    }

    fn is_at_end(&self) -> bool {
        self.position >= self.data.len() * 8
    }

    fn take_bit(&mut self) -> bool {
        let bit = self.next_bits(1);
        self.position += 1;
        bit == 1
    }

    fn is_end_of_line(&self) -> bool {
        self.next_bits(EOL_BITS as u8 - 1) == 0 && !self.is_at_end()
    }

    /// Whether an end-of-line code was next, which is skipped.
    fn skip_end_of_line(&mut self) -> bool {
        let is_end_of_line = self.is_end_of_line();
        if is_end_of_line {
            while !self.is_at_end() && !self.take_bit() {}
        }
        is_end_of_line
    }

    /// Skips bits up to and including the next end-of-line code.
    fn find_end_of_line(&mut self) -> Result<(), TiffError> {
        while !self.skip_end_of_line() {
            if self.is_at_end() {
                return Err(TiffError::Truncated);
            }
            self.position += 1;
        }
        Ok(())
    }

    fn next_bits(&self, count: u8) -> u16 {
        let byte = |index: usize| u32::from(self.data.get(self.position / 8 + index).copied().unwrap_or(0));
        let next = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        let unread = 24 - self.position % 8;
        ((next >> (unread - usize::from(count))) & ((1 << count) - 1)) as u16
    }
}

impl BitReader for Bits<'_> {
    type Error = Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        if bits <= 16 && !self.is_at_end() { Some(self.next_bits(bits)) } else { None }
    }

    fn consume(&mut self, bits: u8) -> Result<(), Infallible> {
        self.position += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.position.next_multiple_of(8) - self.position) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_bits_one_by_one(row: &mut [u8], start: usize, end: usize) {
        for position in start..end {
            row[position / 8] |= 0x80 >> (position % 8);
        }
    }

    #[test]
    fn runs_agree_with_a_slow_reference() {
        for start in 0..=24 {
            for end in start..=24 {
                let (mut row, mut expected) = ([0; 3], [0; 3]);
                fill_bits(&mut row, start, end);
                fill_bits_one_by_one(&mut expected, start, end);
                assert_eq!(row, expected, "from {start} to {end}");
            }
        }
    }

    #[test]
    fn runs_of_a_row() {
        // White 4: 1011, black 4: 011, white 8: 10011.
        let mut rows = [0; 2];
        decode(&[0b1011_0111, 0b0011_0000], Encoding::RunLength, 16, &mut rows).unwrap();
        assert_eq!(rows, [0b0000_1111, 0]);
    }

    #[test]
    fn differences_to_the_row_above() {
        // Horizontal 001, white 2: 0111, black 3: 10, then two changes at the same places as above: 1 and 1, at the end V0: 1.
        let mut rows = [0; 2];
        decode(&[0b0010_1111, 0b0111_1000], Encoding::Group4, 8, &mut rows).unwrap();
        assert_eq!(rows, [0b0011_1000, 0b0011_1000]);
    }

    #[test]
    fn truncated_differences_are_no_end_of_block() {
        // Horizontal 001, white 2: 0111, black 3: 10, two changes at the same places, V0: 1 at the end of each row.
        let mut rows = [0; 4];
        let row = [0b0010_1111, 0b0111_0000];
        assert!(matches!(decode(&row, Encoding::Group4, 8, &mut rows), Err(TiffError::Truncated)));
        // The code 000000000001 twice.
        let with_end = [0b0010_1111, 0b0111_1000, 0b0000_0000, 0b1000_0000, 0b0000_1000];
        decode(&with_end, Encoding::Group4, 8, &mut rows).unwrap();
        assert_eq!(rows, [0b0011_1000, 0b0011_1000, 0, 0]);
    }

    #[test]
    fn any_bytes_end() {
        for seed in 0..=255_u8 {
            let data: Vec<u8> =
                (0..64).map(|index: u8| seed.wrapping_mul(73).wrapping_add(index.wrapping_mul(37))).collect();
            let two_dimensional = Encoding::Group3 { is_2d: true };
            let runs = Encoding::Group3 { is_2d: false };
            for encoding in [Encoding::RunLength, runs, two_dimensional, Encoding::Group4] {
                for width in [1_usize, 8, 100, 70_000] {
                    let mut rows = vec![0; width.div_ceil(8) * 3];
                    let _ = decode(&data, encoding, width, &mut rows);
                }
            }
        }
    }
}
