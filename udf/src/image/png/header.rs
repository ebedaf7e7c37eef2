//! [`Header`]: the header of a PNG file.

use image::{ColorType, ImageFormat, ImageResult};

use crate::image::invalid::corrupt;

/// The chunk IHDR.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a sample.
    pub(super) depth: u8,
    color: u8,
    is_interlaced: bool,
    /// Of the decoded pixels: samples of less than 8 bits are expanded to 8, and indices to RGB.
    pub(super) color_type: ColorType,
}

/// A kind of pixels of PNG.
const PALETTE: u8 = 3;

impl Header {
    /// Bytes after the fields are ignored, as is the method of compression; any method of interlacing but 0 is Adam7, as for Pillow.
    pub(super) fn parse(content: &[u8]) -> ImageResult<Self> {
        let Some(&[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, _, filter, interlacing]) = content.first_chunk()
        else {
            return Err(corrupt(ImageFormat::Png, format!("its header has {} bytes, not 13", content.len())));
        };
        if filter != 0 {
            return Err(corrupt(ImageFormat::Png, format!("filter method {filter} is not supported")));
        }
        let Some(color_type) = color_type(depth, color) else {
            let reason = format!("pixels of color type {color} with {depth} bits are not supported");
            return Err(corrupt(ImageFormat::Png, reason));
        };
        let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        Ok(Self { width, height, depth, color, is_interlaced: interlacing != 0, color_type })
    }

    /// The content of the chunk.
    pub(super) fn to_bytes(self) -> [u8; 13] {
        let ([w0, w1, w2, w3], [h0, h1, h2, h3]) = (self.width.to_be_bytes(), self.height.to_be_bytes());
        [w0, w1, w2, w3, h0, h1, h2, h3, self.depth, self.color, 0, 0, self.is_interlaced.into()]
    }

    pub(super) fn has_palette(&self) -> bool {
        self.color == PALETTE
    }

    fn row_bytes(&self) -> u64 {
        let samples = if self.has_palette() { 1 } else { self.color_type.channel_count() };
        (u64::from(self.width) * u64::from(samples) * u64::from(self.depth)).div_ceil(8)
    }

    /// The bytes of the pixels, not compressed. Those of an interlaced image may be fewer by its height.
    pub(super) fn pixel_bytes(&self) -> u64 {
        let padding = u64::from(self.is_interlaced);
        (self.row_bytes().saturating_sub(padding)).saturating_mul(self.height.into())
    }

    /// A limit of the bytes of the pixels and the filters of all rows: an interlaced image has less than twice as many rows, and 7 more,
    /// of at most the same length.
    pub(super) fn max_stream_bytes(&self) -> u64 {
        (self.row_bytes() + 1).saturating_mul(u64::from(self.height) * 2 + 7)
    }
}

/// `None` if the standard does not have such pixels.
fn color_type(depth: u8, color: u8) -> Option<ColorType> {
    Some(match (color, depth) {
        (0, 1 | 2 | 4 | 8) => ColorType::L8,
        (0, 16) => ColorType::L16,
        (2, 8) | (PALETTE, 1 | 2 | 4 | 8) => ColorType::Rgb8,
        (2, 16) => ColorType::Rgb16,
        (4, 8) => ColorType::La8,
        (4, 16) => ColorType::La16,
        (6, 8) => ColorType::Rgba8,
        (6, 16) => ColorType::Rgba16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(depth: u8, color: u8, rest: [u8; 3]) -> ImageResult<Header> {
        Header::parse(&[&[0, 0, 1, 2, 0, 0, 0, 3, depth, color][..], &rest].concat())
    }

    #[test]
    fn fields_are_read_and_written() {
        let parsed = header(4, 3, [0, 0, 1]).unwrap();
        assert_eq!((parsed.width, parsed.height, parsed.depth), (258, 3, 4));
        assert_eq!(parsed.to_bytes(), [0, 0, 1, 2, 0, 0, 0, 3, 4, 3, 0, 0, 1]);
        assert_eq!(parsed.row_bytes(), 129);
        assert_eq!(header(16, 6, [0; 3]).unwrap().row_bytes(), 258 * 8);
        assert_eq!(header(8, 2, [9, 0, 7]).unwrap().to_bytes()[10..], [0, 0, 1], "as Pillow reads them");
    }

    #[test]
    fn other_pixels_are_rejected() {
        for (depth, color) in [(3, 0), (4, 2), (16, 3), (1, 4), (8, 5), (4, 6), (0, 0)] {
            assert!(header(depth, color, [0; 3]).is_err(), "{depth} bits of color type {color}");
        }
        assert!(header(8, 2, [0, 1, 0]).is_err(), "another filter method");
        assert!(Header::parse(&[0; 12]).is_err());
    }
}
