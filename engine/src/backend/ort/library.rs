//! [`Library`]: the loaded ONNX Runtime library.

#[cfg(not(feature = "dynamic-ort"))]
use std::ffi::CStr;
use std::fmt;

use ort::environment::Environment;

/// The ONNX Runtime library; there is one per process.
pub(crate) struct Library {
    pub(crate) environment: Environment,
    /// The version, such as `1.31.1`.
    pub(crate) version: String,
    /// The path, and how it was found.
    pub(crate) origin: String,
}

/// `ONNX Runtime 1.31.1 was found: /usr/lib/libonnxruntime.so (on the loader's path)`
impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime {} was found: {}", self.version, self.origin)
    }
}

/// The ONNX Runtime that is linked in at build time, unless `OCELLI_ORT_LIB` is empty.
#[cfg(not(feature = "dynamic-ort"))]
pub(super) fn find() -> Result<Library, String> {
    if std::env::var_os("OCELLI_ORT_LIB").is_some_and(|path| path.is_empty()) {
        return Err("OCELLI_ORT_LIB is empty: ONNX Runtime is not used".to_owned());
    }
    let environment = ort::init().with_name("ocelli").with_telemetry(false).build();
    let environment = environment.map_err(|error| error.message().to_owned())?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    // SAFETY: the function is linked in; the string it returns is a constant of ONNX Runtime.
    let version = unsafe { CStr::from_ptr(((*ort::sys::OrtGetApiBase()).GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();
    Ok(Library { environment, version, origin: "linked into this program".to_owned() })
}
