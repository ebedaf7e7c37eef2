//! [`library`]: where ONNX Runtime is on this machine.

#[cfg(not(feature = "dynamic-ort"))]
use std::ffi::CStr;
use std::fmt;
use std::sync::OnceLock;

use ort::environment::Environment;

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

/// ONNX Runtime that the build linked in.
///
/// It is always there, unless `OCELLI_ORT_LIB` is empty, which means that none is to be used.
#[cfg(not(feature = "dynamic-ort"))]
fn find() -> Result<Library, String> {
    if std::env::var_os("OCELLI_ORT_LIB").is_some_and(|path| path.is_empty()) {
        return Err("OCELLI_ORT_LIB is empty: ONNX Runtime is not used".to_owned());
    }
    let environment = ort::init().with_name("ocelli").with_telemetry(false).build();
    let environment = environment.map_err(|error| error.message().to_owned())?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    // SAFETY: the function is linked in; the text that it leads to is a constant of ONNX Runtime.
    let version = unsafe { CStr::from_ptr(((*ort::sys::OrtGetApiBase()).GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();
    Ok(Library { environment, version, place: "in this program".to_owned() })
}
