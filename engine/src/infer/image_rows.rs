//! [`ImageRows`]: the encoded images of a batch, or the reasons why they could not be fetched.

use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use ocelli_udf::ImageColumn;
use ocelli_udf::image::ImageError;

/// The columns of a batch that define its images, by index, and the tensor size of an image.
#[derive(Clone, Copy)]
pub(super) struct ImageColumns {
    pub(super) image: usize,
    /// The messages of failed fetches, if images are fetched.
    pub(super) fetch_error: Option<usize>,
    /// The selection mask.
    pub(super) guard: Option<usize>,
    /// Bytes of the input tensor of one image.
    pub(super) tensor_bytes: usize,
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

    /// The total encoded size of the images in the selected rows, in bytes.
    pub(super) fn encoded_bytes(&self, rows: &RecordBatch) -> Result<usize> {
        let images = self.images(rows)?;
        let is_selected = self.row_mask(rows);
        let selected = (0..rows.num_rows()).filter(|&row| is_selected(row)).filter_map(|row| images.get(row));
        Ok(selected.map(EncodedImage::len).sum())
    }

    /// The selection mask: which rows the outputs are requested for.
    pub(super) fn row_mask<'a>(&self, rows: &'a RecordBatch) -> impl Fn(usize) -> bool + use<'a> {
        let mask = self.guard.map(|guard| rows.column(guard).as_boolean());
        move |row| mask.is_none_or(|mask| mask.is_valid(row) && mask.value(row))
    }
}

/// The images of a batch, by row.
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
    /// The image could not be fetched, for this reason.
    FetchFailed(&'a str),
}

impl<'a> EncodedImage<'a> {
    /// The encoded bytes.
    ///
    /// # Errors
    /// When the image could not be fetched.
    pub(super) fn encoded(self) -> std::result::Result<&'a [u8], ImageError> {
        match self {
            Self::Encoded(bytes) => Ok(bytes),
            Self::FetchFailed(reason) => Err(ImageError::FetchFailed { reason: reason.to_owned() }),
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::FetchFailed(_) => 0,
        }
    }

    /// A hash of the length and two samples of the content. Images with equal hashes are compared in full.
    pub(super) fn sampled_hash(self) -> u64 {
        const SAMPLE: usize = 128;
        let bytes = match self {
            Self::Encoded(bytes) => bytes,
            Self::FetchFailed(reason) => reason.as_bytes(),
        };
        let mut hasher = DefaultHasher::new();
        bytes.len().hash(&mut hasher);
        // Sampled in the middle and at the end: the start of a file holds metadata, which images of one camera share.
        let middle = bytes.len() / 2;
        bytes[middle..bytes.len().min(middle + SAMPLE)].hash(&mut hasher);
        bytes[bytes.len().saturating_sub(SAMPLE)..].hash(&mut hasher);
        hasher.finish()
    }
}
