//! [`encode`] writes [`Rgb`] pixels to a file format.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use super::Rgb;

/// The formats that can be written, by their names; WebP without loss.
const ENCODED: [(&str, ImageFormat); 6] = [
    ("jpeg", ImageFormat::Jpeg),
    ("png", ImageFormat::Png),
    ("webp", ImageFormat::WebP),
    ("gif", ImageFormat::Gif),
    ("bmp", ImageFormat::Bmp),
    ("tiff", ImageFormat::Tiff),
];

/// Encodes a picture; `quality`, from 1 to 100, counts for JPEG.
///
/// # Errors
/// Half a sentence when there is no such format, or it has no room for so many pixels.
pub fn encode(image: &Rgb, format: &str, quality: u8) -> Result<Vec<u8>, String> {
    let known = ENCODED.iter().find(|(name, _)| name.eq_ignore_ascii_case(format));
    let (_, format) = known.ok_or_else(|| format!("'{format}' is no format that can be written"))?;
    let mut bytes = Cursor::new(Vec::new());
    let written = match format {
        ImageFormat::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100));
            encoder.write_image(&image.data, image.width, image.height, ExtendedColorType::Rgb8)
        }
        format => image::write_buffer_with_format(
            &mut bytes,
            &image.data,
            image.width,
            image.height,
            ExtendedColorType::Rgb8,
            *format,
        ),
    };
    written.map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}
