//! [`probe`] tells format and size from the first bytes, without decoding pixels.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageError as Cause, ImageFormat, ImageReader};

use super::{ImageError, guarded};

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `"jpeg"`, `"png"`, `"webp"`, `"gif"`, `"bmp"` or `"tiff"`.
    pub format: &'static str,
    /// Pixels in a row, after the EXIF orientation has been applied.
    pub width: u32,
    /// Rows, after the EXIF orientation has been applied.
    pub height: u32,
}

/// A format that can be read: type, name in SQL, name in sentences.
type Known = (ImageFormat, &'static str, &'static str);

const FORMATS: [Known; 6] = [
    (ImageFormat::Jpeg, "jpeg", "JPEG"),
    (ImageFormat::Png, "png", "PNG"),
    (ImageFormat::WebP, "webp", "WebP"),
    (ImageFormat::Gif, "gif", "GIF"),
    (ImageFormat::Bmp, "bmp", "BMP"),
    (ImageFormat::Tiff, "tiff", "TIFF"),
];

/// Reads the header of an encoded image.
///
/// # Errors
/// [`ImageError`] when the bytes are no image, or their header is damaged.
pub fn probe(bytes: &[u8]) -> Result<Header, ImageError> {
    guarded(|| probe_unguarded(bytes))
}

fn probe_unguarded(bytes: &[u8]) -> Result<Header, ImageError> {
    let mut file = open(bytes)?;
    let (width, height) = file.decoder.dimensions();
    let (width, height) = if turns_sideways(file.orientation()) { (height, width) } else { (width, height) };
    Ok(Header { format: file.known.1, width, height })
}

/// Whether rows become columns.
pub(super) fn turns_sideways(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// An image file whose header has been read.
pub(super) struct File<'a> {
    known: Known,
    pub(super) decoder: Box<dyn ImageDecoder + 'a>,
}

impl File<'_> {
    pub(super) fn format(&self) -> ImageFormat {
        self.known.0
    }

    /// How the pixels must be turned to be seen as they were taken. Unreadable EXIF data turns nothing, as in Pillow.
    pub(super) fn orientation(&mut self) -> Orientation {
        self.decoder.orientation().unwrap_or(Orientation::NoTransforms)
    }
}

/// Recognises the format by its first bytes and reads the header.
pub(super) fn open(bytes: &[u8]) -> Result<File<'_>, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let known = image::guess_format(bytes)
        .ok()
        .and_then(|format| FORMATS.into_iter().find(|known| known.0 == format))
        .ok_or_else(|| ImageError::UnknownFormat { start: start_of(bytes) })?;
    let format = known.0;
    let decoder =
        ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(|cause| refused(format, cause))?;
    if decoder.dimensions().0 == 0 || decoder.dimensions().1 == 0 {
        return Err(ImageError::Corrupt { format: known.2, reason: "it has no pixels".to_owned() });
    }
    Ok(File { known, decoder: Box::new(decoder) })
}

/// The decoder's error as ours.
pub(super) fn refused(format: ImageFormat, cause: Cause) -> ImageError {
    let format = sentence_name(format);
    match cause {
        Cause::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ImageError::Truncated { format },
        Cause::Decoding(error) => {
            // The outer text only repeats the format; the reason is its source.
            let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            ImageError::Corrupt { format, reason: one_line(&reason) }
        }
        other => ImageError::Corrupt { format, reason: one_line(&other.to_string()) },
    }
}

/// The format's name in a sentence.
pub(super) fn sentence_name(format: ImageFormat) -> &'static str {
    FORMATS.iter().find(|(known, ..)| *known == format).map_or("image", |(_, _, name)| name)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first bytes, quoted when they are text and in hexadecimal otherwise.
fn start_of(bytes: &[u8]) -> String {
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
    fn text_is_shown_as_text() {
        assert_eq!(
            probe(b"Notes about the trip").unwrap_err().to_string(),
            "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with \"Notes about \")"
        );
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        assert_eq!(
            probe(&[0, 1, 2, 0xff]).unwrap_err().to_string(),
            "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with 00 01 02 ff)"
        );
    }

    #[test]
    fn nothing_is_no_image() {
        assert_eq!(probe(b"").unwrap_err(), ImageError::Empty);
    }

    #[test]
    fn a_lone_signature_is_truncated() {
        assert_eq!(probe(b"\x89PNG\r\n\x1a\n").unwrap_err(), ImageError::Truncated { format: "PNG" });
    }

    #[test]
    fn formats_that_cannot_be_decoded_are_unknown() {
        assert!(matches!(probe(b"qoif\0\0\0\0").unwrap_err(), ImageError::UnknownFormat { .. }));
    }
}
