//! [`OversizedPng`]: a PNG file with a valid header, whose size its decoder does not accept.

use image::error::{LimitError, LimitErrorKind};
use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageResult, Limits};

/// Knows the size only, so that the caller can compare it with the limit of pixels. Reading the pixels fails with the decoder's error.
pub(super) struct OversizedPng {
    size: (u32, u32),
    error: Option<DecoderError>,
}

impl OversizedPng {
    /// # Errors
    /// The decoder's own error, if it has another reason than the size.
    pub(super) fn try_new(bytes: &[u8], error: DecoderError) -> Result<Self, DecoderError> {
        match png_size(bytes).filter(|_| matches!(error, DecoderError::Limits(_))) {
            Some(size) => Ok(Self { size, error: Some(error) }),
            None => Err(error),
        }
    }

    fn fail(&mut self) -> ImageResult<()> {
        let size_error = || DecoderError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError));
        Err(self.error.take().unwrap_or_else(size_error))
    }
}

/// The size in the IHDR chunk, which is the first.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let size = |offset| Some(u32::from_be_bytes(four_bytes(bytes, offset)?));
    let is_header = four_bytes(bytes, 12)? == *b"IHDR";
    if is_header { Some((size(16)?, size(20)?)) } else { None }
}

fn four_bytes(bytes: &[u8], offset: usize) -> Option<[u8; 4]> {
    bytes.get(offset..offset + 4)?.try_into().ok()
}

impl ImageDecoder for OversizedPng {
    fn dimensions(&self) -> (u32, u32) {
        self.size
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    /// Fails before a buffer for the pixels is allocated.
    fn set_limits(&mut self, _: Limits) -> ImageResult<()> {
        self.fail()
    }

    fn read_image(mut self, _: &mut [u8]) -> ImageResult<()> {
        self.fail()
    }

    fn read_image_boxed(mut self: Box<Self>, _: &mut [u8]) -> ImageResult<()> {
        self.fail()
    }
}

#[cfg(test)]
mod tests {
    use crate::image::{ImageError, decode, probe};

    /// Rows of 2^31 - 1 RGB pixels.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\0\0\0\x01\x08\x02\0\0\0/T\xa4\x8a\
        \0\0\0\x0cIDATx\x9cc`\xa0=\0\0\0d\0\x01\x86d<5\0\0\0\0IEND\xaeB`\x82";

    #[test]
    fn a_size_beyond_that_of_the_decoder_is_compared_with_the_limit() {
        let (width, height, max_pixels) = ((1 << 31) - 1, 1, 64_000_000);
        let header = probe(PNG).unwrap();
        assert_eq!((header.width, header.height), (width, height));
        assert_eq!(decode(PNG, max_pixels), Err(ImageError::TooLarge { width, height, max_pixels }));
        assert!(matches!(decode(PNG, u64::MAX), Err(ImageError::Corrupt { .. })));
    }

    #[test]
    fn other_errors_are_those_of_the_decoder() {
        assert!(probe(&PNG[..20]).is_err());
    }
}
