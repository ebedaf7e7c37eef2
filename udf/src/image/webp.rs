//! [`open`] opens a WebP file, of whose animation the first frame is decoded, as Pillow does.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult};

use super::invalid;

/// Reads the header. Also returns the memory in bytes that decoding needs besides the decoded pixels: the planes of a lossy image, and the
/// first frame of an animation, with alpha.
pub(super) fn open(bytes: &[u8]) -> ImageResult<(Box<dyn ImageDecoder + '_>, u64)> {
    const PLANES: u64 = 2;
    const FRAME: u64 = 4;
    let file = WebPDecoder::new(Cursor::new(bytes))?;
    let size = file.dimensions();
    let pixels = u64::from(size.0) * u64::from(size.1);
    Ok(match file.has_animation() {
        true => (Box::new(FirstFrame { size, bytes }), pixels * (PLANES + FRAME)),
        false => (Box::new(file), pixels * PLANES),
    })
}

/// Whether the file is at least as long as its RIFF header declares.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    const SIGNATURE_AND_LENGTH: usize = 8;
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(u32::MAX, u32::from_le_bytes);
    bytes.len() >= SIGNATURE_AND_LENGTH.saturating_add(length as usize)
}

/// An animated file. The decoder of the `image` crate blends the first frame with the empty canvas, which changes its values; Pillow
/// (libwebp's `WebPAnimDecoder`) copies it to a black, transparent canvas. The background color of the file is not used.
struct FirstFrame<'a> {
    /// Of the canvas.
    size: (u32, u32),
    bytes: &'a [u8],
}

impl ImageDecoder for FirstFrame<'_> {
    fn dimensions(&self) -> (u32, u32) {
        self.size
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        let (canvas_width, canvas_height) = self.dimensions();
        let frame = Frame::find(self.bytes).ok_or_else(|| corrupt("it has no frame"))?;
        if frame.x + frame.width > canvas_width || frame.y + frame.height > canvas_height {
            return Err(corrupt("its first frame exceeds the canvas"));
        }
        let decoder = WebPDecoder::new(Cursor::new(frame.to_still_image()))?;
        if decoder.dimensions() != (frame.width, frame.height) {
            return Err(corrupt("its first frame has another size than declared"));
        }
        let (samples, channels) = match DynamicImage::from_decoder(decoder)? {
            DynamicImage::ImageRgb8(image) => (image.into_raw(), 3),
            DynamicImage::ImageRgba8(image) => (image.into_raw(), 4),
            _ => return Err(corrupt("its first frame is not RGB")),
        };
        pixels.fill(0);
        let rows = pixels.chunks_exact_mut(canvas_width as usize * 3).skip(frame.y as usize);
        for (row, samples) in rows.zip(samples.chunks_exact(frame.width as usize * channels)) {
            let row = row.chunks_exact_mut(3).skip(frame.x as usize);
            for (pixel, sample) in row.zip(samples.chunks_exact(channels)) {
                pixel.copy_from_slice(&sample[..3]);
            }
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

/// The first frame of an animation.
struct Frame<'a> {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    /// The chunk with the colors: `VP8 ` or `VP8L`. Alpha is dropped, so that the chunk `ALPH` is not read.
    chunk: Chunk<'a>,
}

impl<'a> Frame<'a> {
    /// `None` if the file has no frame, or a length exceeds the file.
    fn find(bytes: &'a [u8]) -> Option<Self> {
        const RIFF_HEADER: usize = 12;
        const FRAME_HEADER: usize = 16;
        let frame = Chunks(bytes.get(RIFF_HEADER..)?).find(|chunk| chunk.name == *b"ANMF")?.data;
        let number = |offset: usize| match frame.get(offset..offset + 3) {
            Some(&[low, middle, high]) => Some(u32::from_le_bytes([low, middle, high, 0])),
            _ => None,
        };
        let is_color = |chunk: &Chunk| chunk.name == *b"VP8 " || chunk.name == *b"VP8L";
        Some(Self {
            x: number(0)? * 2,
            y: number(3)? * 2,
            width: number(6)? + 1,
            height: number(9)? + 1,
            chunk: Chunks(frame.get(FRAME_HEADER..)?).find(is_color)?,
        })
    }

    /// A WebP file that contains this frame only.
    fn to_still_image(&self) -> Vec<u8> {
        let Chunk { name, data } = self.chunk;
        let padding = data.len() % 2;
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let mut file = Vec::with_capacity(data.len() + 21);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&length(12 + data.len() + padding));
        file.extend_from_slice(b"WEBP");
        file.extend_from_slice(&name);
        file.extend_from_slice(&length(data.len()));
        file.extend_from_slice(data);
        file.resize(file.len() + padding, 0);
        file
    }
}

#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) data: &'a [u8],
}

/// Iterates over the chunks of a RIFF file after its header, up to the first that is not complete.
pub(super) struct Chunks<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        // Each chunk is padded to an even length.
        self.0 = rest.get(data.len() % 2..).unwrap_or_default();
        Some(Chunk { name: *name, data })
    }
}

fn corrupt(reason: &'static str) -> DecoderError {
    invalid::corrupt(ImageFormat::WebP, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageError, decode, probe};

    #[test]
    fn file_is_complete_if_it_has_the_declared_length() {
        assert!(is_complete(b"RIFF\x04\0\0\0WEBP"));
        assert!(!is_complete(b"RIFF\x05\0\0\0WEBP"));
        assert!(!is_complete(b"RIFF"));
    }

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        [name.as_slice(), &length, data, &[0][..data.len() % 2]].concat()
    }

    /// An animation on a canvas of 4 x 2 pixels, whose only frame is one pixel at `(x, 0)`, of `width` pixels as declared.
    fn animation(x: u8, width: u8) -> Vec<u8> {
        // One pixel of color (255, 128, 3) without loss, written by Pillow.
        const PIXEL: &[u8] = b"/\0\0\0\0\x07P\xc0\xfe+\x04\x10\0\x05M\xffcDD\xff\x03";
        let frame = [vec![x / 2, 0, 0, 0, 0, 0, width - 1, 0, 0, 0, 0, 0, 100, 0, 0, 0], chunk(b"VP8L", PIXEL)];
        let chunks = [
            chunk(b"VP8X", &[0x12, 0, 0, 0, 3, 0, 0, 1, 0, 0]),
            chunk(b"ANIM", &[10, 200, 30, 255, 0, 0]),
            chunk(b"ANMF", &frame.concat()),
        ];
        chunk(b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
    }

    #[test]
    fn first_frame_is_copied_to_a_black_canvas() {
        let mut expected = vec![0_u8; 4 * 2 * 3];
        expected[6..9].copy_from_slice(&[255, 128, 3]);
        assert_eq!(decode(&animation(2, 1), 8).unwrap().data, expected);
        let header = probe(&animation(2, 1)).unwrap();
        assert_eq!((header.width, header.height), (4, 2));
    }

    #[test]
    fn invalid_frames_are_errors() {
        let message = |file: &[u8]| decode(file, 8).unwrap_err().to_string();
        let start = "the WebP file cannot be decoded: its first frame";
        assert_eq!(message(&animation(4, 1)), format!("{start} exceeds the canvas"));
        assert_eq!(message(&animation(0, 2)), format!("{start} has another size than declared"));
        // The length of the chunk ANMF, which follows the header, VP8X and ANIM.
        let mut beyond = animation(0, 1);
        beyond[12 + 18 + 14 + 4] = 0xff;
        assert!(matches!(decode(&beyond, 8), Err(ImageError::Corrupt { .. } | ImageError::Truncated { .. })));
    }
}
