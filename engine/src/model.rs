//! [`Model`]: what a model is, from its files to the backend that runs it.

pub(crate) mod builtin;
mod create;
mod describe;
mod digest;
mod folder;
mod loaded;
mod options;
mod preprocess;
mod registry;
pub(crate) mod statements;
mod system_table;
mod vision;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::backend::{BackendOptions, Bytes, CancelCheck, Decided, GraphFile, Output, Queue};
use crate::error::Error;
use crate::onnx::Graph;
use crate::options::BackendPreferences;
use crate::runtime::WorkerPool;

pub(crate) use digest::ModelRef;
use digest::{digest, weights_hash};
pub(crate) use loaded::Loaded;
pub(crate) use options::ModelOptions;
pub(crate) use preprocess::Preprocess;
pub(crate) use registry::Models;
pub(crate) use system_table::{SYSTEM_SCHEMA, SystemSchemaProvider};
pub(crate) use vision::{Embedding, Vision};

/// Numbers in a tensor that are no mistake of a file: a gigabyte.
pub(crate) const LARGEST_TENSOR: usize = 1 << 28;

/// A graph, how it wants a picture prepared if it looks at pictures, and what its outputs are called.
///
/// The bundled one is cheap until it is needed: the first query that runs it loads it, once for the whole session. Others are
/// loaded when they are made, which is when mistakes are found.
pub(crate) struct Model {
    name: String,
    /// Where its files are.
    location: String,
    /// An ONNX file that is compiled in; one that is not has been loaded already.
    file: &'static [u8],
    /// Why it is not for pictures otherwise.
    vision: Result<Arc<Vision>, String>,
    digest: OnceLock<String>,
    /// The backend that it has been loaded by, and why by that one; the session says when there is none.
    decided: Option<Decided>,
    loaded: [OnceLock<Loaded>; Decided::COUNT],
    /// Held while it is loaded.
    loading: Mutex<()>,
    /// Of a file that is compiled in, before it is loaded.
    parsed: OnceLock<Result<Graph, String>>,
}

impl Model {
    /// What its outputs say of pictures.
    ///
    /// # Errors
    /// When it does not look at pictures.
    pub(crate) fn vision(&self) -> Result<&Arc<Vision>, Error> {
        self.vision.as_ref().map_err(|reason| self.refused(format!("it does not look at pictures: {reason}")))
    }

