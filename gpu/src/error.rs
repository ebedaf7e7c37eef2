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

    /// Buffers and shape do not fit together.
    #[error("{kernel} of shape {shape:?} takes {expected} values, got {actual}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// As it was given.
        shape: [usize; 3],
        /// What the shape says.
        expected: usize,
        /// What the buffer has.
        actual: usize,
    },

    /// A matrix has more rows or columns than the device counts.
    #[error("{kernel} takes sides of up to {limit} on this GPU, got {side}")]
    TooLong {
        /// The kernel.
        kernel: &'static str,
        /// The longest side.
        side: usize,
        /// The device's limit.
        limit: usize,
    },

    /// The device stopped working.
    #[error("the GPU was lost: {reason}")]
    Lost {
        /// The driver's words.
        reason: String,
    },
}
