//! [`BmpDecoder`] decodes BMP files, as Pillow's `BmpImagePlugin` does.

mod header;
mod runs;

use image::{ColorType, ImageDecoder, ImageResult, Limits};

use super::ImageError;
use super::invalid::truncated;
use header::{
    Channel, Header, MASKS, Palette, RAW, RLE4, RLE8, channels, corrupt, pixels_start, read_masks, read_palette,
};
use runs::read_runs;

/// Decodes 1, 2, 4 and 8 bits with a palette, also run-length encoded, and 16, 24 and 32 bits, also with bit masks; with the headers
/// of OS/2 1 and 2 and of all versions of Windows. Alpha is ignored.
///
/// The decoder of the crate `image` does not read OS/2 2, rounds the channels of 16-bit pixels, and gives skipped pixels another colour.
///
/// Pillow misreads 4 and 8 bits per pixel with a palette of black and white only, and 4 bits with the palette 0, 1, 2, …: it takes
/// the pixels for 1 and 8 bits. This decoder uses the palette.
pub(super) struct BmpDecoder<'a> {
    file: &'a [u8],
    header: Header,
    /// Where the pixels start.
    offset: usize,
    layout: Layout,
}

/// How pixels are stored.
enum Layout {
    /// Indices of 1, 2, 4 or 8 bits, from the highest bits of each byte.
    Indexed(Box<Palette>),
    /// Runs of indices of 8 bits.
    Runs8(Box<Palette>),
    /// Runs of indices of 4 bits.
    Runs4(Box<Palette>),
    /// Blue, green, red, and perhaps a fourth byte.
    Bgr,
    /// Red, green and blue in a little-endian number.
    Masks([Channel; 3]),
}

impl<'a> BmpDecoder<'a> {
    /// # Errors
    /// [`ImageError`] if the header is truncated, or of an unsupported kind.
    pub(super) fn try_new(file: &'a [u8]) -> Result<Self, ImageError> {
        let header = Header::read(file)?;
        let mut end = header.end();
        let layout = match (header.compression, header.bits) {
            (RAW, 1 | 2 | 4 | 8) | (RLE8 | RLE4, 1 | 4 | 8) => {
                let colors = if header.colors == 0 { 1 << header.bits } else { header.colors as usize };
                if colors > 256 {
                    return Err(corrupt(format!("a palette of {colors} colours is not supported")));
                }
                let palette = read_palette(file.get(end..).unwrap_or_default(), colors, header.bytes_per_color);
                end += colors * header.bytes_per_color;
                match header.compression {
                    RLE8 => Layout::Runs8(palette),
                    RLE4 => Layout::Runs4(palette),
                    _ => Layout::Indexed(palette),
                }
            }
            (RAW, 16) => Layout::Masks(channels([0x7c00, 0x03e0, 0x001f], 16)?),
            (RAW, 24 | 32) => Layout::Bgr,
            (MASKS, 16 | 24 | 32) => {
                let (masks, masks_end) = read_masks(file)?;
                end = end.max(masks_end);
                if masks == [0; 3] && header.bits == 32 {
                    Layout::Bgr
                } else {
                    Layout::Masks(channels(masks, header.bits)?)
                }
            }
            (compression, bits) => {
                return Err(corrupt(format!("{bits} bits per pixel with compression {compression} are not supported")));
            }
        };
        // Some programs store 0, or do not count the palette.
        let offset = match pixels_start(file)? {
            0 => end,
            offset if offset == header.end() && header.bits <= 8 => end,
            offset => offset,
        };
        Ok(Self { file, header, offset, layout })
    }

    fn bits_per_row(&self) -> u64 {
        u64::from(self.header.width) * u64::from(self.header.bits)
    }

    /// The bytes of a row in the file, which are a multiple of 4.
    fn stride(&self) -> u64 {
        self.bits_per_row().div_ceil(32) * 4
    }

    /// The pixels, and what follows them.
    fn stored(&self) -> &'a [u8] {
        self.file.get(self.offset..).unwrap_or_default()
    }

    /// # Errors
    /// The file is truncated. The length of run-length encoded pixels is not known before they are read.
    fn check_length(&self) -> ImageResult<()> {
        if matches!(self.layout, Layout::Runs8(_) | Layout::Runs4(_)) {
            return Ok(());
        }
        // The padding of the last row may be absent.
        let rows_before = u64::from(self.header.height).saturating_sub(1);
        let length = self.stride().saturating_mul(rows_before).saturating_add(self.bits_per_row().div_ceil(8));
        if self.stored().len() as u64 >= length { Ok(()) } else { Err(truncated()) }
    }

    fn read_rows(&self, pixels: &mut [u8], mut read_row: impl FnMut(&[u8], &mut [u8])) {
        let rows = self.stored().chunks(self.stride() as usize);
        let target = pixels.chunks_exact_mut(self.header.width as usize * 3);
        if self.header.is_top_down {
            rows.zip(target).for_each(|(row, target)| read_row(row, target));
        } else {
            rows.zip(target.rev()).for_each(|(row, target)| read_row(row, target));
        }
    }

    fn read_runs(&self, pixels: &mut [u8], palette: &Palette, has_4_bits: bool) -> ImageResult<()> {
        let width = self.header.width as usize;
        if !read_runs(self.file, self.offset, has_4_bits, palette, width, pixels) {
            return Err(truncated());
        }
        if !self.header.is_top_down {
            let mut rows = pixels.chunks_exact_mut(width * 3);
            while let (Some(first), Some(last)) = (rows.next(), rows.next_back()) {
                first.swap_with_slice(last);
            }
        }
        Ok(())
    }
}

