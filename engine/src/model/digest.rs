//! [`digest`]: identifies a model across machines; [`ModelRef`] carries it in plans.

use std::fmt;

use sha2::{Digest, Sha256};

use super::ImageTask;
use crate::backend::ModelBytes;

/// The hash of the graph and the weights, which is the expensive part.
pub(super) fn weights_hash(file: &ModelBytes) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(&*file.graph);
    for (name, bytes) in &file.external {
        hasher.update(name);
        hasher.update(bytes);
    }
    hasher
}

/// The digest in hexadecimal, including preprocessing, labels and embedding.
pub(super) fn digest(mut hasher: Sha256, vision: Option<&ImageTask>) -> String {
    if let Some(vision) = vision {
        hasher.update(vision.processor.config.to_string());
        vision.labels.iter().for_each(|label| hasher.update(format!("{label}\n")));
        hasher.update(vision.embedding.as_ref().map_or("", |embedding| &embedding.tensor));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reference to a model in a plan: finds the model on this or another machine, and rejects a different one of the same name.
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
