//! [`shrunk_jpeg`] decodes a large JPEG at a part of its size.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};

/// Smaller pictures are decoded in full: their pixels are Pillow's.
const LARGE: u64 = 4_000_000;
/// Pixels that must be left for each one that is wanted, in each direction.
const REDUCING_GAP: u32 = 3;

/// A JPEG of 4 megapixels and more, at a half, a quarter or an eighth of its size, when that leaves three times the pixels that
/// are wanted in each direction.
///
/// The inverse transform gives the mean of 2 x 2, 4 x 4 or 8 x 8 pixels for less than it gives them all. Scaled down from
/// there, the result differs from the full road's by 0.2 levels of 255 in the mean on a photograph, 0.5 on a mosaic of many, and
/// single values at hard edges by some 10; Pillow's `thumbnail` takes the same way (`draft`, `reducing_gap`).
///
/// `None` when the picture is too small for that, in other colours than RGB and gray, or damaged: the full road has words for it.
pub(super) fn shrunk_jpeg(bytes: &[u8], from: (u32, u32), wanted: (u32, u32)) -> Option<DynamicImage> {
    let needed = (wanted.0.checked_mul(REDUCING_GAP)?, wanted.1.checked_mul(REDUCING_GAP)?);
    let is_large = u64::from(from.0) * u64::from(from.1) >= LARGE;
    let leaves_enough = |part: &u32| from.0 / part >= needed.0 && from.1 / part >= needed.1;
    let part = [8, 4, 2].into_iter().find(leaves_enough).filter(|_| is_large)?;
    let mut decoder = Decoder::new(Cursor::new(bytes));
    let (width, height) = (u16::try_from(from.0.div_ceil(part)).ok()?, u16::try_from(from.1.div_ceil(part)).ok()?);
    let (width, height) = decoder.scale(width, height).ok()?;
    // The header that was read here may be another than that which was judged before.
    decoder.set_max_decoding_buffer_size(usize::from(width) * usize::from(height) * 4);
    let pixels = decoder.decode().ok()?;
    let (width, height) = (u32::from(width), u32::from(height));
    match decoder.info()?.pixel_format {
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
        PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        PixelFormat::L16 | PixelFormat::CMYK32 => None,
    }
}
