//! [`RowConverter`] converts rows of samples to 8-bit gray or RGB, with the arithmetic of Pillow.

use super::TiffError;
use super::compression::Compression;
use super::directory::{ByteOrder, Directory, tag};
use super::format::{Format, Meaning, NumberType};
use super::lab;
use super::ycbcr::YCbCrTables;
use crate::image::cmyk::without_ink;

/// Converts the pixels of a [`Format`].
pub(super) struct RowConverter {
    format: Format,
    /// Where the high byte of a sample is.
    high_byte: usize,
    colors: Colors,
}

/// What is computed once per image.
enum Colors {
    None,
    /// The levels of all values.
    Gray(Box<[u8; 256]>),
    Palette(Box<[[u8; 3]; 256]>),
    YCbCr(Box<YCbCrTables>),
}

impl RowConverter {
    pub(super) fn try_new(
        directory: &Directory<'_>,
        compression: Compression,
        format: Format,
    ) -> Result<Self, TiffError> {
        let colors = match format.meaning {
            Meaning::Gray { is_inverted } => Colors::Gray(Box::new(levels(format.bits, is_inverted))),
            Meaning::Palette => Colors::Palette(Box::new(color_map(directory)?)),
            // The JPEG decoder converts.
            Meaning::YCbCr if compression != Compression::Jpeg || format.is_separate => {
                Colors::YCbCr(Box::new(YCbCrTables::try_new(directory, compression)?))
            }
            _ => Colors::None,
        };
        let last_byte = format.sample_bytes().saturating_sub(1);
        let high_byte = if format.order == ByteOrder::Big { 0 } else { last_byte };
        Ok(Self { format, high_byte, colors })
    }

    /// The bytes of a converted pixel.
    pub(super) fn channels(&self) -> usize {
        if matches!(self.format.meaning, Meaning::Gray { .. } | Meaning::Number(_)) { 1 } else { 3 }
    }

    /// Converts the start of a row of interleaved samples. Of subsampled YCbCr, it is the row of blocks that contains row `y`.
    pub(super) fn convert(&self, row: &[u8], y: usize, out: &mut [u8]) {
        let samples = usize::from(self.format.samples);
        match (self.format.meaning, &self.colors) {
            (_, Colors::Gray(levels)) => {
                let values = unpacked(row, self.format.bits).step_by(samples);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = levels[usize::from(value)]);
            }
            (_, Colors::Palette(palette)) => {
                let values = unpacked(row, self.format.bits).step_by(samples);
                out.chunks_exact_mut(3)
                    .zip(values)
                    .for_each(|(out, value)| out.copy_from_slice(&palette[usize::from(value)]));
            }
            (_, Colors::YCbCr(tables)) => self.convert_ycbcr(tables, row, y, out),
            (Meaning::Number(NumberType::U12), _) => {
                out.iter_mut().zip(row.chunks(3).flat_map(two_numbers)).for_each(|(out, value)| *out = clip(value));
            }
            (Meaning::Number(number), _) => {
                let pixels = row.chunks_exact(self.format.sample_bytes().max(1));
                let order = self.format.order;
                out.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = level(number, order.number(pixel)));
            }
            (Meaning::Rgb { is_premultiplied: true }, _) => self.convert_pixels(row, out, unpremultiplied),
            (Meaning::Cmyk, _) => self.convert_pixels(row, out, cmyk),
            (Meaning::Lab, _) => {
                self.convert_pixels(row, out, |[l, a, b, _]| {
                    lab::to_rgb([l, a.wrapping_add(128), b.wrapping_add(128)])
                });
            }
            _ => self.convert_pixels(row, out, |[red, green, blue, _]| [red, green, blue]),
        }
    }

    /// Converts the high bytes of the first four samples of each pixel; the fourth is 255 where there are three.
    fn convert_pixels(&self, row: &[u8], out: &mut [u8], convert: impl Fn([u8; 4]) -> [u8; 3]) {
        let bytes = self.format.sample_bytes().max(1);
        let pixels = row.chunks_exact(bytes * usize::from(self.format.samples).max(1));
        for (out, pixel) in out.chunks_exact_mut(3).zip(pixels) {
            let sample = |index: usize| pixel.get(index * bytes + self.high_byte).copied().unwrap_or(255);
            out.copy_from_slice(&convert([sample(0), sample(1), sample(2), sample(3)]));
        }
    }

    /// A block has the luma of its pixels, row by row, and then the two chroma samples that they share.
    fn convert_ycbcr(&self, tables: &YCbCrTables, row: &[u8], y: usize, out: &mut [u8]) {
        let (horizontal, vertical) = (usize::from(self.format.subsampling.0), usize::from(self.format.subsampling.1));
        let luma = horizontal * vertical;
        let first = y % vertical * horizontal;
        let blocks = row.chunks_exact(luma + 2);
        for (out, block) in out.chunks_mut(3 * horizontal).zip(blocks) {
            for (out, &y) in out.chunks_exact_mut(3).zip(&block[first..]) {
                out.copy_from_slice(&tables.to_rgb(y, block[luma], block[luma + 1]));
            }
        }
    }
}

