//! [`Model`]: an ONNX model with its task, digest and the backend that runs it.

mod activation;
pub(crate) mod builtin;
mod config_json;
mod create;
mod describe;
mod digest;
mod folder;
mod image_task;
mod json;
mod loaded;
mod options;
mod preprocess;
mod registry;
pub(crate) mod statements;
mod system_table;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::backend::{BackendSelection, Bytes, CancelCheck, DeviceQueue, ModelBackendOptions, ModelBytes, OutputRef};
use crate::error::Error;
use crate::onnx::GraphInfo;
use crate::options::BackendPreferences;
use crate::runtime::WorkerPool;

pub(crate) use activation::Activation;
pub(crate) use digest::ModelRef;
use digest::{digest, weights_hash};
pub(crate) use image_task::{Embedding, ImageTask};
pub(crate) use loaded::LoadedModel;
pub(crate) use options::ModelOptions;
pub(crate) use preprocess::ImageProcessor;
pub(crate) use registry::ModelRegistry;
pub(crate) use system_table::{SYSTEM_SCHEMA, SystemSchemaProvider};

/// A model: a graph and, for image models, its preprocessing and labels.
///
/// The built-in model is loaded by the first query that runs it, once per session. Other models are loaded and validated when they are
/// created.
pub(crate) struct Model {
    name: String,
    /// The location of its files, as given to CREATE MODEL.
    location: String,
    /// The built-in ONNX file; empty for other models, which are loaded on creation.
    file: &'static [u8],
    /// The image task, or the reason why it has none.
    image_task: Result<Arc<ImageTask>, String>,
    digest: OnceLock<String>,
    /// The backend it was created on; `None` for the built-in model, where the session decides.
    selection: Option<BackendSelection>,
    loaded: [OnceLock<LoadedModel>; BackendSelection::CACHE_SLOTS],
    /// Serializes loading.
    loading: Mutex<()>,
    /// The parsed built-in graph, before it is loaded.
    parsed: OnceLock<Result<GraphInfo, String>>,
}

impl Model {
    /// The image task.
    ///
    /// # Errors
    /// When it is not an image model.
    pub(crate) fn image_task(&self) -> Result<&Arc<ImageTask>, Error> {
        self.image_task.as_ref().map_err(|reason| self.invalid(format!("it is not an image model: {reason}")))
    }

    /// The tensor that `embed` returns.
    ///
    /// # Errors
    /// When it is unknown.
    pub(crate) fn embedding(&self) -> Result<&Embedding, Error> {
        let reason = "its embedding tensor is unknown; set OPTIONS ('embedding' 'tensor')";
        self.image_task()?.embedding.as_ref().ok_or_else(|| self.invalid(reason.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The signature of the graph.
    ///
    /// # Errors
    /// When the file cannot be parsed.
    pub(crate) fn graph(&self) -> Result<&GraphInfo, Error> {
        if let Some(loaded) = self.loaded.iter().find_map(OnceLock::get) {
            return Ok(&loaded.graph);
        }
        // Cached, because planning calls this repeatedly.
        let parsed = self.parsed.get_or_init(|| GraphInfo::parse(self.file));
        parsed.as_ref().map_err(|reason| self.invalid(reason.clone()))
    }

    fn invalid(&self, reason: String) -> Error {
        Error::Model { model: self.name.clone(), reason }
    }

    /// SHA-256, in hexadecimal, of everything that determines the results: graph, weights, preprocessing, labels and
    /// activation.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let file = ModelBytes { graph: Bytes::Static(self.file), external: Vec::new() };
            digest(weights_hash(&file), self.image_task.as_deref().ok())
        })
    }

    /// The reference for plans.
    pub(crate) fn reference(&self) -> ModelRef {
        ModelRef { name: self.name.clone(), digest: self.digest().to_owned() }
    }

    /// The backend that runs it. `session` holds the preferences for models without their own.
    ///
    /// # Errors
    /// When a requested backend is not available.
    pub(crate) fn backend(&self, session: BackendPreferences) -> Result<BackendSelection, Error> {
        match &self.selection {
            Some(selection) => Ok(selection.clone()),
            None => self.select_backend(session).map_err(|reason| self.invalid(reason)),
        }
    }

    /// Selects the backend of the built-in model. A GPU that is only preferred has to load it first.
    fn select_backend(&self, session: BackendPreferences) -> Result<BackendSelection, String> {
        let options = ModelBackendOptions::default();
        let selection = options.select(session, false)?;
        match selection.gpu.as_ref().filter(|gpu| gpu.allows_fallback).and_then(|_| self.loaded(&selection).err()) {
            Some(reason) => options.select_cpu(session, Some(&reason)),
            None => Ok(selection),
        }
    }

    /// Whether the model is loaded.
    pub(crate) fn is_loaded(&self, backend: &BackendSelection) -> bool {
        self.loaded[backend.cache_slot()].get().is_some()
    }

    /// Loads the model once.
    ///
    /// Must not be called on a pool thread for the first time: a blocked rayon thread may run another job, which would wait for the same
    /// lock.
    ///
    /// # Errors
    /// When the backend cannot load the graph.
    pub(crate) fn load(&self, backend: &BackendSelection) -> Result<&LoadedModel, Error> {
        self.loaded(backend).map_err(|reason| self.invalid(reason))
    }

