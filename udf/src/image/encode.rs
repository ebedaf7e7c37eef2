//! [`encode`] encodes an [`RgbImage`] in a file format.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use super::RgbImage;

/// The formats with an encoder, by name. WebP is lossless.
const ENCODERS: [(&str, ImageFormat); 6] = [
    ("jpeg", ImageFormat::Jpeg),
    ("png", ImageFormat::Png),
    ("webp", ImageFormat::WebP),
    ("gif", ImageFormat::Gif),
    ("bmp", ImageFormat::Bmp),
    ("tiff", ImageFormat::Tiff),
];

/// Encodes an image. `quality`, from 1 to 100, only applies to JPEG.
///
/// # Errors
/// The message, if the format is unsupported or its size fields cannot hold the width and height.
pub fn encode(image: &RgbImage, format: &str, quality: u8) -> Result<Vec<u8>, String> {
    let encoder = ENCODERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(format));
    let (_, format) = encoder.ok_or_else(|| format!("'{format}' is not a supported output format"))?;
    let mut bytes = Cursor::new(Vec::new());
    let result = match format {
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
    result.map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}
