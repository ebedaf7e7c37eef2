//! [`Job`]: a micro-batch on its way through a worker. [`Recent`]: images that are under way, by their bytes.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use ocelli_udf::image::decoded_bytes;

use super::compute::Findings;
use super::image_rows::{Columns, Image};

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

/// How much a job takes on.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) images: usize,
    /// Of encoded images and tensors. One image is always taken.
    pub(super) bytes: usize,
}

impl Columns {
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
