//! [`probe`] reads format and size from the header of an encoded image, without decoding pixels.

use std::io::ErrorKind;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageError as DecoderError, ImageFormat};

use super::bmp::BmpDecoder;
use super::decoder_panic::catch_decoder_panic;
use super::gif::GifFirstFrame;
use super::jpeg::JpegFile;
use super::orientation::orientation;
use super::png::PngFile;
use super::tiff::TiffDecoder;
use super::unsupported::unsupported_format;
use super::{ImageError, one_line, webp};

/// The header of an encoded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// `"jpeg"`, `"png"`, `"webp"`, `"gif"`, `"bmp"` or `"tiff"`.
    pub format: &'static str,
    /// Width in pixels, after the orientation is applied.
    pub width: u32,
    /// Height in pixels, after the orientation is applied.
    pub height: u32,
}

/// A format with a decoder.
#[derive(Clone, Copy)]
struct FormatEntry {
    format: ImageFormat,
    /// Name in SQL.
    name: &'static str,
    /// Name in messages.
    display_name: &'static str,
}

const FORMATS: [FormatEntry; 6] = [
    FormatEntry { format: ImageFormat::Jpeg, name: "jpeg", display_name: "JPEG" },
    FormatEntry { format: ImageFormat::Png, name: "png", display_name: "PNG" },
    FormatEntry { format: ImageFormat::WebP, name: "webp", display_name: "WebP" },
    FormatEntry { format: ImageFormat::Gif, name: "gif", display_name: "GIF" },
    FormatEntry { format: ImageFormat::Bmp, name: "bmp", display_name: "BMP" },
    FormatEntry { format: ImageFormat::Tiff, name: "tiff", display_name: "TIFF" },
];

/// Reads the header of an encoded image.
///
/// # Errors
/// [`ImageError`] if the format is not supported or the header is corrupt.
pub fn probe(bytes: &[u8]) -> Result<ImageHeader, ImageError> {
    catch_decoder_panic(|| probe_uncaught(bytes))
}

fn probe_uncaught(bytes: &[u8]) -> Result<ImageHeader, ImageError> {
    let file = open(bytes)?;
    let (width, height) = file.decoder.dimensions();
    let (width, height) = if swaps_axes(file.orientation()) { (height, width) } else { (width, height) };
    Ok(ImageHeader { format: file.entry.name, width, height })
}

/// Whether applying an orientation swaps width and height.
pub(super) fn swaps_axes(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// An image file whose header has been read.
pub(super) struct ImageFile<'a> {
    bytes: &'a [u8],
    entry: FormatEntry,
    pub(super) decoder: Box<dyn ImageDecoder + 'a>,
    /// The memory in bytes that decoding needs besides the decoded pixels.
    pub(super) working_bytes: u64,
}

impl ImageFile<'_> {
    pub(super) fn format(&self) -> ImageFormat {
        self.entry.format
    }

    /// The orientation in the metadata of the file.
    pub(super) fn orientation(&self) -> Orientation {
        orientation(self.bytes, self.entry.format)
    }
}

/// Detects the format from the first bytes and reads the header.
pub(super) fn open(bytes: &[u8]) -> Result<ImageFile<'_>, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let guessed =
        if TiffDecoder::is_big_tiff(bytes) { Some(ImageFormat::Tiff) } else { image::guess_format(bytes).ok() };
    let entry =
        guessed.and_then(|format| FORMATS.into_iter().find(|entry| entry.format == format)).ok_or_else(|| {
            unsupported_format(bytes).unwrap_or_else(|| ImageError::UnknownFormat { start: display_start(bytes) })
        })?;
    let format = entry.format;
    let (decoder, working_bytes): (Box<dyn ImageDecoder + '_>, u64) = match format {
        ImageFormat::Bmp => (Box::new(BmpDecoder::try_new(bytes)?), 0),
        _ => open_decoder(format, bytes).map_err(|error| from_decoder_error(format, error))?,
    };
    if decoder.dimensions().0 == 0 || decoder.dimensions().1 == 0 {
        return Err(ImageError::Corrupt { format: entry.display_name, reason: "it has no pixels".to_owned() });
    }
    Ok(ImageFile { bytes, entry, decoder, working_bytes })
}

/// Our own decoder of the format, or that of the `image` crate; and the memory in bytes that it needs besides the decoded pixels.
fn open_decoder(format: ImageFormat, bytes: &[u8]) -> Result<(Box<dyn ImageDecoder + '_>, u64), DecoderError> {
    match format {
        ImageFormat::Jpeg => {
            let decoder = JpegFile::try_new(bytes)?;
            let working_bytes = decoder.working_bytes();
            Ok((Box::new(decoder), working_bytes))
        }
        ImageFormat::Gif => {
            let decoder = GifFirstFrame::try_new(bytes)?;
            let (width, height) = decoder.dimensions();
            // The indices of the frame.
            Ok((Box::new(decoder), u64::from(width) * u64::from(height)))
        }
        ImageFormat::WebP => webp::open(bytes),
        ImageFormat::Tiff => {
            let decoder = TiffDecoder::try_new(bytes)?;
            let working_bytes = decoder.working_bytes();
            Ok((Box::new(decoder), working_bytes))
        }
        _ => Ok((Box::new(PngFile::try_new(bytes)?), 0)),
    }
}

/// Converts the error of a decoder.
pub(super) fn from_decoder_error(format: ImageFormat, error: DecoderError) -> ImageError {
    let format = display_name(format);
    match error {
        DecoderError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ImageError::Truncated { format },
        DecoderError::Decoding(error) => {
            // The outer message only repeats the format; its source is the reason.
            let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            ImageError::Corrupt { format, reason: one_line(&reason) }
        }
        other => ImageError::Corrupt { format, reason: one_line(&other.to_string()) },
    }
}

/// The name of a format in messages.
pub(super) fn display_name(format: ImageFormat) -> &'static str {
    FORMATS.iter().find(|entry| entry.format == format).map_or("image", |entry| entry.display_name)
}

/// The first bytes, quoted if they are printable text and in hexadecimal otherwise.
fn display_start(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(12)];
    if head.iter().all(|byte| (b' '..=b'~').contains(byte) || byte.is_ascii_whitespace()) {
        format!("{:?}", String::from_utf8_lossy(head))
    } else {
        head.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_start_is_quoted() {
        assert_eq!(
            probe(b"Notes about the trip").unwrap_err().to_string(),
            "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with \"Notes about \")"
        );
    }

    #[test]
    fn binary_start_is_hexadecimal() {
        assert_eq!(
            probe(&[0, 1, 2, 0xff]).unwrap_err().to_string(),
            "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with 00 01 02 ff)"
        );
    }

    #[test]
    fn empty_value_is_rejected() {
        assert_eq!(probe(b"").unwrap_err(), ImageError::Empty);
    }

    #[test]
    fn signature_without_header_is_truncated() {
        assert_eq!(probe(b"\x89PNG\r\n\x1a\n").unwrap_err(), ImageError::Truncated { format: "PNG" });
    }

    #[test]
    fn formats_without_decoder_are_named() {
        assert_eq!(probe(b"qoif\0\0\0\0").unwrap_err(), ImageError::UnsupportedFormat { format: "a QOI image" });
    }
}
