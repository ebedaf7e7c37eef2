//! [`corrupt`] and [`truncated`]: the errors of our own decoders, in the type of the `image` crate.

use std::error::Error;
use std::io::{Error as IoError, ErrorKind};

use image::error::DecodingError;
use image::{ImageError as DecoderError, ImageFormat};

/// The file is invalid. `reason` completes the message "the GIF file cannot be decoded: ".
pub(super) fn corrupt(format: ImageFormat, reason: impl Into<Box<dyn Error + Send + Sync>>) -> DecoderError {
    DecoderError::Decoding(DecodingError::new(format.into(), reason))
}

/// The file ends too early.
pub(super) fn truncated() -> DecoderError {
    DecoderError::IoError(IoError::from(ErrorKind::UnexpectedEof))
}
