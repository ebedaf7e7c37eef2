//! [`decode`] decodes a strip or tile of JPEG data.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::TiffError;

/// What the fields of the file say about a strip or tile.
pub(super) struct Expected {
    pub(super) width: usize,
    /// The height may be larger, up to `max_rows`.
    pub(super) min_rows: usize,
    pub(super) max_rows: usize,
    pub(super) samples: u8,
    /// Whether the samples are luma and chroma, which become RGB.
    pub(super) is_ycbcr: bool,
}

/// Decodes rows of interleaved samples, which are not converted unless they are YCbCr: TIFF says what they mean.
pub(super) fn decode(data: &[u8], tables: Option<&[u8]>, expected: &Expected) -> Result<Vec<u8>, TiffError> {
    let joined = tables.map(|tables| join(tables, data)).transpose()?;
    let data = joined.as_deref().unwrap_or(data);
    let options = DecoderOptions::default()
        .set_max_width(expected.width)
        .set_max_height(expected.max_rows.max(expected.min_rows));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(invalid)?;
    let (Some(info), Some(stored)) = (decoder.info(), decoder.input_colorspace()) else {
        return Err(TiffError::invalid("its JPEG data has no header"));
    };
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    if width != expected.width || height < expected.min_rows {
        return Err(TiffError::Invalid(format!(
            "its JPEG data has {width} x {height} pixels, not {} x {}",
            expected.width, expected.min_rows
        )));
    }
    let converted = if expected.is_ycbcr && stored == ColorSpace::YCbCr { ColorSpace::RGB } else { stored };
    if info.components != expected.samples || converted.num_components() != usize::from(expected.samples) {
        return Err(TiffError::Invalid(format!(
            "its JPEG data has {} samples per pixel, not {}",
            info.components, expected.samples
        )));
    }
    decoder.set_options(options.jpeg_set_out_colorspace(converted));
    decoder.decode().map_err(invalid)
}

/// Prepends the tables that all strips or tiles share: both are JPEG files, from a start marker to an end marker.
fn join(tables: &[u8], data: &[u8]) -> Result<Vec<u8>, TiffError> {
    const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let tables = tables.strip_suffix(&END_OF_IMAGE).unwrap_or(tables);
    let data =
        data.strip_prefix(&START_OF_IMAGE).ok_or_else(|| TiffError::invalid("its JPEG data has no start marker"))?;
    Ok([tables, data].concat())
}

fn invalid(error: impl std::fmt::Display) -> TiffError {
    TiffError::Invalid(error.to_string())
}
