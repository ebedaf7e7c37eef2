//! [`digest`]: what identifies a model on every machine, and [`ModelRef`], which carries it in a plan.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Vision;
use crate::backend::GraphFile;

/// The part of the digest that is a while in the making.
pub(super) fn weights_hash(file: &GraphFile) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(&*file.graph);
    for (name, bytes) in &file.external {
        hasher.update(name);
        hasher.update(bytes);
    }
    hasher
}

/// All of it, in hexadecimal.
pub(super) fn digest(mut hasher: Sha256, vision: Option<&Vision>) -> String {
    if let Some(vision) = vision {
        hasher.update(vision.preprocess.recipe.to_string());
        vision.labels.iter().for_each(|label| hasher.update(format!("{label}\n")));
        hasher.update(vision.embedding.as_ref().map_or("", |embedding| &embedding.tensor));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
