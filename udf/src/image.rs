//! Images without SQL: [`probe`] reads a header, [`decode`] gives [`Rgb`] pixels, [`resize`] scales them.
//!
//! Encoded bytes come from anywhere and are trusted in nothing: each function here returns an [`ImageError`] for bytes
//! that it cannot read, and asks for no more memory than the caller's pixel limit allows.

use std::panic::{UnwindSafe, catch_unwind};

mod decode;
mod encode;
mod hash;
mod header;
mod jpeg_scaled;
mod resize;

pub use decode::{decode, decode_to_fit, decoded_bytes};
pub use encode::encode;
pub use hash::{dhash, phash};
pub use header::{Header, probe};
pub use resize::{Filter, Region, resize, resize_region};

/// The decoders are other people's code and the bytes are anybody's: a panic is one bad image, not the end.
fn guarded<T>(read: impl FnOnce() -> Result<T, ImageError> + UnwindSafe) -> Result<T, ImageError> {
    catch_unwind(read).unwrap_or(Err(ImageError::Panicked))
}

/// Eight-bit RGB pixels: `data` is `[height, width, 3]`, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub data: Vec<u8>,
}

/// Why bytes are not a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is nothing to decode.
    #[error("it has 0 bytes")]
    Empty,

    /// Its bytes could not be had.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },

    /// The first bytes belong to no format that can be read.
    #[error("it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with {start})")]
    UnknownFormat {
        /// The first bytes, as text where they are text.
        start: String,
    },

    /// Scaled for a model, it would have an endless edge.
    #[error("it is so long and narrow that it would have {width} x {height} pixels for the model")]
    Elongated {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },

    /// The file stops before its pixels do.
    #[error("the {format} file is truncated")]
    Truncated {
        /// `"JPEG"`, `"PNG"`, …
        format: &'static str,
    },

    /// Decoding would need more memory than allowed.
    #[error("it has {width} x {height} pixels, more than the limit of {max_pixels}")]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit it was decoded under.
        max_pixels: u64,
    },

    /// The decoder refused the file.
    #[error("the {format} file cannot be decoded: {reason}")]
    Corrupt {
        /// `"JPEG"`, `"PNG"`, …
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },

    /// The decoder met a case that its authors did not think of.
    #[error("its decoder failed on it, which is a defect of the decoder; please report it with the file")]
    Panicked,
}
