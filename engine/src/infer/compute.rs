//! [`Compute`]: from encoded images to what a model says of them.
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
use super::context::Engine;
use super::image_rows::Image;
use super::metrics::ComputeTimes;
use super::output::InferOutput;
use super::reservation::Held;
use crate::backend::{Decided, IsWanted};
use crate::error::Error;
use crate::model::{Model, Tensors, Vision, Wanted};
use crate::options::OcelliOptions;
use crate::runtime::{WorkerPermit, WorkerPool};

/// One model, and what is wanted of it.
#[derive(Debug, Clone)]
pub(crate) struct Compute {
    pub(crate) model: Arc<Model>,
    pub(crate) vision: Arc<Vision>,
    /// What runs it.
    pub(crate) backend: Decided,
    pub(crate) workers: Arc<WorkerPool>,
    pub(crate) wanted: Wanted,
    /// Larger images are bad ones.
    pub(crate) max_pixels: u64,
    /// Nothing after the first bad image matters.
    pub(crate) stops_at_bad: bool,
}

/// What came of some images.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// For each image its place in the tensors, or why it has none. Shorter than the images when a bad one ended it.
    pub(crate) images: Vec<Result<usize, ImageError>>,
    pub(crate) tensors: Tensors,
}

/// Images on their way to the model.
struct Prepared {
    /// As in [`Findings`].
    findings: Vec<std::result::Result<usize, ImageError>>,
    /// What the model sees of the good ones.
    tensor: Vec<f32>,
    good: usize,
}

impl Compute {
    /// # Errors
    /// When the model does not look at pictures, or its backend is not there.
    pub(crate) fn new(
        engine: &Engine,
        model: Arc<Model>,
        options: &OcelliOptions,
        outputs: &[InferOutput],
    ) -> std::result::Result<Self, Error> {
        let wants_embedding = |output: &InferOutput| matches!(output.value.task, Task::Embed { .. });
        Ok(Self {
            vision: Arc::clone(model.vision()?),
            backend: model.backend(options.backend_preferences())?,
            model,
            workers: Arc::clone(&engine.workers),
            wanted: Wanted {
                scores: !outputs.iter().all(wants_embedding),
                embedding: outputs.iter().any(wants_embedding),
            },
            max_pixels: options.max_image_pixels,
            stops_at_bad: outputs.iter().any(|output| output.value.fails_query()),
        })
    }

    /// Decodes the images, one after the other, and runs the model on all of them. Ends between images when `is_cancelled`.
    ///
    /// # Errors
    /// Those of the model; bad images are findings.
    pub(super) fn run(
        &self,
        images: &[Image],
        times: &ComputeTimes,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Findings> {
        let prepared = self.guarded(|| self.prepare_all(images, times, is_cancelled))?;
        self.guarded(|| self.finish(prepared, times))
    }

    /// The same where the model may run elsewhere: `done` is called in the end, here or on a thread of its device. `slot` is that
    /// of a worker, which is free for the next job once this one has nothing more for it, and `pixels` the memory for decoding.
    pub(super) fn start(
        &self,
        images: &[Image],
        times: &ComputeTimes,
        is_wanted: IsWanted,
        (mut slot, pixels): (WorkerPermit, Held),
        done: impl FnOnce(Result<Findings>, WorkerPermit) + Send + 'static,
    ) {
        let prepared = self.guarded(|| self.prepare_all(images, times, &|| !is_wanted()));
        drop(pixels);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return done(Err(error), slot),
        };
        let has_queue = self.model.queue(&self.backend).is_ok_and(|queue| queue.is_some());
        if !has_queue || prepared.good == 0 {
            let findings = self.guarded(|| self.finish(prepared, times));
            return done(findings, slot);
        }
        let Prepared { findings: images, tensor, good } = prepared;
        slot.release();
        let (time, begin) = (times.queue.clone(), Instant::now());
        let done = move |tensors: std::result::Result<Tensors, Error>| {
            time.add_elapsed(begin);
            done(tensors.map(|tensors| Findings { images, tensors }).map_err(Into::into), slot);
        };
        // Should it panic, `done` is dropped, and whoever waits finds that out.
        let _ = self.guarded(|| {
            self.model.start(&self.backend, tensor, good, self.wanted, is_wanted, done);
            Ok(())
        });
    }

    /// Decoders and backends are other people's code.
    fn guarded<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| internal_err!("model '{}' panicked", self.model.name()))
    }

    /// What the model sees of the good ones.
    fn prepare_all(&self, images: &[Image], times: &ComputeTimes, is_cancelled: &dyn Fn() -> bool) -> Result<Prepared> {
        let size = self.vision.preprocess.len();
        let tensor = vec![0.0; images.len() * size];
        let mut prepared = Prepared { findings: Vec::with_capacity(images.len()), tensor, good: 0 };
        let timer = times.decode.timer();
        for image in images {
            if is_cancelled() {
                return internal_err!("nobody waits for these images");
            }
            let place = &mut prepared.tensor[prepared.good * size..][..size];
            let finding = self.prepare(*image, place).map(|()| prepared.good);
            let is_bad = finding.is_err();
            prepared.good += usize::from(!is_bad);
            prepared.findings.push(finding);
            if is_bad && self.stops_at_bad {
                // The query ends with this image.
                prepared.good = 0;
                break;
            }
        }
        timer.done();
        if is_cancelled() {
            return internal_err!("nobody waits for these images");
        }
        prepared.tensor.truncate(prepared.good * size);
        Ok(prepared)
    }

    /// Runs the model on this thread.
    fn finish(&self, Prepared { findings: images, tensor, good }: Prepared, times: &ComputeTimes) -> Result<Findings> {
        let timer = times.model.timer();
        let tensors = self.model.run(&self.backend, tensor, good, self.wanted, &self.workers)?;
        timer.done();
        Ok(Findings { images, tensors })
    }

    /// Decodes one image and writes what the model sees of it.
    fn prepare(&self, image: Image, out: &mut [f32]) -> std::result::Result<(), ImageError> {
        let preprocess = &self.vision.preprocess;
        let mut geometry = None;
        let mut fit = |width, height| preprocess.fit(geometry.insert(preprocess.geometry(width, height)));
        let pixels = decode_to_fit(image.encoded()?, self.max_pixels, &mut fit)?;
        if let Some(geometry) = geometry.filter(|geometry| !geometry.is_reasonable()) {
            let (width, height) = geometry.scaled;
            return Err(ImageError::Elongated { width, height });
        }
        let geometry = geometry.unwrap_or_else(|| preprocess.geometry(pixels.width, pixels.height));
        preprocess.apply(&pixels, &geometry, out);
        Ok(())
    }
}
