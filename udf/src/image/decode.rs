//! [`decode`] turns an encoded image into [`Rgb`] pixels.

use std::panic::AssertUnwindSafe;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, Limits};

use super::header::{self, refused, sentence_name, turns_sideways};
use super::jpeg_scaled::shrunk_jpeg;
use super::{ImageError, Rgb, guarded};

/// Decodes an encoded image as Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` does.
///
/// ```text
/// gray          repeated in the three channels     gray, 16 bits   clipped at 255
/// alpha         dropped, colours below it stay     16 bits         the high byte
/// CMYK, YCCK    (255 - ink) * (255 - black) / 255  orientation     applied
/// palette       its colours                        several frames  the first
/// ```
///
/// Of TIFF, files with a palette, with gray and alpha, in YCbCr or LAB, and of 32 bits are refused.
///
/// The pixels are Pillow's exactly, but for JPEG, where they differ by 3 levels at most: the standard leaves the rounding of
/// the inverse transform and the smoothing of chroma open. Inks of a TIFF differ by 1.
///
/// # Errors
/// [`ImageError`] when the bytes are no image, are damaged or truncated, or hold more than `max_pixels` pixels, which is
/// checked before memory for them is asked for.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    guarded(|| decode_unguarded(bytes, max_pixels, &mut |_, _| None))
}

/// [`decode`] for a picture that is then scaled: the same, or, of a JPEG of 4 megapixels and more, a smaller picture with three
/// times as many pixels in each direction at least, for half the time. Scaled, it differs from what [`decode`] gives by less
/// than 0.6 levels of 255 in the mean.
///
/// `fit` is told the picture's width and height, and says what it will be scaled to; `None` when that needs all pixels.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_to_fit(
    bytes: &[u8],
    max_pixels: u64,
    fit: &mut dyn FnMut(u32, u32) -> Option<(u32, u32)>,
) -> Result<Rgb, ImageError> {
    guarded(AssertUnwindSafe(|| decode_unguarded(bytes, max_pixels, fit)))
}

fn decode_unguarded(
    bytes: &[u8],
    max_pixels: u64,
    fit: &mut dyn FnMut(u32, u32) -> Option<(u32, u32)>,
) -> Result<Rgb, ImageError> {
    let mut file = header::open(bytes)?;
    let (width, height) = file.decoder.dimensions();
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(ImageError::TooLarge { width, height, max_pixels });
    }
    let is_complete = match file.format() {
        // The decoder fills the missing part with gray and reports nothing.
        ImageFormat::Jpeg => jpeg_is_complete(bytes),
        // The decoder takes the end of the file for damage.
        ImageFormat::WebP => webp_is_complete(bytes),
        _ => true,
    };
    if !is_complete {
        return Err(ImageError::Truncated { format: sentence_name(file.format()) });
    }
    let orientation = file.orientation();
    let format = file.format();
    let turn = |(width, height)| if turns_sideways(orientation) { (height, width) } else { (width, height) };
    let displayed = turn((width, height));
    let wanted = fit(displayed.0, displayed.1).map(turn);
    if let (ImageFormat::Jpeg, Some(wanted)) = (format, wanted)
        && let Some(mut pixels) = shrunk_jpeg(bytes, (width, height), wanted)
    {
        pixels.apply_orientation(orientation);
        return to_rgb(pixels, format);
    }
    // 8 bytes a pixel is the deepest format; as much again for the decoder's own tables.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(16));
    file.decoder.set_limits(limits).map_err(|cause| refused(format, cause))?;
    let mut pixels = DynamicImage::from_decoder(file.decoder).map_err(|cause| refused(format, cause))?;
    pixels.apply_orientation(orientation);
    to_rgb(pixels, format)
}

/// Bytes of memory that [`decode`] takes at its peak, the pixels that it returns among them, from the file's header alone.
///
/// # Errors
/// [`ImageError`] when the header cannot be read, or counts more than `max_pixels`.
pub fn decoded_bytes(bytes: &[u8], max_pixels: u64) -> Result<u64, ImageError> {
    guarded(|| {
        let mut file = header::open(bytes)?;
        let (width, height) = file.decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > max_pixels {
            return Err(ImageError::TooLarge { width, height, max_pixels });
        }
        let is_jpeg = file.format() == ImageFormat::Jpeg;
        let decoded = file.decoder.total_bytes();
        let rgb = pixels * 3;
        // The decoder's own pixels and the RGB ones are there together while one is made of the other, and so are a picture
        // and the same turned.
        let converted = if file.decoder.color_type() == ColorType::Rgb8 { decoded } else { decoded + rgb };
        let turned = if file.orientation() == Orientation::NoTransforms { 0 } else { decoded };
        let coefficients = if is_jpeg && jpeg_is_progressive(bytes) { rgb * 2 } else { 0 };
        Ok(converted.max(decoded + turned).max(decoded + coefficients))
    })
}

