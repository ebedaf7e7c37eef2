//! [`MicroBatch`]: the rows of one worker task. [`InFlightIndex`]: deduplicates images among the micro-batches in flight.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use ocelli_udf::image::peak_decode_bytes;

use super::compute::Predictions;
use super::image_rows::{EncodedImage, ImageColumns};

/// Rows whose images one worker runs together.
pub(super) struct MicroBatch {
    pub(super) rows: RecordBatch,
    /// The rows whose images are run, in the order of the predictions. Duplicates are left out.
    pub(super) images: Vec<usize>,
    /// The total encoded size of `images`, in bytes.
    pub(super) encoded_bytes: usize,
    /// Set when the micro-batch completes.
    pub(super) predictions: OnceLock<Predictions>,
    /// The sampled hashes of `images`, for [`InFlightIndex`].
    hashes: Vec<u64>,
}

/// The source of a row's prediction. Images are indices into [`MicroBatch::images`].
pub(super) enum RowSource {
    /// The image is NULL or the row is not selected: the outputs are NULL.
    Masked,
    /// An image of the row's own micro-batch.
    ThisBatch(usize),
    /// An identical image of an earlier micro-batch, which was in flight.
    EarlierBatch(Arc<MicroBatch>, usize),
}

/// The limits of a micro-batch, which has at least one image.
#[derive(Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) images: usize,
    /// Bytes of encoded images and their tensors.
    pub(super) bytes: usize,
}

impl ImageColumns {
    /// Takes rows from the front of `batch` until a limit is reached.
    ///
    /// Duplicates of an image in the micro-batch or in flight do not count towards the limits.
    ///
    /// Returns the micro-batch, and the source of each row's prediction. The micro-batch holds no reference to earlier ones;
    /// otherwise an image that keeps recurring would keep every micro-batch alive.
    pub(super) fn next_micro_batch(
        &self,
        batch: &RecordBatch,
        limits: BatchLimits,
        in_flight: &InFlightIndex,
    ) -> Result<(MicroBatch, Vec<RowSource>)> {
        let images = self.images(batch)?;
        let is_selected = self.row_mask(batch);
        let mut micro_batch = MicroBatch {
            rows: batch.slice(0, 0),
            images: Vec::new(),
            encoded_bytes: 0,
            predictions: OnceLock::new(),
            hashes: Vec::new(),
        };
        let mut sources = Vec::new();
        let mut buckets: HashMap<u64, Vec<usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let Some(image) = images.get(row).filter(|_| is_selected(row)) else {
                sources.push(RowSource::Masked);
                continue;
            };
            let hash = image.sampled_hash();
            let bucket = buckets.entry(hash).or_default();
            let duplicate = bucket.iter().find(|&&index| images.get(micro_batch.images[index]) == Some(image));
            if let Some(&index) = duplicate {
                sources.push(RowSource::ThisBatch(index));
                continue;
            }
            if let Some((earlier, index)) = in_flight.find(hash, image, self)? {
                sources.push(RowSource::EarlierBatch(earlier, index));
                continue;
            }
            let index = micro_batch.images.len();
            let bytes = micro_batch.encoded_bytes + image.len() + (index + 1) * self.tensor_bytes;
            if index > 0 && (index == limits.images || bytes > limits.bytes) {
                break;
            }
            bucket.push(index);
            sources.push(RowSource::ThisBatch(index));
            micro_batch.images.push(row);
            micro_batch.hashes.push(hash);
            micro_batch.encoded_bytes += image.len();
        }
        micro_batch.rows = batch.slice(0, sources.len());
        Ok((micro_batch, sources))
    }

    /// The peak memory of the worker in addition to the encoded images, in bytes: the tensors of all images, and the decoded pixels of
    /// one image at a time.
    pub(super) fn peak_working_bytes(&self, micro_batch: &MicroBatch, max_pixels: u64) -> Result<usize> {
        let images = self.images(&micro_batch.rows)?;
        let pixels = micro_batch.images.iter().filter_map(|&row| images.get(row)).map(|image| {
            // Invalid images are rejected before their pixels are allocated.
            image.encoded().and_then(|bytes| peak_decode_bytes(bytes, max_pixels)).unwrap_or(0)
        });
        let tensors = micro_batch.images.len() * self.tensor_bytes;
        Ok(tensors + usize::try_from(pixels.max().unwrap_or(0)).unwrap_or(usize::MAX))
    }
}

/// Index of the images in flight by sampled hash, for in-flight request deduplication (request coalescing).
#[derive(Default)]
pub(super) struct InFlightIndex(HashMap<u64, Vec<(Arc<MicroBatch>, usize)>>);

impl InFlightIndex {
    /// The micro-batch that runs an identical image, and the index of the image there.
    fn find(&self, hash: u64, image: EncodedImage, columns: &ImageColumns) -> Result<Option<(Arc<MicroBatch>, usize)>> {
        for (micro_batch, index) in self.0.get(&hash).into_iter().flatten() {
            if columns.images(&micro_batch.rows)?.get(micro_batch.images[*index]) == Some(image) {
                return Ok(Some((Arc::clone(micro_batch), *index)));
            }
        }
        Ok(None)
    }

    pub(super) fn add(&mut self, micro_batch: &Arc<MicroBatch>) {
        for (index, hash) in micro_batch.hashes.iter().enumerate() {
            self.0.entry(*hash).or_default().push((Arc::clone(micro_batch), index));
        }
    }

    pub(super) fn remove(&mut self, micro_batch: &Arc<MicroBatch>) {
        for hash in &micro_batch.hashes {
            if let Some(bucket) = self.0.get_mut(hash) {
                bucket.retain(|(other, _)| !Arc::ptr_eq(other, micro_batch));
                if bucket.is_empty() {
                    self.0.remove(hash);
                }
            }
        }
    }
}
