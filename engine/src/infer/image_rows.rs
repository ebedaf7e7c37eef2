//! [`ImageRows`]: the encoded images of a batch, or the errors of failed fetches.

use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use ocelli_udf::image::{ImageColumn, ImageError};

/// The columns that define the images of a batch.
#[derive(Clone, Copy)]
pub(super) struct ImageColumns {
    pub(super) image: usize,
    /// The errors of failed fetches.
    pub(super) fetch_error: Option<usize>,
    pub(super) guard: Option<usize>,
    /// Bytes of a preprocessed image.
    pub(super) tensor: usize,
}

impl ImageColumns {
    /// The images of a batch.
    pub(super) fn images<'a>(&self, rows: &'a RecordBatch) -> Result<ImageRows<'a>> {
        let column = rows.column(self.image);
        let encoded = ImageColumn::new(column).ok_or_else(|| {
            internal_datafusion_err!("InferExec was planned on a column of type {}", column.data_type())
        })?;
        Ok(ImageRows { encoded, fetch_error: self.fetch_error.map(|column| rows.column(column).as_string()) })
    }

    /// The encoded bytes of the images in selected rows.
    pub(super) fn bytes(&self, rows: &RecordBatch) -> Result<usize> {
        let images = self.images(rows)?;
        let is_selected = self.row_mask(rows);
        Ok((0..rows.num_rows())
            .filter(|&row| is_selected(row))
            .filter_map(|row| images.get(row))
            .map(EncodedImage::len)
            .sum())
    }

    /// The selection mask of the rows.
    pub(super) fn row_mask<'a>(&self, rows: &'a RecordBatch) -> impl Fn(usize) -> bool + use<'a> {
        let guard = self.guard.map(|guard| rows.column(guard).as_boolean());
        move |row| guard.is_none_or(|guard| guard.is_valid(row) && guard.value(row))
    }
}

/// The images of a batch.
pub(super) struct ImageRows<'a> {
    encoded: ImageColumn<'a>,
    fetch_error: Option<&'a StringArray>,
}

impl<'a> ImageRows<'a> {
    /// The image of a row, `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<EncodedImage<'a>> {
        match self.fetch_error {
            Some(reasons) if reasons.is_valid(row) => Some(EncodedImage::FetchFailed(reasons.value(row))),
            _ => self.encoded.get(row).map(EncodedImage::Encoded),
        }
    }
}

/// The encoded image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncodedImage<'a> {
    Encoded(&'a [u8]),
    /// The fetch failed with this message.
    Unreadable(&'a str),
}

impl<'a> EncodedImage<'a> {
    /// The encoded bytes.
    pub(super) fn encoded(self) -> std::result::Result<&'a [u8], ImageError> {
        match self {
            Self::Encoded(bytes) => Ok(bytes),
            Self::Unreadable(reason) => Err(ImageError::Unreadable { reason: reason.to_owned() }),
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Unreadable(_) => 0,
        }
    }

    /// A hash of the length and a sample of the bytes. Equal hashes are confirmed by a full comparison.
    pub(super) fn sampled_hash(self) -> u64 {
        const SAMPLE: usize = 128;
        let bytes = match self {
            Self::Encoded(bytes) => bytes,
            Self::Unreadable(reason) => reason.as_bytes(),
        };
        let mut hasher = DefaultHasher::new();
        bytes.len().hash(&mut hasher);
        // The start of a file describes the camera rather than the image, so the middle and the end are sampled.
        let middle = bytes.len() / 2;
        bytes[middle..bytes.len().min(middle + SAMPLE)].hash(&mut hasher);
        bytes[bytes.len().saturating_sub(SAMPLE)..].hash(&mut hasher);
        hasher.finish()
    }
}