    /// What `embed` gives.
    ///
    /// # Errors
    /// When no such tensor is known.
    pub(crate) fn embedding(&self) -> Result<&Embedding, Error> {
        let reason = "it is not known which of its tensors is the embedding; OPTIONS ('embedding' 'tensor') says it";
        self.vision()?.embedding.as_ref().ok_or_else(|| self.refused(reason.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// What the ONNX file says of itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn graph(&self) -> Result<&Graph, Error> {
        if let Some(loaded) = self.loaded.iter().find_map(OnceLock::get) {
            return Ok(&loaded.graph);
        }
        // Planning asks many times.
        let parsed = self.parsed.get_or_init(|| Graph::parse(self.file));
        parsed.as_ref().map_err(|reason| self.refused(reason.clone()))
    }

    fn refused(&self, reason: String) -> Error {
        Error::Model { model: self.name.clone(), reason }
    }

    /// SHA-256 in hexadecimal of all that decides about its results, weights, preprocessing and labels: the same on every
    /// machine.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let file = GraphFile { graph: Bytes::Static(self.file), external: Vec::new() };
            digest(weights_hash(&file), self.vision.as_deref().ok())
        })
    }

    /// What a plan says of the model.
    pub(crate) fn reference(&self) -> ModelRef {
        ModelRef { name: self.name.clone(), digest: self.digest().to_owned() }
    }

    /// The backend that runs it, and why that one; `session` is what the session wants where the model says nothing.
    ///
    /// # Errors
    /// When the backend that was named is not there.
    pub(crate) fn backend(&self, session: BackendPreferences) -> Result<Decided, Error> {
        match &self.decided {
            Some(decided) => Ok(decided.clone()),
            None => self.decide(session).map_err(|reason| self.refused(reason)),
        }
    }

    /// The same for a model that says nothing itself. A GPU that nobody asked for has to load it first.
    fn decide(&self, session: BackendPreferences) -> Result<Decided, String> {
        let options = BackendOptions::default();
        let decided = options.decide(session, false)?;
        match decided.gpu.as_ref().filter(|gpu| gpu.is_optional).and_then(|_| self.loaded(&decided).err()) {
            Some(reason) => options.cpu(session, Some(&reason)),
            None => Ok(decided),
        }
    }

    /// Whether the graph has been loaded.
    pub(crate) fn is_loaded(&self, backend: &Decided) -> bool {
        self.loaded[backend.number()].get().is_some()
    }

    /// Loads the graph, unless that has been done.
    ///
    /// The first call takes a while and is not for a worker: one that waits here would take up the next job meanwhile, which
    /// would wait here too, for itself.
    ///
    /// # Errors
    /// When it is no graph that the backend can run.
    pub(crate) fn load(&self, backend: &Decided) -> Result<&Loaded, Error> {
        self.loaded(backend).map_err(|reason| self.refused(reason))
    }

    /// What fails is tried again the next time: a card that is full now may not be later.
    fn loaded(&self, backend: &Decided) -> Result<&Loaded, String> {
        let cell = &self.loaded[backend.number()];
        if let Some(loaded) = cell.get() {
            return Ok(loaded);
        }
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.get().is_none() {
            let graph = Graph::parse(self.file)?;
            let embedding = self.vision.as_ref().ok().and_then(|vision| vision.embedding.as_ref());
            let extra = extra(&graph, embedding.map(|embedding| embedding.tensor.as_str()));
            let file = GraphFile { graph: Bytes::Static(self.file), external: Vec::new() };
            let loaded = Loaded { backend: backend.load(file, &graph, &extra)?, graph };
            let _ = cell.set(loaded);
        }
        cell.get().ok_or_else(|| "it was not loaded".to_owned())
    }

    /// What is wanted of prepared images in one pass; `tensor` holds the numbers of that many.
    ///
    /// # Errors
    /// When the graph cannot be loaded or run, or gives other numbers than one for each label, and so many for an embedding.
    pub(crate) fn run(
        &self,
        backend: &Decided,
        tensor: Vec<f32>,
        images: usize,
        wanted: Wanted,
        workers: &WorkerPool,
    ) -> Result<Tensors, Error> {
        if images == 0 {
            return Ok(Tensors::default());
        }
        let vision = self.vision()?;
        let outputs = self.outputs(wanted)?;
        let results = self.load(backend)?.run_images(vision, tensor, images, &outputs, workers);
        self.tensors(backend, results, images, wanted)
    }

    /// The same on a device that has a queue for images: `done` is called when it has come to these.
    pub(crate) fn start(
        self: &Arc<Self>,
        backend: &Decided,
        tensor: Vec<f32>,
        images: usize,
        wanted: Wanted,
        is_cancelled: CancelCheck,
        done: impl FnOnce(Result<Tensors, Error>) + Send + 'static,
    ) {
        let ready = || Ok::<_, Error>((self.vision()?, self.outputs(wanted)?, self.queue(backend)?));
        let (vision, outputs, queue) = match ready() {
            Ok((vision, outputs, Some(queue))) => (vision, outputs, queue),
            Ok(_) => return done(Err(self.refused("its backend has no queue".to_owned()))),
            Err(error) => return done(Err(error)),
        };
        let (model, decided) = (Arc::clone(self), backend.clone());
        let done = move |results| done(model.tensors(&decided, results, images, wanted));
        queue.push(tensor, &vision.preprocess.shape(images), &outputs, is_cancelled, Box::new(done));
    }

    /// Where the backend takes images in, if it runs them elsewhere than on the workers.
    ///
    /// # Errors
    /// When the graph cannot be loaded.
    pub(crate) fn queue(&self, backend: &Decided) -> Result<Option<&dyn Queue>, Error> {
        Ok(self.load(backend)?.backend.queue())
    }

    fn outputs(&self, wanted: Wanted) -> Result<Vec<Output<'_>>, Error> {
        let mut outputs = Vec::new();
        if wanted.scores {
            outputs.push(Output::Number(0));
        }
        if wanted.embedding {
            outputs.push(Output::Named(&self.embedding()?.tensor));
        }
        Ok(outputs)
    }

    /// What a backend gave for some images, when that is as much as it should be.
    fn tensors(
        &self,
        backend: &Decided,
        results: Result<Vec<Vec<f32>>, String>,
        images: usize,
        wanted: Wanted,
    ) -> Result<Tensors, Error> {
        let failed = |reason| Error::Backend { backend: backend.kind.name(), model: self.name.clone(), reason };
        let mut results = results.map_err(failed)?.into_iter();
        let mut tensors = Tensors::default();
        let mut next = |length: usize, what: &str| {
            let result = results.next().unwrap_or_default();
            match result.len() == images * length {
                true => Ok(result),
                false => Err(failed(format!("it has {length} {what} and gave {} for {images} images", result.len()))),
            }
        };
        if wanted.scores {
            tensors.scores = next(self.vision()?.labels.len(), "labels")?;
        }
        if wanted.embedding {
            tensors.embeddings = next(self.embedding()?.length, "numbers in an embedding")?;
        }
        Ok(tensors)
    }
}

/// A tensor that a backend is to keep for us, unless it is an output anyway.
fn extra(graph: &Graph, tensor: Option<&str>) -> Vec<String> {
    tensor.filter(|name| graph.output(name).is_none()).map(str::to_owned).into_iter().collect()
}

/// Which results of a pass are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) scores: bool,
    pub(crate) embedding: bool,
}

/// The results of a pass, empty where they were not wanted.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
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
