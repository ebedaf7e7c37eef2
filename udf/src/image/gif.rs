//! [`GifFirstFrame`] decodes the first frame of a GIF onto its screen, as Pillow does.

use std::io::{Cursor, Read};

use gif::{DecodeOptions, DecodingError as GifError, MemoryLimit};
use image::error::DecodingError;
use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult};

use super::invalid::{self, truncated};

/// The first frame and its palette. The header is read as Pillow reads it; the crate `gif` only decompresses the indices.
///
/// ```text
/// screen       enlarged by a frame that exceeds it
/// palette      the frame's, else that of the file, else gray
/// outside      the transparent index, if the frame has one, else index 0
/// ```
pub(super) struct GifFirstFrame<'a> {
    /// Of the screen.
    size: (u32, u32),
    frame: Frame,
    /// The color of each index.
    colors: [[u8; 3]; 256],
    /// Outside of the frame.
    background: u8,
    /// The minimum code size and the blocks of compressed indices.
    compressed: &'a [u8],
}

#[derive(Clone, Copy)]
struct Frame {
    left: u16,
    top: u16,
    width: u16,
    height: u16,
    is_interlaced: bool,
}

const HAS_PALETTE: u8 = 0x80;
const IS_INTERLACED: u8 = 0x40;

impl<'a> GifFirstFrame<'a> {
    /// Reads everything but the pixels.
    pub(super) fn try_new(bytes: &'a [u8]) -> ImageResult<Self> {
        const SIGNATURE_BYTES: usize = 6;
        let mut reader = Reader { bytes, offset: SIGNATURE_BYTES };
        let [width, height] = [reader.number()?, reader.number()?];
        let [flags, _background, _aspect_ratio] = reader.array()?;
        let mut palette = reader.palette(flags)?;
        let mut transparent = None;
        loop {
            match reader.byte()? {
                b',' => break,
                b';' => return Err(corrupt("it has no frame")),
                b'!' => transparent = reader.extension()?.or(transparent),
                // Bytes between the blocks are skipped.
                _ => {}
            }
        }
        let [left, top, frame_width, frame_height] =
            [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
        let flags = reader.byte()?;
        if flags & HAS_PALETTE != 0 {
            palette = reader.palette(flags)?;
        }
        let size = (
            u32::from(width).max(u32::from(left) + u32::from(frame_width)),
            u32::from(height).max(u32::from(top) + u32::from(frame_height)),
        );
        let is_interlaced = flags & IS_INTERLACED != 0;
        Ok(Self {
            size,
            frame: Frame { left, top, width: frame_width, height: frame_height, is_interlaced },
            colors: colors(palette),
            background: transparent.unwrap_or(0),
            compressed: bytes.get(reader.offset..).unwrap_or_default(),
        })
    }

    /// The indices of the frame, row by row.
    fn indices(&self) -> ImageResult<Vec<u8>> {
        let Frame { width, height, is_interlaced, .. } = self.frame;
        if width == 0 || height == 0 {
            return Err(corrupt("its first frame has no pixels"));
        }
        // A file with this frame alone, on a screen of its size, with a palette of two entries.
        let mut file = b"GIF89a".to_vec();
        let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
        file.extend_from_slice(&size);
        file.extend_from_slice(&[HAS_PALETTE, 0, 0]);
        file.extend_from_slice(&[0; 6]);
        file.extend_from_slice(b",\0\0\0\0");
        file.extend_from_slice(&size);
        file.push(if is_interlaced { IS_INTERLACED } else { 0 });
        let mut options = DecodeOptions::new();
        // The caller has compared the size of the screen with its limit; the frame is not larger.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut decoder = options.read_info(Cursor::new(file).chain(self.compressed)).map_err(from_gif_error)?;
        if decoder.next_frame_info().map_err(from_gif_error)?.is_none() {
            return Err(corrupt("it has no frame"));
        }
        let mut indices = vec![0; usize::from(width) * usize::from(height)];
        decoder.read_into_buffer(&mut indices).map_err(from_gif_error)?;
        Ok(indices)
    }
}

impl ImageDecoder for GifFirstFrame<'_> {
    fn dimensions(&self) -> (u32, u32) {
        self.size
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        let indices = self.indices()?;
        let color = |index: u8| self.colors[usize::from(index)];
        let Frame { left, top, width, .. } = self.frame;
        for pixel in pixels.chunks_exact_mut(3) {
            pixel.copy_from_slice(&color(self.background));
        }
        let row_bytes = self.size.0 as usize * 3;
        let rows = pixels.chunks_exact_mut(row_bytes).skip(usize::from(top));
        for (row, indices) in rows.zip(indices.chunks_exact(usize::from(width))) {
            for (pixel, index) in row.chunks_exact_mut(3).skip(usize::from(left)).zip(indices) {
                pixel.copy_from_slice(&color(*index));
            }
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

/// The colors of all indices. Those that a palette does not have are black; a palette in which each entry is its index is a part of
/// the gray levels.
fn colors(palette: &[u8]) -> [[u8; 3]; 256] {
    let gray_level = |index: usize| [index as u8; 3];
    let is_gray = palette.chunks_exact(3).enumerate().all(|(index, color)| color == gray_level(index));
    let mut colors = [[0; 3]; 256];
    for (index, color) in colors.iter_mut().enumerate() {
        let start = index * 3;
        *color = match palette.get(start..start + 3) {
            _ if is_gray => gray_level(index),
            Some(&[red, green, blue]) => [red, green, blue],
            _ => [0; 3],
        };
    }
    colors
}

/// Reads the blocks before the first frame.
struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> ImageResult<&'a [u8]> {
        let slice = self.bytes.get(self.offset..).and_then(|rest| rest.get(..length)).ok_or_else(truncated)?;
        self.offset += length;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> ImageResult<[u8; N]> {
        self.slice(N)?.try_into().map_err(|_| truncated())
    }

    fn byte(&mut self) -> ImageResult<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> ImageResult<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The palette that the flags of the screen or of a frame announce.
    fn palette(&mut self, flags: u8) -> ImageResult<&'a [u8]> {
        if flags & HAS_PALETTE == 0 { Ok(&[]) } else { self.slice(3 << ((flags & 7) + 1)) }
    }

    /// Skips an extension; returns the transparent index of a graphic control extension.
    fn extension(&mut self) -> ImageResult<Option<u8>> {
        const GRAPHIC_CONTROL: u8 = 0xf9;
        const HAS_TRANSPARENT_INDEX: u8 = 1;
        let label = self.byte()?;
        let mut transparent = None;
        loop {
            let length = self.byte()?;
            match (label, self.slice(usize::from(length))?) {
                (_, []) => return Ok(transparent),
                (GRAPHIC_CONTROL, &[flags, _, _, index, ..]) if flags & HAS_TRANSPARENT_INDEX != 0 => {
                    transparent = Some(index);
                }
                _ => {}
            }
        }
    }
}

fn corrupt(reason: &'static str) -> DecoderError {
    invalid::corrupt(ImageFormat::Gif, reason)
}

fn from_gif_error(error: GifError) -> DecoderError {
    match error {
        GifError::UnexpectedEof => truncated(),
        GifError::Io(error) => DecoderError::IoError(error),
        other => DecoderError::Decoding(DecodingError::new(ImageFormat::Gif.into(), other)),
    }
}

#[cfg(test)]
mod tests {
    use crate::image::{ImageError, RgbImage, decode, probe};

