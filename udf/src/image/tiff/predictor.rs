//! [`Predictor`]: samples that are stored as the differences to their left neighbours.

use super::TiffError;
use super::compression::Compression;
use super::directory::{ByteOrder, Directory, tag};
use super::format::{Format, Meaning, NumberType};

/// What was done to the rows before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Differences of samples.
    Horizontal,
    /// Differences of the bytes of floating-point numbers, whose high bytes are first in a row.
    FloatingPoint,
}

impl Predictor {
    pub(super) fn try_new(
        directory: &Directory<'_>,
        compression: Compression,
        format: &Format,
    ) -> Result<Self, TiffError> {
        if !compression.has_predictor() {
            return Ok(Self::None);
        }
        let is_float = format.meaning == Meaning::Number(NumberType::F32);
        match directory.number(tag::PREDICTOR, 1)? {
            1 => Ok(Self::None),
            2 if matches!(format.bits, 8 | 16 | 32) && format.subsampling == (1, 1) => Ok(Self::Horizontal),
            3 if is_float => Ok(Self::FloatingPoint),
            other => Err(TiffError::Invalid(format!(
                "predictor {other} of samples of {} bits is not supported",
                format.bits
            ))),
        }
    }

    /// Restores a row of a strip or tile.
    pub(super) fn restore(self, row: &mut [u8], format: &Format) {
        let (samples, bytes) = (usize::from(format.chunk_samples()), format.sample_bytes());
        match (self, bytes) {
            (Self::None, _) => {}
            (Self::Horizontal, 1) => add_left(row, samples),
            (Self::Horizontal, 2) => add_left_numbers::<2>(row, samples, format.order),
            (Self::Horizontal, _) => add_left_numbers::<4>(row, samples, format.order),
            (Self::FloatingPoint, _) => {
                add_left(row, samples);
                join_bytes(row, bytes.max(1), format.order);
            }
        }
    }
}

fn add_left(row: &mut [u8], samples: usize) {
    for index in samples..row.len() {
        row[index] = row[index].wrapping_add(row[index - samples]);
    }
}

/// [`add_left`] for samples of several bytes.
fn add_left_numbers<const BYTES: usize>(row: &mut [u8], samples: usize, order: ByteOrder) {
    let count = row.len() / BYTES;
    for index in samples..count {
        let (left, start) = ((index - samples) * BYTES, index * BYTES);
        let sum = order.number(&row[left..left + BYTES]).wrapping_add(order.number(&row[start..start + BYTES]));
        let bytes = sum.to_be_bytes();
        let sum = &bytes[bytes.len() - BYTES..];
        row[start..start + BYTES].copy_from_slice(sum);
        if order == ByteOrder::Little {
            row[start..start + BYTES].reverse();
        }
    }
}

/// Collects the bytes of each number: a row has first the high bytes of all numbers, then their second bytes, and so on.
fn join_bytes(row: &mut [u8], bytes: usize, order: ByteOrder) {
    let divided = row.to_vec();
    let count = row.len() / bytes;
    for (index, number) in row.chunks_exact_mut(bytes).enumerate() {
        for (place, byte) in number.iter_mut().enumerate() {
            *byte = divided[place * count + index];
        }
        if order == ByteOrder::Little {
            number.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_added_per_sample() {
        let mut row = [1, 10, 255, 2, 3, 4];
        add_left(&mut row, 2);
        assert_eq!(row, [1, 10, 0, 12, 3, 16]);
    }

    #[test]
    fn differences_of_numbers_have_the_order_of_the_file() {
        let mut little = [0xff, 0, 1, 0, 0xff, 0xff];
        add_left_numbers::<2>(&mut little, 1, ByteOrder::Little);
        assert_eq!(little, [0xff, 0, 0, 1, 0xff, 0]);
        let mut big = [0, 0xff, 0, 1, 0xff, 0xff];
        add_left_numbers::<2>(&mut big, 1, ByteOrder::Big);
        assert_eq!(big, [0, 0xff, 1, 0, 0, 0xff]);
    }

    #[test]
    fn bytes_of_numbers_are_collected() {
        let mut row = [1, 5, 2, 6, 3, 7, 4, 8];
        join_bytes(&mut row, 4, ByteOrder::Big);
        assert_eq!(row, [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut row = [1, 5, 2, 6, 3, 7, 4, 8];
        join_bytes(&mut row, 4, ByteOrder::Little);
        assert_eq!(row, [4, 3, 2, 1, 8, 7, 6, 5]);
    }
}
