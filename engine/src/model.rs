//! [`Model`]: what a model is, from its files to the backend that runs it.

pub(crate) mod bundled;
mod preprocess;
mod registry;

use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::backend::{Backend, Rten};
use crate::error::Error;
use crate::workers::Workers;

pub(crate) use preprocess::Preprocess;
pub(crate) use registry::Models;

/// An image classifier: its files, how they want a picture prepared, and what its outputs are called.
///
/// Cheap until it is needed: the graph is loaded by the first query that runs it, once for the whole session.
pub(crate) struct Model {
    name: String,
    /// An ONNX file.
    graph: &'static [u8],
    pub(crate) preprocess: Preprocess,
    /// One name for each class, in the order of the model's scores.
    pub(crate) labels: Vec<String>,
    digest: OnceLock<String>,
    backend: OnceLock<Result<Box<dyn Backend>, String>>,
}

impl Model {
    pub(crate) fn new(name: &str, graph: &'static [u8], preprocess: Preprocess, labels: Vec<String>) -> Self {
        let (digest, backend) = (OnceLock::new(), OnceLock::new());
        Self { name: name.to_owned(), graph, preprocess, labels, digest, backend }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the graph in hexadecimal: the same weights have the same digest on every machine.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| Sha256::digest(self.graph).iter().map(|byte| format!("{byte:02x}")).collect())
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

    /// Class scores of prepared images: `[images, 3, height, width] -> [images, labels]`.
    ///
    /// # Errors
    /// When the graph cannot be loaded or run, or does not give one score for each label.
    pub(crate) fn scores(&self, tensor: &[f32], images: usize, workers: &Workers) -> Result<Vec<f32>, Error> {
        let shape = [images, 3, self.preprocess.height, self.preprocess.width];
        let failed = |reason| Error::Backend { backend: self.backend_name(), model: self.name.clone(), reason };
        let scores = self.load()?.run(tensor, shape, workers).map_err(failed)?;
        if scores.len() != images * self.labels.len() {
            let reason =
                format!("it has {} labels and gave {} scores for {images} images", self.labels.len(), scores.len());
            return Err(failed(reason));
        }
        Ok(scores)
    }
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