/// The level of each value of up to 8 bits.
fn levels(bits: u8, is_inverted: bool) -> [u8; 256] {
    let max = u8::MAX >> (8 - bits);
    let mut levels = [0; 256];
    for (value, level) in (0..=u8::MAX).zip(&mut levels) {
        let scaled = (value & max) * (u8::MAX / max);
        *level = if is_inverted { u8::MAX - scaled } else { scaled };
    }
    levels
}

/// The high bytes of the colour map, which has all red values first. Missing colours are black.
fn color_map(directory: &Directory<'_>) -> Result<[[u8; 3]; 256], TiffError> {
    let mut colors = [[0; 3]; 256];
    let field = directory.field(tag::COLOR_MAP)?.ok_or_else(|| TiffError::invalid("it has no colour map"))?;
    let count = field.count() / 3;
    if count > colors.len() {
        return Err(TiffError::Invalid(format!("its colour map has {count} colours, more than 256")));
    }
    for (index, color) in colors.iter_mut().enumerate().take(count) {
        for (channel, value) in color.iter_mut().enumerate() {
            *value = field.get(channel * count + index).map_or(0, |value| (value >> 8) as u8);
        }
    }
    Ok(colors)
}

/// Samples of 1, 2, 4 or 8 bits, the high bits of a byte first.
fn unpacked(row: &[u8], bits: u8) -> impl Iterator<Item = u8> + '_ {
    let mask = u8::MAX >> (8 - bits);
    row.iter().flat_map(move |&byte| (1..=8 / bits).map(move |place| (byte >> (8 - bits * place)) & mask))
}

/// Two numbers of 12 bits in three bytes; the second one is 0 where the row ends after two bytes.
fn two_numbers(bytes: &[u8]) -> [i64; 2] {
    let byte = |index: usize| bytes.get(index).copied().map_or(0, i64::from);
    [(byte(0) << 4) | (byte(1) >> 4), ((byte(1) & 0xf) << 8) | byte(2)]
}

fn level(number: NumberType, bits: u64) -> u8 {
    match number {
        NumberType::U12 | NumberType::U16 => clip(i64::from(bits as u16)),
        NumberType::I16 => clip(i64::from(bits as u16 as i16)),
        NumberType::I32 => clip(i64::from(bits as u32 as i32)),
        // The fraction is dropped; NaN is 0.
        NumberType::F32 => f32::from_bits(bits as u32) as u8,
    }
}

fn clip(value: i64) -> u8 {
    value.clamp(0, 255) as u8
}

/// Divides by alpha as Pillow does when it reads the mode "RGBa".
fn unpremultiplied([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    if alpha == 0 {
        return [0; 3];
    }
    [red, green, blue].map(|value| (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8)
}

/// Of inks that are stored as they are.
fn cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|ink| without_ink(ink, 255 - black))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_bits_agree_with_a_slow_reference() {
        let row = [0b1011_0001, 0b0110_1100, 0xff, 0];
        for bits in [1, 2, 4, 8] {
            let bit = |index: usize| (row[index / 8] >> (7 - index % 8)) & 1;
            let value = |index: usize| (0..bits).fold(0, |value, place| (value << 1) | bit(index * bits + place));
            let expected: Vec<u8> = (0..32 / bits).map(value).collect();
            assert_eq!(unpacked(&row, bits as u8).collect::<Vec<_>>(), expected, "{bits} bits");
        }
    }

    #[test]
    fn numbers_of_12_bits() {
        assert_eq!(two_numbers(&[0x12, 0x34, 0x56]), [0x123, 0x456]);
        assert_eq!(two_numbers(&[0x12, 0x30])[0], 0x123);
    }

    #[test]
    fn levels_span_the_range() {
        for bits in [1, 2, 4, 8] {
            let max = usize::from(u8::MAX >> (8 - bits));
            assert_eq!((levels(bits, false)[0], levels(bits, false)[max]), (0, 255));
            assert_eq!((levels(bits, true)[0], levels(bits, true)[max]), (255, 0));
        }
        assert_eq!(levels(2, false)[..4], [0, 85, 170, 255]);
    }

    #[test]
    fn numbers_are_clipped() {
        assert_eq!(level(NumberType::U16, 256), 255);
        assert_eq!(level(NumberType::I16, 0xffff), 0);
        assert_eq!(level(NumberType::I32, 200), 200);
        assert_eq!(level(NumberType::F32, u64::from(12.9_f32.to_bits())), 12);
        assert_eq!(level(NumberType::F32, u64::from(f32::NAN.to_bits())), 0);
    }

    #[test]
    fn alpha_is_divided_out() {
        assert_eq!(unpremultiplied([10, 20, 200, 100]), [25, 51, 255]);
        assert_eq!(unpremultiplied([10, 20, 200, 0]), [0, 0, 0]);
        assert_eq!(unpremultiplied([10, 20, 200, 255]), [10, 20, 200]);
    }

    #[test]
    fn inks_absorb_light() {
        assert_eq!(cmyk([0, 255, 128, 0]), [255, 0, 127]);
        assert_eq!(cmyk([0, 255, 128, 255]), [0, 0, 0]);
        assert_eq!(cmyk([10, 60, 200, 30]), [216, 172, 49]);
    }
}
