//! [`Job`]: a micro-batch on its way through a worker. [`Recent`]: images that are under way, by their bytes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use ocelli_udf::image::{ImageColumn, ImageError, decoded_bytes};

use super::compute::Findings;

/// Rows that one worker takes.
pub(super) struct Job {
    pub(super) rows: RecordBatch,
    /// The rows whose images this job runs, in the order of its findings.
    pub(super) images: Vec<usize>,
    /// Encoded bytes of these.
    pub(super) bytes: usize,
    pub(super) findings: OnceLock<Findings>,
    /// Of `images`, for [`Recent`].
    keys: Vec<u64>,
}

/// Where the answer for a row comes from.
pub(super) enum Source {
    /// No image, or nobody asks.
    Nothing,
    /// The job's own image of that number.
    Own(usize),
    /// The same bytes in a job that came before.
    Earlier(Arc<Job>, usize),
}

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

/// How much a job takes on.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) images: usize,
    /// Of encoded images and tensors. One image is always taken.
    pub(super) bytes: usize,
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
    fn wanted<'a>(&self, rows: &'a RecordBatch) -> impl Fn(usize) -> bool + use<'a> {
        let guard = self.guard.map(|guard| rows.column(guard).as_boolean());
        move |row| guard.is_none_or(|guard| guard.is_valid(row) && guard.value(row))
    }

    /// Takes rows from the front of `batch` until they make a share.
    ///
    /// Gives the job, and where the answer for each of its rows comes from. The job itself does not hold on to others: a
    /// picture that comes again and again would make a chain of all of them.
    pub(super) fn take(&self, batch: &RecordBatch, share: Share, recent: &Recent) -> Result<(Job, Vec<Source>)> {
        let images = self.images(batch)?;
        let is_wanted = self.wanted(batch);
        let mut job =
            Job { rows: batch.slice(0, 0), images: Vec::new(), bytes: 0, findings: OnceLock::new(), keys: Vec::new() };
        let mut sources = Vec::new();
        let mut own: HashMap<u64, Vec<usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let Some(image) = images.get(row).filter(|_| is_wanted(row)) else {
                sources.push(Source::Nothing);
                continue;
            };
            let key = image.key();
            let twins = own.entry(key).or_default();
            let twin = twins.iter().find(|&&number| images.get(job.images[number]) == Some(image));
            if let Some(&number) = twin {
                sources.push(Source::Own(number));
                continue;
            }
            if let Some((earlier, number)) = recent.find(key, image, self)? {
                sources.push(Source::Earlier(earlier, number));
                continue;
            }
            let size = job.bytes + image.len() + (job.images.len() + 1) * self.tensor;
            if !job.images.is_empty() && (job.images.len() == share.images || size > share.bytes) {
                break;
            }
            let number = job.images.len();
            twins.push(number);
            sources.push(Source::Own(number));
            job.images.push(row);
            job.keys.push(key);
            job.bytes += image.len();
        }
        job.rows = batch.slice(0, sources.len());
        Ok((job, sources))
    }

    /// Bytes that a worker needs beside the encoded images: the tensors, and the pixels of one picture at a time.
    pub(super) fn working_bytes(&self, job: &Job, max_pixels: u64) -> Result<usize> {
        let images = self.images(&job.rows)?;
        let pixels = job.images.iter().filter_map(|&row| images.get(row)).map(|image| {
            // A bad one is found to be so before it takes any.
            image.encoded().and_then(|bytes| decoded_bytes(bytes, max_pixels)).unwrap_or(0)
        });
        Ok(job.images.len() * self.tensor + usize::try_from(pixels.max().unwrap_or(0)).unwrap_or(usize::MAX))
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

    fn len(self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Unreadable(_) => 0,
        }
    }

    /// A number that equal images share, from a few of their bytes: what it brings together is compared in full.
    fn key(self) -> u64 {
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

/// The images of the jobs that are under way.
#[derive(Default)]
pub(super) struct Recent(HashMap<u64, Vec<(Arc<Job>, usize)>>);

impl Recent {
    /// The job that runs an image with the same bytes, and its number there.
    fn find(&self, key: u64, image: Image, columns: &Columns) -> Result<Option<(Arc<Job>, usize)>> {
        for (job, number) in self.0.get(&key).into_iter().flatten() {
            if columns.images(&job.rows)?.get(job.images[*number]) == Some(image) {
                return Ok(Some((Arc::clone(job), *number)));
            }
        }
        Ok(None)
    }

    pub(super) fn add(&mut self, job: &Arc<Job>) {
        for (number, key) in job.keys.iter().enumerate() {
            self.0.entry(*key).or_default().push((Arc::clone(job), number));
        }
    }

    pub(super) fn remove(&mut self, job: &Arc<Job>) {
        for key in &job.keys {
            if let Some(same) = self.0.get_mut(key) {
                same.retain(|(known, _)| !Arc::ptr_eq(known, job));
                if same.is_empty() {
                    self.0.remove(key);
                }
            }
        }
    }
}
