//! [`decode`] decodes a strip or tile of JPEG data.

use super::TiffError;
use crate::image::jpeg::{Invalid, JpegFile, Tables};

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

impl From<Invalid> for TiffError {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Truncated => Self::Truncated,
            Invalid::Corrupt(reason) => Self::Invalid(format!("its JPEG data is invalid: {reason}")),
        }
    }
}

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];

/// Reads the field JPEGTables: the tables that all strips or tiles share.
pub(super) fn tables(field: Option<&[u8]>) -> Result<Tables, TiffError> {
    match field {
        Some(tables) if tables.starts_with(&START_OF_IMAGE) => Ok(Tables::try_new(tables)?),
        Some(_) => Err(TiffError::invalid("its JPEG tables have no start marker")),
        None => Ok(Tables::default()),
    }
}

/// Decodes rows of interleaved samples, which are not converted unless they are YCbCr: TIFF says what they mean.
pub(super) fn decode(data: &[u8], tables: &Tables, expected: &Expected) -> Result<Vec<u8>, TiffError> {
    if !data.starts_with(&START_OF_IMAGE) {
        return Err(TiffError::invalid("its JPEG data has no start marker"));
    }
    let file = JpegFile::with_tables(data, tables.clone())?;
    let (width, height) = file.size();
    let max_rows = expected.max_rows.max(expected.min_rows);
    if width != expected.width || !(expected.min_rows..=max_rows).contains(&height) {
        return Err(TiffError::Invalid(format!(
            "its JPEG data has {width} x {height} pixels, not {} x {}",
            expected.width, expected.min_rows
        )));
    }
    if file.components() != usize::from(expected.samples) {
        return Err(TiffError::Invalid(format!(
            "its JPEG data has {} samples per pixel, not {}",
            file.components(),
            expected.samples
        )));
    }
    let mut rows = vec![0; width * height * file.components()];
    match expected.is_ycbcr {
        true => file.read_ycbcr(&mut rows)?,
        false => file.read_samples(&mut rows)?,
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected { width: 8, min_rows: 8, max_rows: 16, samples: 1, is_ycbcr: false };

    /// The tables of a stream, and the stream without them: one component of one block, whose samples are 128.
    fn streams(height: u8) -> (Vec<u8>, Vec<u8>) {
        let mut tables = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        tables.extend([1; 64]);
        for selector in [0, 0x10] {
            // The code 0 is the symbol 0.
            tables.extend([0xff, 0xc4, 0, 20, selector, 1]);
            tables.extend([0; 16]);
        }
        let mut stream = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, height, 0, 8, 1, 1, 0x11, 0];
        stream.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x3f, 0xff, 0xd9]);
        (tables, stream)
    }

    fn error(data: &[u8], field: &[u8], expected: &Expected) -> String {
        match tables(Some(field)).and_then(|tables| decode(data, &tables, expected)) {
            Err(TiffError::Invalid(reason)) => reason,
            Err(TiffError::Truncated) => "truncated".to_owned(),
            Ok(_) => "none".to_owned(),
        }
    }

    #[test]
    fn streams_refer_to_the_tables() {
        let (field, stream) = streams(8);
        assert_eq!(decode(&stream, &tables(Some(&field)).unwrap(), &EXPECTED).unwrap(), [128; 64]);
        let missing = "its JPEG data is invalid: a Huffman table is missing or invalid";
        assert!(
            matches!(decode(&stream, &Tables::default(), &EXPECTED), Err(TiffError::Invalid(reason)) if reason == missing)
        );
    }

    #[test]
    fn sizes_and_samples_are_those_of_the_fields() {
        let (field, stream) = streams(8);
        let larger = error(&streams(17).1, &field, &EXPECTED);
        assert_eq!(larger, "its JPEG data has 8 x 17 pixels, not 8 x 8");
        let wider = Expected { width: 9, ..EXPECTED };
        assert_eq!(error(&stream, &field, &wider), "its JPEG data has 8 x 8 pixels, not 9 x 8");
        let rgb = Expected { samples: 3, is_ycbcr: true, ..EXPECTED };
        assert_eq!(error(&stream, &field, &rgb), "its JPEG data has 1 samples per pixel, not 3");
    }

    #[test]
    fn invalid_streams_are_rejected() {
        let (field, stream) = streams(8);
        assert_eq!(error(&stream, &field, &EXPECTED), "none");
        assert_eq!(error(&stream, &field[2..], &EXPECTED), "its JPEG tables have no start marker");
        assert_eq!(error(&stream[2..], &field, &EXPECTED), "its JPEG data has no start marker");
        assert_eq!(error(&stream[..12], &field, &EXPECTED), "truncated");
        let cut = [&stream[..stream.len() - 3], &[0xff, 0xd9]].concat();
        assert_eq!(error(&cut, &field, &EXPECTED), "its JPEG data is invalid: its scan is damaged");
    }
}
