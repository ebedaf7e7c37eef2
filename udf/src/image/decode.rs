//! [`decode`] decodes an image to an [`RgbImage`].

use std::panic::AssertUnwindSafe;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, Limits};

use super::decoder_panic::catch_decoder_panic;
use super::header::{self, display_name, from_decoder_error, swaps_axes};
use super::jpeg::{self, JpegFile, Scale};
use super::{ImageError, RgbImage, webp};

/// Smaller JPEG files are decoded at full size, so that their pixels are those of Pillow after resizing, too.
const MIN_SCALED_PIXELS: u64 = 4_000_000;

/// Decodes an encoded image as Pillow's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` does.
///
/// ```text
/// gray                         repeated in the three channels     palette         replaced by its colours, black where it has none
/// gray, 16 and 32 bits         clipped at 0 and 255               CMYK, YCCK      (255 - ink) * (255 - black) / 255
/// gray, 16 bits, with alpha    the high byte                      orientation     applied (EXIF, XMP)
/// RGB, 16 bits                 the high byte                      several frames  the first
/// alpha, transparent colour    dropped without blending
/// ```
///
/// AVIF, HEIC and JPEG XL are not decoded; the error names them. AVIF and HEIC contain frames of video: their established decoders
/// (dav1d, libde265) are C libraries, which need a C compiler, an assembler and other build tools, and those in Rust are new. JPEG XL has
/// a decoder in Rust, jxl-oxide, but Pillow, whose pixels are the reference for all formats, reads neither JPEG XL nor HEIC.
///
/// Premultiplied alpha of TIFF files is divided out, YCbCr and LAB are converted to sRGB. TIFF files that Pillow does not read are
/// rejected.
///
/// Differences to Pillow are by design:
///
/// ```text
/// JPEG, PNG  pixels that are damaged or missing are errors; Pillow fills them with gray or black
/// PNG        frames of an animation without an IDAT chunk, or smaller than the image, are rejected
/// BMP        4 and 8 bits with a palette of black and white, and 4 bits with the palette 0, 1, 2, …: the palette is used, which
///            Pillow ignores; all bit masks are read that do not overlap, Pillow has a list
/// TIFF       JPEG in its old form (compression 6), and tiles that decompress to far more bytes than the image, are rejected; planes
///            of 16 bits that are not compressed, planes of LAB, and big-endian numbers with sign or of 32 bits that are compressed
///            are decoded as the file says, which Pillow misreads
/// ```
///
/// The pixels equal Pillow's, also those of JPEG, of which the standard defines neither the rounding of the inverse DCT nor the
/// upsampling of chroma, and JPEG in TIFF. Of the colours of LAB, 8 in a million differ by 1 level.
///
/// # Errors
/// [`ImageError`] if the bytes are not a supported image, are corrupt or truncated, or the image has more than `max_pixels` pixels,
/// which is checked before memory is allocated for them.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, ImageError> {
    catch_decoder_panic(|| decode_uncaught(bytes, max_pixels, MIN_SCALED_PIXELS, &mut |_, _| None))
}

/// [`decode`] for an image that is resized afterwards: a JPEG of 4 megapixels or more is decoded at 1/8, 1/4 or 1/2 of its size, the
/// smallest at which it is at least three times the target size in each direction. The pixels are those of Pillow's `draft`.
///
/// The inverse DCT computes the mean of 8 x 8, 4 x 4 or 2 x 2 pixels in less time than the pixels themselves. After resizing to the
/// target, the difference to decoding at full size is 0.2 of 255 levels on average for a photograph, 0.5 for a mosaic of many, and about
/// 10 for single values at hard edges. Damage is found at every size.
///
/// `target_size` is called with the width and height of the image, and returns the size that it will be scaled to, or `None` if all
/// pixels are needed.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_scaled(
    bytes: &[u8],
    max_pixels: u64,
    target_size: &mut dyn FnMut(u32, u32) -> Option<(u32, u32)>,
) -> Result<RgbImage, ImageError> {
    catch_decoder_panic(AssertUnwindSafe(|| decode_uncaught(bytes, max_pixels, MIN_SCALED_PIXELS, target_size)))
}

fn decode_uncaught(
    bytes: &[u8],
    max_pixels: u64,
    min_scaled_pixels: u64,
    target_size: &mut dyn FnMut(u32, u32) -> Option<(u32, u32)>,
) -> Result<RgbImage, ImageError> {
    let file = header::open(bytes)?;
    let format = file.format();
    let (width, height) = file.decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Err(ImageError::TooLarge { width, height, max_pixels });
    }
    // Sequential JPEG is decoded up to its last block, and the decoder of WebP reports a truncated file as corrupt.
    let is_complete = match format {
        ImageFormat::Jpeg => jpeg::is_complete(bytes),
        ImageFormat::WebP => webp::is_complete(bytes),
        _ => true,
    };
    if !is_complete {
        return Err(ImageError::Truncated { format: display_name(format) });
    }
    let orientation = file.orientation();
    let orient = |(width, height)| if swaps_axes(orientation) { (height, width) } else { (width, height) };
    let oriented = orient((width, height));
    let target = target_size(oriented.0, oriented.1).map(orient);
    let mut decoder: Box<dyn ImageDecoder + '_> = match target {
        Some(target) if format == ImageFormat::Jpeg && pixels >= min_scaled_pixels => {
            let jpeg = JpegFile::try_new(bytes).map_err(|error| from_decoder_error(format, error))?;
            Box::new(jpeg.with_scale(Scale::for_target((width, height), target)))
        }
        _ => file.decoder,
    };
    // The deepest pixel format has 8 bytes per pixel; the same amount is allowed for the decoder's own buffers.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(16));
    decoder.set_limits(limits).map_err(|error| from_decoder_error(format, error))?;
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(|error| from_decoder_error(format, error))?;
    pixels.apply_orientation(orientation);
    to_rgb(pixels, format)
}

