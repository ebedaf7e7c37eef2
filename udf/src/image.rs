//! Image processing without SQL: [`probe`] reads a header, [`decode`] returns an [`RgbImage`], [`resize`] scales it.
//!
//! Encoded bytes are untrusted: functions that read them return an [`ImageError`] if they are invalid, and allocate no more memory
//! than the caller's pixel limit allows.

mod bmp;
mod cmyk;
mod decode;
mod decoder_panic;
mod encode;
mod gif;
mod hash;
mod header;
mod invalid;
mod jpeg;
mod metadata;
mod orientation;
mod png;
mod png_text;
mod resampling;
mod resize;
mod tiff;
mod unsupported;
mod webp;

pub use decode::{decode, decode_scaled, peak_decode_bytes};
pub use encode::encode;
pub use hash::{dhash, phash};
pub use header::{ImageHeader, probe};
pub use resampling::Resampling;
pub use resize::{Region, resize, resize_region};

/// An 8-bit RGB image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` bytes of shape `[height, width, 3]`, with the top row first.
    pub data: Vec<u8>,
}

/// Why an image cannot be decoded. The messages are predicates, to be appended to the name of the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The value is empty.
    #[error("it has 0 bytes")]
    Empty,

    /// The bytes could not be fetched from the object store.
    #[error("it cannot be read: {reason}")]
    FetchFailed {
        /// The message of the object store.
        reason: String,
    },

    /// The first bytes are not the signature of a supported format.
    #[error("it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with {start})")]
    UnknownFormat {
        /// The first bytes, quoted if they are text and in hexadecimal otherwise.
        start: String,
    },

    /// The file is an image of a known format without a decoder.
    #[error("it is {format}, which is not supported; convert it to JPEG, PNG or WebP")]
    UnsupportedFormat {
        /// The format, with its article: `"an AVIF image"`, …
        format: &'static str,
    },

    /// The file is of a known kind that is no image.
    #[error("it is not an image but {kind}")]
    NotAnImage {
        /// The kind, with its article: `"an HTML page"`, …
        kind: &'static str,
    },

    /// The aspect ratio is so extreme that preprocessing would scale one edge beyond its limit.
    #[error("its aspect ratio is too extreme: preprocessing would scale it to {width} x {height} pixels")]
    AspectRatio {
        /// Width in pixels after scaling.
        width: u32,
        /// Height in pixels after scaling.
        height: u32,
    },

    /// The file ends before the end of its pixel data.
    #[error("the {format} file is truncated")]
    Truncated {
        /// `"JPEG"`, `"PNG"`, …
        format: &'static str,
    },

    /// The image exceeds the pixel limit, which bounds the memory for decoding.
    #[error("it has {width} x {height} pixels, more than the limit of {max_pixels} (ocelli.max_image_pixels)")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },

    /// The decoder rejected the file.
    #[error("the {format} file cannot be decoded: {reason}")]
    Corrupt {
        /// `"JPEG"`, `"PNG"`, …
        format: &'static str,
        /// The message of the decoder.
        reason: String,
    },

    /// The decoder panicked, which is a bug of the decoder.
    #[error("its decoder panicked ({reason}); please report this with the image file")]
    DecoderPanicked {
        /// The message of the panic, and where it was raised.
        reason: String,
    },
}

/// Messages of decoders may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