/// Whether all coefficients of a JPEG are kept until its last scan: two bytes each.
fn jpeg_is_progressive(bytes: &[u8]) -> bool {
    const PROGRESSIVE: u8 = 0xc2;
    Segments { bytes, at: 2 }.any(|(marker, _)| marker == PROGRESSIVE)
}

/// Whether the end-of-image marker follows the first scan.
///
/// Inside a scan the bytes `FF D9` can be nothing else; before it they may be part of an embedded thumbnail, so the
/// headers are stepped over by their lengths.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut segments = Segments { bytes, at: 2 };
    if let Some((_, scan)) = segments.find(|(marker, _)| *marker == START_OF_SCAN) {
        return bytes[scan..].windows(2).rev().any(|pair| pair == END_OF_IMAGE);
    }
    // Bytes between segments that are no marker: let the decoder judge.
    segments.at < bytes.len() && bytes.ends_with(&END_OF_IMAGE)
}

/// The marker segments of a JPEG file, with where they start.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Segments<'_> {
    type Item = (u8, usize);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&[0xff, marker]) = self.bytes.get(self.at..self.at + 2) {
            match marker {
                // A fill byte.
                0xff => self.at += 1,
                // Markers without a length.
                0x01 | 0xd0..=0xd8 => self.at += 2,
                _ => {
                    let start = self.at;
                    let length = self.bytes.get(start + 2..start + 4).and_then(|length| length.try_into().ok());
                    self.at = match length {
                        Some(length) => start + 2 + usize::from(u16::from_be_bytes(length)),
                        None => self.bytes.len(),
                    };
                    return Some((marker, start));
                }
            }
        }
        None
    }
}

/// Whether the file has the bytes that its first chunk counts.
fn webp_is_complete(bytes: &[u8]) -> bool {
    const SIGNATURE_AND_LENGTH: usize = 8;
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(u32::MAX, u32::from_le_bytes);
    bytes.len() >= SIGNATURE_AND_LENGTH.saturating_add(length as usize)
}

fn to_rgb(pixels: DynamicImage, format: ImageFormat) -> Result<Rgb, ImageError> {
    let (width, height) = (pixels.width(), pixels.height());
    let data = match pixels {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => image.iter().flat_map(|&v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect(),
        // Pillow's mode "I;16" has no white at 65535: its conversion keeps small values and clips the rest.
        DynamicImage::ImageLuma16(image) => image.iter().flat_map(|&v| [v.min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.pixels().flat_map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])]).collect()
        }
        other => {
            return Err(ImageError::Corrupt {
                format: sentence_name(format),
                reason: format!("pixels of type {:?} are not supported", other.color()),
            });
        }
    };
    Ok(Rgb { width, height, data })
}

fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The markers of a JPEG file without a picture: start, a segment that holds a thumbnail's end, scan, `tail`.
    fn jpeg(tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 0xff, 0xd9, 0xff, 0xda, 0, 3, 0];
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn a_jpeg_is_complete_when_its_scan_ends() {
        assert!(jpeg_is_complete(&jpeg(&[1, 2, 3, 0xff, 0xd9])));
        assert!(jpeg_is_complete(&jpeg(&[1, 0xff, 0xd9, b't', b'r', b'a', b'i', b'l'])), "bytes after the end");
        assert!(!jpeg_is_complete(&jpeg(&[1, 2, 3])), "the thumbnail's end does not count");
        assert!(!jpeg_is_complete(&jpeg(&[1, 2, 0xff])), "cut inside the end marker");
        assert!(!jpeg_is_complete(&[0xff, 0xd8, 0xff]));
        assert!(!jpeg_is_complete(&[0xff, 0xd8, 0xff, 0xe1, 0xff]));
    }

    #[test]
    fn a_webp_is_complete_when_its_length_is_there() {
        assert!(webp_is_complete(b"RIFF\x04\0\0\0WEBP"));
        assert!(!webp_is_complete(b"RIFF\x05\0\0\0WEBP"));
        assert!(!webp_is_complete(b"RIFF"));
    }

    #[test]
    fn the_limit_counts_pixels() {
        // A 1 x 1 BMP of 24 bits.
        let bmp = [
            0x42, 0x4d, 0x1e, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0, 0, 0, 0x0c, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0x18, 0, 3, 2, 1, 0,
        ];
        assert_eq!(decode(&bmp, 1).unwrap(), Rgb { width: 1, height: 1, data: vec![1, 2, 3] });
        assert_eq!(decode(&bmp, 0).unwrap_err().to_string(), "it has 1 x 1 pixels, more than the limit of 0");
    }
}
