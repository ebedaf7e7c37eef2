//! [`Model`]: what a model is, from its files to the backend that runs it.

pub(crate) mod bundled;
mod folder;
mod preprocess;
mod registry;

use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::backend::{Backend, Output, Rten};
use crate::error::Error;
use crate::workers::Workers;

pub(crate) use preprocess::Preprocess;
pub(crate) use registry::Models;

/// An image classifier: its files, how they want a picture prepared, and what its outputs are called.
///
/// Cheap until it is needed: the graph is loaded by the first query that runs it, once for the whole session.
pub(crate) struct Model {
    name: String,
    /// An ONNX file that is compiled in; one that is not has been loaded already.
    graph: &'static [u8],
    pub(crate) preprocess: Preprocess,
    /// One name for each class, in the order of the model's scores.
    pub(crate) labels: Vec<String>,
    embedding: Option<Embedding>,
    digest: OnceLock<String>,
    backend: OnceLock<Result<Box<dyn Backend>, String>>,
}

impl Model {
    pub(crate) fn new(name: &str, graph: &'static [u8], preprocess: Preprocess, labels: Vec<String>) -> Self {
        let (digest, backend) = (OnceLock::new(), OnceLock::new());
        Self { name: name.to_owned(), graph, preprocess, labels, embedding: None, digest, backend }
    }

    /// With the tensor that `embed` gives.
    pub(crate) fn with_embedding(self, embedding: Embedding) -> Self {
        Self { embedding: Some(embedding), ..self }
    }

    /// What `embed` gives.
    ///
    /// # Errors
    /// When no such tensor is known.
    pub(crate) fn embedding(&self) -> Result<&Embedding, Error> {
        let reason = "it is not known which of its tensors is the embedding";
        self.embedding.as_ref().ok_or_else(|| Error::Model { model: self.name.clone(), reason: reason.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the graph in hexadecimal: the same weights have the same digest on every machine.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| hexadecimal_digest(self.graph))
    }

    /// What a plan says of the model.
    pub(crate) fn reference(&self) -> ModelRef {
        ModelRef { name: self.name.clone(), digest: self.digest().to_owned() }
    }

    /// The name of the backend that runs it, known before it is loaded.
    pub(crate) fn backend_name(&self) -> &'static str {
        Rten::NAME
    }

    /// Whether the graph has been loaded, or could not be.
    pub(crate) fn is_loaded(&self) -> bool {
        self.backend.get().is_some()
    }

    /// Loads the graph, unless that has been done.
    ///
    /// The first call takes a while and is not for a worker: one that waits here would take up the next job meanwhile, which
    /// would wait here too, for itself.
    ///
    /// # Errors
    /// When it is no graph that the backend can run.
    pub(crate) fn load(&self) -> Result<&dyn Backend, Error> {
        let loaded = self.backend.get_or_init(|| Rten::load(self.graph).map(|rten| Box::new(rten) as Box<dyn Backend>));
        match loaded {
            Ok(backend) => Ok(backend.as_ref()),
            Err(reason) => Err(Error::Model { model: self.name.clone(), reason: reason.clone() }),
        }
    }

    /// What is wanted of prepared images, `[images, 3, height, width]`, in one pass.
    ///
    /// # Errors
    /// When the graph cannot be loaded or run, or gives other numbers than one for each label, and so many for an embedding.
    pub(crate) fn run(
        &self,
        tensor: &[f32],
        images: usize,
        wanted: Wanted,
        workers: &Workers,
    ) -> Result<Tensors, Error> {
        let mut tensors = Tensors::default();
        if images == 0 {
            return Ok(tensors);
        }
        let shape = [images, 3, self.preprocess.height, self.preprocess.width];
        let failed = |reason| Error::Backend { backend: self.backend_name(), model: self.name.clone(), reason };
        let mut outputs = Vec::new();
        if wanted.scores {
            outputs.push((Output::First, self.labels.len(), "labels", &mut tensors.scores));
        }
        if wanted.embedding {
            let Embedding { tensor, length } = self.embedding()?;
            outputs.push((Output::Named(tensor), *length, "numbers in an embedding", &mut tensors.embeddings));
        }
        let names: Vec<Output> = outputs.iter().map(|(output, ..)| *output).collect();
        let results = self.load()?.run(tensor, shape, &names, workers).map_err(failed)?;
        for ((_, length, what, into), result) in outputs.into_iter().zip(results) {
            if result.len() != images * length {
                let reason = format!("it has {length} {what} and gave {} for {images} images", result.len());
                return Err(failed(reason));
            }
            *into = result;
        }
        Ok(tensors)
    }
}

/// SHA-256 in hexadecimal.
fn hexadecimal_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

/// The tensor before the last layer.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// Its name in the graph.
    pub(crate) tensor: String,
    /// Numbers an image.
    pub(crate) length: usize,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A model in a plan: enough to find it again, here or on another machine, and to refuse a different one of that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModelRef {
    pub(crate) name: String,
    pub(crate) digest: String,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
