//! [`Error`]: why a graph, a run or a product fails on the GPU.

/// Why a graph, a run or a product fails. One variant for each cause that the caller can address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter matches.
    #[error("no {requested}; adapters: {available}")]
    NoAdapter {
        /// The requested adapter, as a noun phrase.
        requested: String,
        /// The available adapters, as a list for messages.
        available: String,
    },

    /// The driver cannot open the adapter.
    #[error("GPU '{adapter}' cannot be opened: {reason}")]
    Open {
        /// The adapter's name.
        adapter: String,
        /// The driver's message.
        reason: String,
    },

    /// The adapter lacks a required feature.
    #[error("GPU '{adapter}' has no {feature}")]
    MissingFeature {
        /// The adapter's name.
        adapter: String,
        /// The feature, as a noun phrase.
        feature: String,
    },

    /// The graph has an operator that is not supported, or not with these attributes, types or shapes.
    #[error("operator {operator} ('{node}'): {reason}")]
    Unsupported {
        /// The operator, with its domain unless that is ONNX's own.
        operator: String,
        /// The name of the node.
        node: String,
        /// Why it is not supported.
        reason: String,
    },

    /// The graph, its inputs or a matrix is invalid.
    #[error("{reason}")]
    Graph {
        /// The problem, as a sentence.
        reason: String,
    },

    /// A buffer exceeds the limit of the device or of the kernels.
    #[error("a buffer of {bytes} bytes exceeds the GPU's limit of {limit} bytes")]
    TooLarge {
        /// The requested size.
        bytes: u64,
        /// The largest possible size.
        limit: u64,
    },

    /// The device is out of memory.
    #[error("the GPU is out of memory: cannot allocate {bytes} bytes")]
    OutOfMemory {
        /// The requested size.
        bytes: u64,
    },

    /// The driver rejects a kernel, because of a bug in the kernel or in the driver.
    #[error("the GPU driver rejects kernel '{kernel}': {reason}")]
    Kernel {
        /// The kernel's name.
        kernel: String,
        /// The driver's message.
        reason: String,
    },

    /// The device is lost.
    #[error("the GPU device was lost: {reason}")]
    Lost {
        /// The driver's message.
        reason: String,
    },
}

impl Error {
    /// Whether the run may succeed with a smaller batch.
    pub fn is_memory_limit(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::OutOfMemory { .. })
    }
}
