//! [`read_runs`] reads the run-length encoded pixels of a BMP file.

use super::header::Palette;

/// Codes after a length of 0. Others are the number of indices that follow as they are.
const END_OF_ROW: u8 = 0;
const END_OF_PIXELS: u8 = 1;
const MOVE: u8 = 2;

/// Writes the pixels that start at an offset of a file, in the order of the file. Their indices have 8 bits, or 4.
///
/// As in Pillow, pixels that are skipped have index 0, and a run that is longer than the row is cut.
///
/// Returns whether the file has all pixels.
pub(super) fn read_runs(
    file: &[u8],
    start: usize,
    has_4_bits: bool,
    palette: &Palette,
    width: usize,
    pixels: &mut [u8],
) -> bool {
    let count = pixels.len() / 3;
    let mut output = Output { pixels, palette, written: 0 };
    let byte = |position: usize| file.get(position).copied();
    // The index `k` of those in a byte, or of a run that repeats a byte.
    let index = |value: u8, k: usize| match (has_4_bits, k % 2) {
        (false, _) => value,
        (true, 0) => value >> 4,
        (true, _) => value & 0xf,
    };
    let (mut position, mut x) = (start, 0);
    while output.written < count {
        let (Some(length), Some(value)) = (byte(position), byte(position + 1)) else { break };
        position += 2;
        match (length, value) {
            (0, END_OF_ROW) => {
                output.push_n((width - output.written % width) % width, |_| 0);
                x = 0;
            }
            (0, END_OF_PIXELS) => break,
            (0, MOVE) => {
                let (Some(right), Some(rows)) = (byte(position), byte(position + 1)) else { break };
                position += 2;
                let skipped = usize::from(right) + usize::from(rows) * width;
                output.push_n(skipped.min(count - output.written), |_| 0);
                x = output.written % width;
            }
            (0, _) => {
                let length = usize::from(value).min(count - output.written);
                let stored = if has_4_bits { length.div_ceil(2) } else { length };
                let Some(values) = file.get(position..position + stored) else { break };
                output.push_n(length, |k| index(values[if has_4_bits { k / 2 } else { k }], k));
                x += usize::from(value);
                // Padded to an even position.
                position = (position + stored).next_multiple_of(2);
            }
            (length, value) => {
                let length = usize::from(length).min(width.saturating_sub(x));
                output.push_n(length, |k| index(value, k));
                x += length;
            }
        }
    }
    output.written >= count
}

/// RGB pixels, which are written as indices.
struct Output<'a> {
    pixels: &'a mut [u8],
    palette: &'a Palette,
    written: usize,
}

impl Output<'_> {
    fn push_n(&mut self, n: usize, index: impl Fn(usize) -> u8) {
        let targets = self.pixels.chunks_exact_mut(3).skip(self.written).take(n);
        for (k, target) in targets.enumerate() {
            target.copy_from_slice(&self.palette[usize::from(index(k))]);
        }
        self.written += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The indices of an image of 4 x 2 pixels, if the file has them all. The values are Pillow's.
    fn indices(file: &[u8], has_4_bits: bool) -> Option<Vec<u8>> {
        let palette: Palette = std::array::from_fn(|index| [index as u8; 3]);
        let mut pixels = vec![255; 4 * 2 * 3];
        let is_complete = read_runs(file, 0, has_4_bits, &palette, 4, &mut pixels);
        is_complete.then(|| pixels.into_iter().step_by(3).collect())
    }

    #[test]
    fn runs_and_single_indices() {
        let file = [3, 1, 1, 0, 0, 0, 0, 4, 0, 1, 2, 3, 0, 0, 0, 1];
        assert_eq!(indices(&file, false), Some(vec![1, 1, 1, 0, 0, 1, 2, 3]));
        let file = [3, 0x12, 1, 0, 0, 0, 0, 4, 0x01, 0x23, 0, 0, 0, 1];
        assert_eq!(indices(&file, true), Some(vec![1, 2, 1, 0, 0, 1, 2, 3]));
    }

    #[test]
    fn an_odd_number_of_single_indices_is_padded() {
        let file = [1, 1, 0, 3, 3, 3, 3, 9, 0, 0, 4, 2, 0, 1];
        assert_eq!(indices(&file, false), Some(vec![1, 3, 3, 3, 2, 2, 2, 2]));
    }

    #[test]
    fn skipped_pixels_have_index_0() {
        assert_eq!(indices(&[3, 1, 0, 0, 2, 2, 0, 0, 0, 1], false), Some(vec![1, 1, 1, 0, 2, 2, 0, 0]));
        assert_eq!(indices(&[1, 1, 0, 2, 1, 1, 2, 2, 0, 1], false), Some(vec![1, 0, 0, 0, 0, 0, 2, 2]));
    }

    #[test]
    fn a_run_that_is_longer_than_the_row_is_cut() {
        assert_eq!(indices(&[9, 1, 0, 0, 9, 2, 0, 0, 0, 1], false), Some(vec![1, 1, 1, 1, 2, 2, 2, 2]));
        assert_eq!(indices(&[9, 1, 9, 2, 0, 1], false), None);
    }

    #[test]
    fn missing_pixels_are_found() {
        let files: [&[u8]; 6] = [&[4, 1, 0, 0, 0, 1], &[4, 1, 0, 0], &[4], &[], &[0, 2, 1], &[0, 8, 1, 2, 3]];
        for file in files {
            assert_eq!(indices(file, false), None, "{file:?}");
        }
    }
}
