//! [`Error`]: why the GPU refused.

/// Why the GPU refused. One variant for each thing that the caller can change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no adapter, or none of that name.
    #[error("no {wanted}; adapters: {found}")]
    NoAdapter {
        /// What was asked for, for a sentence.
        wanted: String,
        /// The adapters that there are, for a sentence.
        found: String,
    },

    /// The driver would not open the adapter.
    #[error("GPU '{adapter}' cannot be opened: {reason}")]
    Open {
        /// Its name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },

    /// The adapter lacks what was asked for.
    #[error("GPU '{adapter}' has no {feature}")]
    Missing {
        /// Its name.
        adapter: String,
        /// What it lacks, for a sentence.
        feature: String,
    },

    /// The graph has an operator that does not run here, or not so.
    #[error("operator {operator} ('{node}'): {reason}")]
    Unsupported {
        /// Its name, behind that of its domain where that is not ONNX's own.
        operator: String,
        /// Which one of them.
        node: String,
        /// Why.
        reason: String,
    },

    /// The graph does not hold together.
    #[error("{reason}")]
    Graph {
        /// What is wrong, for a sentence.
        reason: String,
    },

    /// A buffer is larger than the device allows.
    #[error("a buffer of {bytes} bytes is more than the GPU takes at once ({limit} bytes)")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The device's limit.
        limit: u64,
    },

    /// The device's memory is full.
    #[error("the GPU has no memory left for {bytes} bytes")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },

    /// The driver does not take a kernel: a mistake of ours, or of its own.
    #[error("the GPU's driver refuses a kernel ({kernel}): {reason}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// The driver's words.
        reason: String,
    },

    /// The device stopped working.
    #[error("the GPU was lost: {reason}")]
    Lost {
        /// The driver's words.
        reason: String,
    },
}

impl Error {
    /// Whether less at once may do.
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::OutOfMemory { .. })
    }
}
