//! [`ImagePipeline`]: from encoded images to the outputs of a model.
//!
//! ```text
//! images ──decode, resize, normalise──▶ one tensor ──model──▶ scores, embeddings
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use datafusion::common::internal_err;
use datafusion::error::Result;
use ocelli_udf::image::{ImageError, decode_to_fit};

use super::call::Task;
use super::context::InferContext;
use super::image_rows::Image;
use super::metrics::ComputeTimes;
use super::output::InferOutput;
use super::reservation::ReservationGuard;
use crate::backend::{BackendSelection, CancelCheck};
use crate::error::Error;
use crate::model::{ImageTask, Model, ModelOutputs, RequestedOutputs};
use crate::options::OcelliOptions;
use crate::runtime::{WorkerPermit, WorkerPool};

/// A model and the requested outputs.
#[derive(Debug, Clone)]
pub(crate) struct ImagePipeline {
    pub(crate) model: Arc<Model>,
    pub(crate) vision: Arc<ImageTask>,
    /// The backend that runs the model.
    pub(crate) backend: BackendSelection,
    pub(crate) workers: Arc<WorkerPool>,
    pub(crate) requested: RequestedOutputs,
    /// Larger images count as invalid.
    pub(crate) max_pixels: u64,
    /// Stop at the first invalid image, because it fails the query.
    pub(crate) fail_fast: bool,
}

/// The model outputs of a batch of images.
#[derive(Debug, Default)]
pub(crate) struct Predictions {
    /// For each image its row in the outputs, or the reason why it is invalid. Shorter than the input if an invalid image ended the
    /// batch.
    pub(crate) images: Vec<Result<usize, ImageError>>,
    pub(crate) outputs: ModelOutputs,
}

/// ImageRows on their way to the model.
struct PreprocessedBatch {
    /// As in [`Predictions`].
    images: Vec<std::result::Result<usize, ImageError>>,
    /// The input tensor, of the valid images only.
    tensor: Vec<f32>,
    valid: usize,
}

impl ImagePipeline {
    /// # Errors
    /// When it is not an image model, or its backend is not available.
    pub(crate) fn new(
        engine: &InferContext,
        model: Arc<Model>,
        options: &OcelliOptions,
        outputs: &[InferOutput],
    ) -> std::result::Result<Self, Error> {
        let is_embedding = |output: &InferOutput| matches!(output.value.task, Task::Embed { .. });
        Ok(Self {
            vision: Arc::clone(model.vision()?),
            backend: model.backend(options.backend_preferences())?,
            model,
            workers: Arc::clone(&engine.workers),
            requested: RequestedOutputs {
                scores: !outputs.iter().all(is_embedding),
                embedding: outputs.iter().any(is_embedding),
            },
            max_pixels: options.max_image_pixels,
            fail_fast: outputs.iter().any(|output| output.value.fails_query()),
        })
    }

    /// Decodes the images one after another, then runs the model on all of them. Checks `is_cancelled` between images.
    ///
    /// # Errors
    /// Those of the model; invalid images are part of the result.
    pub(super) fn run(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Predictions> {
        let batch = self.catch_panic(|| self.preprocess_batch(images, times, is_cancelled))?;
        self.catch_panic(|| self.run_model(batch, times))
    }

    /// Like [`run`](Self::run), for backends that may run the model on a device: `done` is called with the result, on this thread or a
    /// thread of the device. `permit` is released once the batch is preprocessed, and `pixels` is the reservation for decoding.
    pub(super) fn run_async(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: CancelCheck,
        (mut permit, pixels): (WorkerPermit, ReservationGuard),
        done: impl FnOnce(Result<Predictions>, WorkerPermit) + Send + 'static,
    ) {
        let batch = self.catch_panic(|| self.preprocess_batch(images, times, &*is_cancelled));
        drop(pixels);
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return done(Err(error), permit),
        };
        let has_queue = self.model.queue(&self.backend).is_ok_and(|queue| queue.is_some());
        if !has_queue || batch.valid == 0 {
            let predictions = self.catch_panic(|| self.run_model(batch, times));
            return done(predictions, permit);
        }
        let PreprocessedBatch { images, tensor, valid } = batch;
        permit.release();
        let (time, begin) = (times.queue.clone(), Instant::now());
        let done = move |outputs: std::result::Result<ModelOutputs, Error>| {
            time.add_elapsed(begin);
            done(outputs.map(|outputs| Predictions { images, outputs }).map_err(Into::into), permit);
        };
        // If this panics, `done` is dropped and the receiver sees a closed channel.
        let _ = self.catch_panic(|| {
            self.model.run_async(&self.backend, tensor, valid, self.requested, is_cancelled, done);
            Ok(())
        });
    }

    /// Decoders and backends are third-party code.
    fn catch_panic<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| internal_err!("model '{}' panicked", self.model.name()))
    }

    /// The input tensor, of the valid images only.
    fn preprocess_batch(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<PreprocessedBatch> {
        let size = self.vision.processor.len();
        let tensor = vec![0.0; images.len() * size];
        let mut batch = PreprocessedBatch { images: Vec::with_capacity(images.len()), tensor, valid: 0 };
        let timer = times.decode.timer();
        for image in images {
            if is_cancelled() {
                return internal_err!("the query was cancelled");
            }
            let out = &mut batch.tensor[batch.valid * size..][..size];
            let result = self.preprocess_image(*image, out).map(|()| batch.valid);
            let is_invalid = result.is_err();
            batch.valid += usize::from(!is_invalid);
            batch.images.push(result);
            if is_invalid && self.fail_fast {
                // The query fails with this image.
                batch.valid = 0;
                break;
            }
        }
        timer.done();
        if is_cancelled() {
            return internal_err!("the query was cancelled");
        }
        batch.tensor.truncate(batch.valid * size);
        Ok(batch)
    }

    /// Runs the model on this thread.
    fn run_model(
        &self,
        PreprocessedBatch { images, tensor, valid }: PreprocessedBatch,
        times: &ComputeTimes,
    ) -> Result<Predictions> {
        let timer = times.model.timer();
        let outputs = self.model.run(&self.backend, tensor, valid, self.requested, &self.workers)?;
        timer.done();
        Ok(Predictions { images, outputs })
    }

    /// Decodes one image and writes its preprocessed pixels to `out`.
    fn preprocess_image(&self, image: EncodedImage, out: &mut [f32]) -> std::result::Result<(), ImageError> {
        let processor = &self.vision.processor;
        let mut geometry = None;
        let mut fit = |width, height| processor.decode_size_hint(geometry.insert(processor.geometry(width, height)));
        let pixels = decode_to_fit(image.encoded()?, self.max_pixels, &mut fit)?;
        if let Some(geometry) = geometry.filter(|geometry| !geometry.is_within_max_edge()) {
            let (width, height) = geometry.scaled;
            return Err(ImageError::Elongated { width, height });
        }
        let geometry = geometry.unwrap_or_else(|| processor.geometry(pixels.width, pixels.height));
        processor.apply(&pixels, &geometry, out);
        Ok(())
    }
}
