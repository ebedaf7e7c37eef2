//! [`Images`]: the images in the rows of a batch, encoded, or the reason why one could not be fetched.

use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use ocelli_udf::image::{ImageColumn, ImageError};

/// The columns by which jobs are made.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) image: usize,
    /// Why an image could not be fetched.
    pub(super) unreadable: Option<usize>,
    pub(super) guard: Option<usize>,
    /// Bytes of a prepared image.
    pub(super) tensor: usize,
}

impl Columns {
    /// The images of a batch.
    pub(super) fn images<'a>(&self, rows: &'a RecordBatch) -> Result<Images<'a>> {
        let column = rows.column(self.image);
        let encoded = ImageColumn::new(column).ok_or_else(|| {
            internal_datafusion_err!("InferExec was planned on a column of type {}", column.data_type())
        })?;
        Ok(Images { encoded, unreadable: self.unreadable.map(|column| rows.column(column).as_string()) })
    }

    /// Encoded bytes of the images of some rows that are wanted.
    pub(super) fn bytes(&self, rows: &RecordBatch) -> Result<usize> {
        let images = self.images(rows)?;
        let is_wanted = self.wanted(rows);
        Ok((0..rows.num_rows()).filter(|&row| is_wanted(row)).filter_map(|row| images.get(row)).map(Image::len).sum())
    }

    /// Which rows somebody asks about.
    pub(super) fn wanted<'a>(&self, rows: &'a RecordBatch) -> impl Fn(usize) -> bool + use<'a> {
        let guard = self.guard.map(|guard| rows.column(guard).as_boolean());
        move |row| guard.is_none_or(|guard| guard.is_valid(row) && guard.value(row))
    }
}

/// The images of some rows.
pub(super) struct Images<'a> {
    encoded: ImageColumn<'a>,
    unreadable: Option<&'a StringArray>,
}

impl<'a> Images<'a> {
    /// The image of one row, `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<Image<'a>> {
        match self.unreadable {
            Some(reasons) if reasons.is_valid(row) => Some(Image::Unreadable(reasons.value(row))),
            _ => self.encoded.get(row).map(Image::Encoded),
        }
    }
}

/// An image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image<'a> {
    Encoded(&'a [u8]),
    /// It could not be fetched, for this reason.
    Unreadable(&'a str),
}

impl<'a> Image<'a> {
    /// What there is to decode.
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

    /// A number that equal images share, from a few of their bytes: what it brings together is compared in full.
    pub(super) fn key(self) -> u64 {
        const SAMPLE: usize = 128;
        let bytes = match self {
            Self::Encoded(bytes) => bytes,
            Self::Unreadable(reason) => reason.as_bytes(),
        };
        let mut hasher = DefaultHasher::new();
        bytes.len().hash(&mut hasher);
        // The start of a file says more about its camera than about its picture.
        let middle = bytes.len() / 2;
        bytes[middle..bytes.len().min(middle + SAMPLE)].hash(&mut hasher);
        bytes[bytes.len().saturating_sub(SAMPLE)..].hash(&mut hasher);
        hasher.finish()
    }
}
