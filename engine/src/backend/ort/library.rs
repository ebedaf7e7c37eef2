//! [`library`]: where ONNX Runtime is on this machine.

use std::fmt;
use std::sync::OnceLock;

use ort::environment::Environment;

#[cfg(not(feature = "dynamic-ort"))]
use super::bundled::find;
#[cfg(feature = "dynamic-ort")]
use super::dynamic::find;

/// ONNX Runtime, loaded. There is one in a process.
pub(crate) struct Library {
    pub(crate) environment: Environment,
    /// `1.31.1`
    pub(crate) version: String,
    /// The file, and what led to it.
    pub(crate) place: String,
}

/// Finds and loads the library, once for the whole process.
///
/// The error is why there is none, for a sentence.
pub(crate) fn library() -> &'static Result<Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(find)
}

/// `ONNX Runtime 1.31.1 was found: /usr/lib/libonnxruntime.so (on the loader's path)`
impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime {} was found: {}", self.version, self.place)
    }
}
