//! [`find`]: ONNX Runtime that the build downloaded and linked in.

use std::ffi::CStr;

use super::library::Library;

/// It is always there, unless `OCELLI_ORT_LIB` is empty, which means that none is to be used.
pub(super) fn find() -> Result<Library, String> {
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
