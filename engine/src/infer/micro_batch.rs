//! [`MicroBatch`]: the unit of work of a worker. [`InFlightIndex`]: deduplicates images among in-flight micro-batches.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use ocelli_udf::image::decoded_bytes;

use super::compute::Predictions;
use super::image_rows::{EncodedImage, ImageColumns};

/// Rows that one worker processes together.
pub(super) struct MicroBatch {
    pub(super) rows: RecordBatch,
    /// The rows whose images are run, in the order of the predictions.
    pub(super) images: Vec<usize>,
    /// The encoded bytes of these images.
    pub(super) bytes: usize,
    pub(super) predictions: OnceLock<Predictions>,
    /// The sampled hashes of `images`, for [`InFlightIndex`].
    hashes: Vec<u64>,
}

/// Where the prediction of a row comes from.
pub(super) enum RowSource {
    /// No image, or the row is masked.
    Masked,
    /// The image of this micro-batch with this index.
    ThisBatch(usize),
    /// An identical image of an earlier in-flight micro-batch.
    EarlierBatch(Arc<MicroBatch>, usize),
}

/// The size limits of a micro-batch.
#[derive(Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) images: usize,
    /// Bytes of encoded images and tensors. A micro-batch has at least one image.
    pub(super) bytes: usize,
}

impl ImageColumns {
    /// Takes rows from the front of `batch` up to the limits.
    ///
    /// Returns the micro-batch and the source of each row's prediction. A micro-batch holds no reference to earlier ones; otherwise an image
    /// that keeps recurring would keep every micro-batch alive.
    pub(super) fn next_micro_batch(
        &self,
        batch: &RecordBatch,
        limits: BatchLimits,
        recent: &InFlightIndex,
    ) -> Result<(MicroBatch, Vec<RowSource>)> {
        let images = self.images(batch)?;
        let is_selected = self.row_mask(batch);
        let mut micro_batch = MicroBatch {
            rows: batch.slice(0, 0),
            images: Vec::new(),
            bytes: 0,
            predictions: OnceLock::new(),
            hashes: Vec::new(),
        };
        let mut sources = Vec::new();
        let mut own: HashMap<u64, Vec<usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let Some(image) = images.get(row).filter(|_| is_selected(row)) else {
                sources.push(RowSource::Masked);
                continue;
            };
            let hash = image.sampled_hash();
            let bucket = own.entry(hash).or_default();
            let duplicate = bucket.iter().find(|&&index| images.get(micro_batch.images[index]) == Some(image));
            if let Some(&index) = duplicate {
                sources.push(RowSource::ThisBatch(index));
                continue;
            }
            if let Some((earlier, index)) = recent.find(hash, image, self)? {
                sources.push(RowSource::EarlierBatch(earlier, index));
                continue;
            }
            let size = micro_batch.bytes + image.len() + (micro_batch.images.len() + 1) * self.tensor;
            if !micro_batch.images.is_empty() && (micro_batch.images.len() == limits.images || size > limits.bytes) {
                break;
            }
            let index = micro_batch.images.len();
            bucket.push(index);
            sources.push(RowSource::ThisBatch(index));
            micro_batch.images.push(row);
            micro_batch.hashes.push(hash);
            micro_batch.bytes += image.len();
        }
        micro_batch.rows = batch.slice(0, sources.len());
        Ok((micro_batch, sources))
    }

    /// The peak memory of a worker in addition to the encoded images: the tensors, and the pixels of one image at a time.
    pub(super) fn peak_working_bytes(&self, micro_batch: &MicroBatch, max_pixels: u64) -> Result<usize> {
        let images = self.images(&micro_batch.rows)?;
        let pixels = micro_batch.images.iter().filter_map(|&row| images.get(row)).map(|image| {
            // Invalid images are rejected before pixels are allocated.
            image.encoded().and_then(|bytes| decoded_bytes(bytes, max_pixels)).unwrap_or(0)
        });
        Ok(micro_batch.images.len() * self.tensor + usize::try_from(pixels.max().unwrap_or(0)).unwrap_or(usize::MAX))
    }
}

/// The images of in-flight micro-batches, by sampled hash.
#[derive(Default)]
pub(super) struct InFlightIndex(HashMap<u64, Vec<(Arc<MicroBatch>, usize)>>);

impl InFlightIndex {
    /// The in-flight micro-batch with an identical image, and its index there.
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
            if let Some(same) = self.0.get_mut(hash) {
                same.retain(|(other, _)| !Arc::ptr_eq(other, micro_batch));
                if same.is_empty() {
                    self.0.remove(hash);
                }
            }
        }
    }
}
