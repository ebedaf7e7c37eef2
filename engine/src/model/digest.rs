//! [`digest`]: identifies a model across machines; [`ModelRef`] carries it in plans.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Activation, ImageTask};
use crate::backend::ModelBytes;

/// The hash state after the graph and the external weights, which are the expensive part of the digest.
pub(super) fn weights_hash(file: &ModelBytes) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(&*file.graph);
    for (name, bytes) in &file.external {
        hasher.update(name);
        hasher.update(bytes);
    }
    hasher
}

/// The SHA-256 digest in hexadecimal, after adding preprocessing, labels, embedding and activation to [`weights_hash`].
pub(super) fn digest(mut hasher: Sha256, image_task: Option<&ImageTask>) -> String {
    if let Some(image_task) = image_task {
        hasher.update(image_task.processor.config.to_string());
        image_task.labels.iter().for_each(|label| hasher.update(format!("{label}\n")));
        hasher.update(image_task.embedding.as_ref().map_or("", |embedding| &embedding.tensor));
        // Softmax, the most frequent activation, adds nothing.
        if image_task.activation != Activation::Softmax {
            hasher.update(format!("\n{}", image_task.activation));
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reference to a model in a plan. The digest detects a different model of the same name, on this machine or another.
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