/// Computes the peak memory of [`decode`] in bytes, including the returned pixels, from the header alone.
///
/// # Errors
/// [`ImageError`] if the header is invalid, or declares more than `max_pixels` pixels.
pub fn peak_decode_bytes(bytes: &[u8], max_pixels: u64) -> Result<u64, ImageError> {
    catch_decoder_panic(|| {
        let file = header::open(bytes)?;
        let (width, height) = file.decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > max_pixels {
            return Err(ImageError::TooLarge { width, height, max_pixels });
        }
        let decoded = file.decoder.total_bytes();
        let rgb = pixels * 3;
        // A conversion to RGB needs its source and its result in memory at once; so does applying an orientation.
        let converted = if file.decoder.color_type() == ColorType::Rgb8 { decoded } else { decoded + rgb };
        let oriented = if file.orientation() == Orientation::NoTransforms { 0 } else { decoded };
        Ok(converted.max(decoded + oriented).max(decoded.saturating_add(file.working_bytes)))
    })
}

fn to_rgb(pixels: DynamicImage, format: ImageFormat) -> Result<RgbImage, ImageError> {
    let (width, height) = (pixels.width(), pixels.height());
    let data = match pixels {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => image.iter().flat_map(|&v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect(),
        // Pillow converts mode "I;16" to 8 bits by clipping at 255, not by scaling.
        DynamicImage::ImageLuma16(image) => image.iter().flat_map(|&v| [v.min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|p| [high_byte(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.iter().map(|&v| high_byte(v)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.pixels().flat_map(|p| [high_byte(p.0[0]), high_byte(p.0[1]), high_byte(p.0[2])]).collect()
        }
        other => {
            return Err(ImageError::Corrupt {
                format: display_name(format),
                reason: format!("pixels of type {:?} are not supported", other.color()),
            });
        }
    };
    Ok(RgbImage { width, height, data })
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_limit_is_enforced() {
        // A 1 x 1 BMP of 24 bits.
        let bmp = [
            0x42, 0x4d, 0x1e, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0, 0, 0, 0x0c, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0x18, 0, 3, 2, 1, 0,
        ];
        assert_eq!(decode(&bmp, 1).unwrap(), RgbImage { width: 1, height: 1, data: vec![1, 2, 3] });
        assert_eq!(
            decode(&bmp, 0).unwrap_err().to_string(),
            "it has 1 x 1 pixels, more than the limit of 0 (ocelli.max_image_pixels)"
        );
    }

    fn golden_file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/data/decode/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// Decodes a file for a target, like one of 4 megapixels.
    fn decode_large(bytes: &[u8], target: u32) -> Result<RgbImage, ImageError> {
        decode_uncaught(bytes, u64::MAX, 1, &mut |_, _| Some((target, target)))
    }

    #[test]
    fn scale_follows_from_the_target() {
        let jpeg = golden_file("jpeg-420.jpg");
        for (target, size) in [(1, (5, 4)), (2, (10, 8)), (4, (19, 15)), (9, (37, 29))] {
            let image = decode_large(&jpeg, target).unwrap();
            assert_eq!((image.width, image.height), size, "for {target}");
            assert_eq!(image.data.len() as u32, image.width * image.height * 3);
        }
        assert_eq!(decode_large(&jpeg, 9), decode(&jpeg, u64::MAX));
        assert_eq!(decode_scaled(&jpeg, u64::MAX, &mut |_, _| Some((1, 1))), decode(&jpeg, u64::MAX), "a small file");
        let png = golden_file("png-rgb.png");
        assert_eq!(decode_large(&png, 1), decode(&png, u64::MAX), "not a JPEG");
    }

    #[test]
    fn target_is_that_of_the_oriented_image() {
        // 24 x 17 pixels, to be rotated by 90 degrees.
        let jpeg = golden_file("jpeg-exif-6.jpg");
        let mut sizes = Vec::new();
        let mut target = |width: u32, height: u32| {
            sizes.push((width, height));
            Some((1, 4))
        };
        let image = decode_uncaught(&jpeg, u64::MAX, 1, &mut target).unwrap();
        assert_eq!((image.width, image.height), (9, 12));
        assert_eq!(sizes, [(17, 24)]);
    }

    #[test]
    fn damage_is_found_at_every_scale() {
        let mut errors = 0;
        for name in ["cut-scan.jpg", "cut-scan-progressive.jpg", "wrong-restart.jpg", "truncated.jpg", "large-unit.jpg"]
        {
            let jpeg = golden_file(&format!("bad/{name}"));
            let expected = decode(&jpeg, u64::MAX).unwrap_err();
            for target in [1, 2, 4, 9] {
                assert_eq!(decode_large(&jpeg, target), Err(expected.clone()), "{name} for {target}");
                errors += 1;
            }
        }
        assert_eq!(errors, 20);
    }
}