    /// A screen of 3 x 2 pixels with two colors, red and green; `blocks` follow.
    fn gif(blocks: &[u8]) -> Vec<u8> {
        [b"GIF89a\x03\0\x02\0\x80\x01\0\xff\0\0\0\xff\0".as_slice(), blocks].concat()
    }

    /// The second pixel of a row of two, compressed: a clear code, the indices 0 and 1, and the end code.
    const COMPRESSED: &[u8] = b"\x02\x02\x44\x0a\0;";

    fn frame(left: u8, width: u8) -> Vec<u8> {
        [b",".as_slice(), &[left, 0, 0, 0, width, 0, 1, 0, 0], COMPRESSED].concat()
    }

    #[test]
    fn outside_of_the_frame_is_the_first_color() {
        let image = decode(&gif(&frame(1, 2)), 6).unwrap();
        let (red, green) = ([255_u8, 0, 0], [0, 255, 0]);
        assert_eq!(image.data, [red, red, green, red, red, red].concat());
    }

    #[test]
    fn a_frame_that_exceeds_the_screen_enlarges_it() {
        let file = gif(&frame(4, 2));
        let header = probe(&file).unwrap();
        assert_eq!((header.width, header.height), (6, 2));
        assert!(matches!(decode(&file, 11), Err(ImageError::TooLarge { width: 6, height: 2, .. })));
        assert!(matches!(decode(&file, 12), Ok(RgbImage { width: 6, height: 2, .. })));
    }

    #[test]
    fn invalid_files_are_errors() {
        let message = |blocks: &[u8]| decode(&gif(blocks), 100).unwrap_err().to_string();
        assert_eq!(message(&frame(0, 0)), "the GIF file cannot be decoded: its first frame has no pixels");
        assert_eq!(message(b"!\xfe\x01a\0;"), "the GIF file cannot be decoded: it has no frame");
        for cut in [&frame(0, 2)[..5], b"!\xf9\x04\x01", b"", &frame(0, 2)[..12]] {
            assert_eq!(message(cut), "the GIF file is truncated");
        }
        assert!(message(&frame(0, 3)).starts_with("the GIF file cannot be decoded: "), "an index is missing");
        assert_eq!(probe(b"GIF89a\x01\0").unwrap_err(), ImageError::Truncated { format: "GIF" });
    }
}
