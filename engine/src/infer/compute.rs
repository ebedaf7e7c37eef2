//! [`ImagePipeline`]: from encoded images to the outputs of a model.
//!
//! ```text
//! images ──decode, resize, normalize──▶ tensor [images, …] ──model──▶ scores, embeddings
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use datafusion::common::internal_err;
use datafusion::error::Result;
use ocelli_udf::image::{ImageError, decode_scaled};

use super::call::Task;
use super::context::InferContext;
use super::image_rows::EncodedImage;
use super::metrics::ComputeTimes;
use super::output::InferOutput;
use super::reservation::ReservationGuard;
use crate::backend::{BackendSelection, CancelCheck};
use crate::error::Error;
use crate::model::{ImageTask, Model, ModelOutputs, RequestedOutputs};
use crate::options::OcelliOptions;
use crate::runtime::{WorkerPermit, WorkerPool};

/// An image model with its backend and the requested outputs.
#[derive(Debug, Clone)]
pub(crate) struct ImagePipeline {
    pub(crate) model: Arc<Model>,
    pub(crate) image_task: Arc<ImageTask>,
    /// The backend that runs the model.
    pub(crate) backend: BackendSelection,
    pub(crate) workers: Arc<WorkerPool>,
    pub(crate) requested: RequestedOutputs,
    /// Images with more pixels are invalid.
    pub(crate) max_pixels: u64,
    /// Whether to stop at the first invalid image, because it fails the query.
    pub(crate) fail_fast: bool,
}

/// The model outputs for a batch of images.
#[derive(Debug, Default)]
pub(crate) struct Predictions {
    /// For each image its row in the output tensors, or the reason why it is invalid. Ends with the first invalid image if the
    /// pipeline fails fast.
    pub(crate) images: Vec<Result<usize, ImageError>>,
    pub(crate) outputs: ModelOutputs,
}

/// Preprocessed images, the input of the model.
struct PreprocessedBatch {
    /// As in [`Predictions`].
    images: Vec<std::result::Result<usize, ImageError>>,
    /// The input tensor, `[valid, …]` in row-major order.
    tensor: Vec<f32>,
    /// The number of valid images.
    valid: usize,
}

impl ImagePipeline {
    /// # Errors
    /// When the model is not an image model, or its backend is not available.
    pub(crate) fn new(
        context: &InferContext,
        model: Arc<Model>,
        options: &OcelliOptions,
        outputs: &[InferOutput],
    ) -> std::result::Result<Self, Error> {
        let is_embedding = |output: &InferOutput| matches!(output.value.task, Task::Embed { .. });
        Ok(Self {
            image_task: Arc::clone(model.image_task()?),
            backend: model.backend(options.backend_preferences())?,
            model,
            workers: Arc::clone(&context.workers),
            requested: RequestedOutputs {
                scores: !outputs.iter().all(is_embedding),
                embedding: outputs.iter().any(is_embedding),
            },
            max_pixels: options.max_image_pixels,
            fail_fast: outputs.iter().any(|output| output.value.fails_query()),
        })
    }

    /// Preprocesses the images one after another, then runs the model on all of them. Checks `is_cancelled` between images.
    ///
    /// # Errors
    /// Those of the model. Invalid images are not errors, but part of the predictions.
    pub(super) fn run(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Predictions> {
        let batch = self.catch_panic(|| self.preprocess_batch(images, times, is_cancelled))?;
        self.catch_panic(|| self.run_model(batch, times))
    }

    /// Like [`run`](Self::run), but hands the model run to the device if the backend has a queue. `done` is called with the result, on
    /// this thread or on a thread of the device.
    ///
    /// `decode_reservation` is released once the images are preprocessed, and for a device also `permit`: the worker is free then.
    pub(super) fn run_async(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: CancelCheck,
        (mut permit, decode_reservation): (WorkerPermit, ReservationGuard),
        done: impl FnOnce(Result<Predictions>, WorkerPermit) + Send + 'static,
    ) {
        let batch = self.catch_panic(|| self.preprocess_batch(images, times, &*is_cancelled));
        drop(decode_reservation);
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

    /// Turns a panic into an error: decoders and backends are third-party code.
    fn catch_panic<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| internal_err!("model '{}' panicked", self.model.name()))
    }

    /// Preprocesses the valid images into one tensor.
    fn preprocess_batch(
        &self,
        images: &[EncodedImage],
        times: &ComputeTimes,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<PreprocessedBatch> {
        let size = self.image_task.processor.len();
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
                // The query fails with this image, so the model does not have to run.
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

    /// Decodes an image and writes its part of the input tensor to `out`.
    fn preprocess_image(&self, image: EncodedImage, out: &mut [f32]) -> std::result::Result<(), ImageError> {
        let processor = &self.image_task.processor;
        let mut geometry = None;
        let mut fit = |width, height| processor.decode_size_hint(geometry.insert(processor.geometry(width, height)));
        let pixels = decode_scaled(image.encoded()?, self.max_pixels, &mut fit)?;
        if let Some(geometry) = geometry.filter(|geometry| !geometry.is_within_max_edge()) {
            let (width, height) = geometry.scaled;
            return Err(ImageError::AspectRatio { width, height });
        }
        let geometry = geometry.unwrap_or_else(|| processor.geometry(pixels.width, pixels.height));
        processor.apply(&pixels, &geometry, out);
        Ok(())
    }
}