    /// Failures are retried by the next call: device memory may be free by then.
    fn loaded(&self, backend: &BackendSelection) -> Result<&LoadedModel, String> {
        let cell = &self.loaded[backend.cache_slot()];
        if let Some(loaded) = cell.get() {
            return Ok(loaded);
        }
        let _loading_guard = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.get().is_none() {
            let graph = GraphInfo::parse(self.file)?;
            let embedding = self.image_task.as_ref().ok().and_then(|image_task| image_task.embedding.as_ref());
            let extra_outputs = extra_outputs(&graph, embedding.map(|embedding| embedding.tensor.as_str()));
            let file = ModelBytes { graph: Bytes::Static(self.file), external: Vec::new() };
            let loaded = LoadedModel { backend: backend.load(file, &graph, &extra_outputs)?, graph };
            let _ = cell.set(loaded);
        }
        cell.get().ok_or_else(|| "it was not loaded".to_owned())
    }

    /// Runs preprocessed images; `tensor` has the shape `[images, …]`.
    ///
    /// # Errors
    /// When the model cannot be loaded or run, or the outputs do not match the number of labels or the length of the embedding.
    pub(crate) fn run(
        &self,
        backend: &BackendSelection,
        tensor: Vec<f32>,
        images: usize,
        requested: RequestedOutputs,
        workers: &WorkerPool,
    ) -> Result<ModelOutputs, Error> {
        if images == 0 {
            return Ok(ModelOutputs::default());
        }
        let image_task = self.image_task()?;
        let outputs = self.outputs(requested)?;
        let results = self.load(backend)?.run_images(image_task, tensor, images, &outputs, workers);
        self.check_outputs(backend, results, images, requested)
    }

    /// Runs preprocessed images asynchronously on the queue of a device; `done` is called with the outputs.
    pub(crate) fn run_async(
        self: &Arc<Self>,
        backend: &BackendSelection,
        tensor: Vec<f32>,
        images: usize,
        requested: RequestedOutputs,
        is_cancelled: CancelCheck,
        done: impl FnOnce(Result<ModelOutputs, Error>) + Send + 'static,
    ) {
        let prepare = || Ok::<_, Error>((self.image_task()?, self.outputs(requested)?, self.queue(backend)?));
        let (image_task, outputs, queue) = match prepare() {
            Ok((image_task, outputs, Some(queue))) => (image_task, outputs, queue),
            Ok(_) => return done(Err(self.invalid("its backend has no device queue".to_owned()))),
            Err(error) => return done(Err(error)),
        };
        let (model, selection) = (Arc::clone(self), backend.clone());
        let done = move |results| done(model.check_outputs(&selection, results, images, requested));
        queue.push(tensor, &image_task.processor.shape(images), &outputs, is_cancelled, Box::new(done));
    }

    /// The queue of the device, for backends that do not run on the worker pool.
    ///
    /// # Errors
    /// When the model cannot be loaded.
    pub(crate) fn queue(&self, backend: &BackendSelection) -> Result<Option<&dyn DeviceQueue>, Error> {
        Ok(self.load(backend)?.backend.queue())
    }

    fn outputs(&self, requested: RequestedOutputs) -> Result<Vec<OutputRef<'_>>, Error> {
        let mut outputs = Vec::new();
        if requested.scores {
            outputs.push(OutputRef::Index(0));
        }
        if requested.embedding {
            outputs.push(OutputRef::Name(&self.embedding()?.tensor));
        }
        Ok(outputs)
    }

    /// Checks that the outputs have one score per label, and the elements of the embedding, for each image.
    fn check_outputs(
        &self,
        backend: &BackendSelection,
        results: Result<Vec<Vec<f32>>, String>,
        images: usize,
        requested: RequestedOutputs,
    ) -> Result<ModelOutputs, Error> {
        let failed = |reason| Error::Backend { backend: backend.kind.name(), model: self.name.clone(), reason };
        let mut results = results.map_err(failed)?.into_iter();
        let mut model_outputs = ModelOutputs::default();
        let mut take_output = |length: usize, what: &str| {
            let result = results.next().unwrap_or_default();
            match result.len() == images * length {
                true => Ok(result),
                false => {
                    Err(failed(format!("expected {length} {what} per image, got {} for {images} images", result.len())))
                }
            }
        };
        if requested.scores {
            model_outputs.scores = take_output(self.image_task()?.labels.len(), "scores")?;
        }
        if requested.embedding {
            model_outputs.embeddings = take_output(self.embedding()?.length, "elements of the embedding")?;
        }
        Ok(model_outputs)
    }
}

/// The tensors to request in addition to the graph outputs: `tensor`, unless it is one of them.
fn extra_outputs(graph: &GraphInfo, tensor: Option<&str>) -> Vec<String> {
    tensor.filter(|name| graph.output(name).is_none()).map(str::to_owned).into_iter().collect()
}

/// The requested outputs of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestedOutputs {
    pub(crate) scores: bool,
    pub(crate) embedding: bool,
}

/// The outputs of a run. Outputs that were not requested are empty.
#[derive(Debug, Default)]
pub(crate) struct ModelOutputs {
    /// `[images, labels]`
    pub(crate) scores: Vec<f32>,
    /// `[images, length]`
    pub(crate) embeddings: Vec<f32>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}