impl ImageDecoder for BmpDecoder<'_> {
    fn dimensions(&self) -> (u32, u32) {
        (self.header.width, self.header.height)
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    /// Fails before a buffer for the pixels is allocated, if the file is truncated.
    fn set_limits(&mut self, limits: Limits) -> ImageResult<()> {
        limits.check_dimensions(self.header.width, self.header.height)?;
        self.check_length()
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        self.check_length()?;
        let bits = usize::from(self.header.bits);
        match &self.layout {
            Layout::Indexed(palette) => self.read_rows(pixels, |row, target| {
                for (byte, target) in row.iter().zip(target.chunks_mut(8 / bits * 3)) {
                    for (k, target) in target.chunks_exact_mut(3).enumerate() {
                        let index = (byte << (k * bits)) >> (8 - bits);
                        target.copy_from_slice(&palette[usize::from(index)]);
                    }
                }
            }),
            Layout::Runs8(palette) => self.read_runs(pixels, palette, false)?,
            Layout::Runs4(palette) => self.read_runs(pixels, palette, true)?,
            Layout::Bgr => self.read_rows(pixels, |row, target| {
                for (pixel, target) in row.chunks_exact(bits / 8).zip(target.chunks_exact_mut(3)) {
                    target.copy_from_slice(&[pixel[2], pixel[1], pixel[0]]);
                }
            }),
            Layout::Masks(channels) => self.read_rows(pixels, |row, target| {
                for (pixel, target) in row.chunks_exact(bits / 8).zip(target.chunks_exact_mut(3)) {
                    let pixel = pixel.iter().rev().fold(0, |value, &byte| (value << 8) | u32::from(byte));
                    target.copy_from_slice(&channels.map(|channel| channel.read(pixel)));
                }
            }),
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

#[cfg(test)]
mod tests {
    use crate::image::{ImageError, RgbImage, decode, probe};

    /// A file whose pixels follow its header of Windows 3, and `palette`.
    fn bmp((width, height): (i32, i32), bits: u8, compression: u8, palette: &[u8], pixels: &[u8]) -> Vec<u8> {
        let mut file = b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0".to_vec();
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
        file.extend([1, 0, bits, 0, compression, 0, 0, 0]);
        file.resize(46, 0);
        file.extend([palette.len() as u8 / 4, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(palette);
        file.extend(pixels);
        file
    }

    fn rgb(file: &[u8]) -> Result<Vec<u8>, ImageError> {
        decode(file, 1000).map(|image| image.data)
    }

    const TRUNCATED: ImageError = ImageError::Truncated { format: "BMP" };

    #[test]
    fn rows_are_padded_and_start_at_the_bottom() {
        let pixels = [1, 2, 3, 99, 4, 5, 6];
        let bottom_up = bmp((1, 2), 24, 0, &[], &pixels);
        assert_eq!(decode(&bottom_up, 2), Ok(RgbImage { width: 1, height: 2, data: vec![6, 5, 4, 3, 2, 1] }));
        assert_eq!(rgb(&bmp((1, -2), 24, 0, &[], &pixels)), Ok(vec![3, 2, 1, 6, 5, 4]));
        assert_eq!(rgb(&bottom_up[..bottom_up.len() - 1]), Err(TRUNCATED));
    }

    #[test]
    fn indices_have_1_to_8_bits() {
        let palette = [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 10, 11, 12, 0];
        let expected = vec![6, 5, 4, 3, 2, 1, 6, 5, 4];
        let stored: [(u8, &[u8]); 4] = [(1, &[0b1010_0000]), (2, &[0b0100_0100]), (4, &[0x10, 0x10]), (8, &[1, 0, 1])];
        for (bits, pixels) in stored {
            assert_eq!(rgb(&bmp((3, 1), bits, 0, &palette, pixels)).as_ref(), Ok(&expected), "{bits} bits");
        }
        assert_eq!(rgb(&bmp((3, 1), 8, 1, &palette, &[1, 1, 1, 0, 1, 1])), Ok(expected));
    }

    #[test]
    fn the_start_of_the_pixels_may_leave_out_the_palette() {
        let mut file = bmp((1, 1), 8, 0, &[1, 2, 3, 0, 4, 5, 6, 0], &[1]);
        file[10] = 54;
        assert_eq!(rgb(&file), Ok(vec![6, 5, 4]));
        file.extend([9, 0]);
        file[10] = 64;
        assert_eq!(rgb(&file), Ok(vec![3, 2, 1]), "a gap before the pixels");
        file[10] = 200;
        assert_eq!(rgb(&file), Err(TRUNCATED));
    }

    #[test]
    fn other_kinds_are_named() {
        let reason = |file: &[u8]| rgb(file).unwrap_err().to_string();
        assert_eq!(
            reason(&bmp((1, 1), 24, 4, &[], &[])),
            "the BMP file cannot be decoded: 24 bits per pixel with compression 4 are not supported"
        );
        let mut file = bmp((1, 1), 8, 0, &[], &[0; 2000]);
        file[46..48].copy_from_slice(&300_u16.to_le_bytes());
        assert_eq!(reason(&file), "the BMP file cannot be decoded: a palette of 300 colours is not supported");
        assert_eq!(rgb(&bmp((2, 2), 8, 1, &[0; 8], &[2, 1, 0, 1])), Err(TRUNCATED), "missing runs");
    }

    #[test]
    fn a_size_is_compared_with_the_limit_before_memory_is_allocated() {
        let file = bmp((1 << 30, -4), 24, 0, &[], &[0; 60]);
        let header = probe(&file).unwrap();
        assert_eq!((header.width, header.height), (1 << 30, 4));
        assert_eq!(decode(&file, 1000), Err(ImageError::TooLarge { width: 1 << 30, height: 4, max_pixels: 1000 }));
        assert_eq!(decode(&file, u64::MAX), Err(TRUNCATED));
    }
}
