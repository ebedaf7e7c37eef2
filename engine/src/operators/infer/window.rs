//! [`Job`]: a micro-batch on its way through a worker. [`Recent`]: images that are under way, by their bytes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use ocelli_udf::image::{ImageColumn, decoded_bytes};

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
    pub(super) fn images<'a>(&self, rows: &'a RecordBatch) -> Result<ImageColumn<'a>> {
        let column = rows.column(self.image);
        ImageColumn::new(column)
            .ok_or_else(|| internal_datafusion_err!("InferExec was planned on a column of type {}", column.data_type()))
    }

    /// Encoded bytes of the images of some rows that are wanted.
    pub(super) fn bytes(&self, rows: &RecordBatch) -> Result<usize> {
        let images = self.images(rows)?;
        let is_wanted = self.wanted(rows);
        Ok((0..rows.num_rows()).filter(|&row| is_wanted(row)).filter_map(|row| images.get(row)).map(<[u8]>::len).sum())
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
            let Some(bytes) = images.get(row).filter(|_| is_wanted(row)) else {
                sources.push(Source::Nothing);
                continue;
            };
            let key = key(bytes);
            let twins = own.entry(key).or_default();
            let twin = twins.iter().find(|&&number| images.get(job.images[number]) == Some(bytes));
            if let Some(&number) = twin {
                sources.push(Source::Own(number));
                continue;
            }
            if let Some((earlier, number)) = recent.find(key, bytes, self)? {
                sources.push(Source::Earlier(earlier, number));
                continue;
            }
            let size = job.bytes + bytes.len() + (job.images.len() + 1) * self.tensor;
            if !job.images.is_empty() && (job.images.len() == share.images || size > share.bytes) {
                break;
            }
            let number = job.images.len();
            twins.push(number);
            sources.push(Source::Own(number));
            job.images.push(row);
            job.keys.push(key);
            job.bytes += bytes.len();
        }
        job.rows = batch.slice(0, sources.len());
        Ok((job, sources))
    }

    /// Bytes that a worker needs beside the encoded images: the tensors, and the pixels of one picture at a time.
    pub(super) fn working_bytes(&self, job: &Job, max_pixels: u64) -> Result<usize> {
        let images = self.images(&job.rows)?;
        let pixels = job.images.iter().filter_map(|&row| images.get(row)).map(|bytes| {
            // A bad one is found to be so before it takes any.
            decoded_bytes(bytes, max_pixels).unwrap_or(0)
        });
        Ok(job.images.len() * self.tensor + usize::try_from(pixels.max().unwrap_or(0)).unwrap_or(usize::MAX))
    }
}

/// A number that equal bytes share, from a few of them: what it brings together is compared in full.
fn key(bytes: &[u8]) -> u64 {
    const SAMPLE: usize = 128;
    let mut hasher = DefaultHasher::new();
    bytes.len().hash(&mut hasher);
    // The start of a file says more about its camera than about its picture.
    let middle = bytes.len() / 2;
    bytes[middle..bytes.len().min(middle + SAMPLE)].hash(&mut hasher);
    bytes[bytes.len().saturating_sub(SAMPLE)..].hash(&mut hasher);
    hasher.finish()
}

/// The images of the jobs that are under way.
#[derive(Default)]
pub(super) struct Recent(HashMap<u64, Vec<(Arc<Job>, usize)>>);

impl Recent {
    /// The job that runs an image with these bytes, and its number there.
    fn find(&self, key: u64, bytes: &[u8], columns: &Columns) -> Result<Option<(Arc<Job>, usize)>> {
        for (job, number) in self.0.get(&key).into_iter().flatten() {
            if columns.images(&job.rows)?.get(job.images[*number]) == Some(bytes) {
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

/// Memory that was asked of the query's pool, given back when it is dropped.
pub(super) struct Held {
    reservation: Arc<MemoryReservation>,
    bytes: usize,
}

impl Held {
    /// `None` when the pool has no more.
    pub(super) fn take(reservation: &Arc<MemoryReservation>, bytes: usize) -> Option<Self> {
        reservation.try_grow(bytes).ok()?;
        Some(Self { reservation: Arc::clone(reservation), bytes })
    }

    /// A part of it, to be given back by itself.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { reservation: Arc::clone(&self.reservation), bytes }
    }

    /// Takes a part back.
    pub(super) fn join(&mut self, mut part: Self) {
        self.bytes += std::mem::take(&mut part.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.reservation.shrink(self.bytes);
    }
}
