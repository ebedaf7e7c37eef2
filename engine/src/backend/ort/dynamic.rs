//! [`find`]: locates and loads the ONNX Runtime library at run time.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use super::library::Library;

/// Environment variables with the path of the library, in order of precedence. An empty value disables ONNX Runtime.
const VARIABLES: [&str; 2] = ["OCELLI_ORT_LIB", "ORT_DYLIB_PATH"];

/// The first usable library: from the environment variables, otherwise from the usual locations.
pub(super) fn find() -> Result<Library, String> {
    for variable in VARIABLES {
        match std::env::var_os(variable) {
            None => {}
            Some(path) if path.is_empty() => return Err(format!("{variable} is empty: ONNX Runtime is not used")),
            // No fallback from a library that was requested explicitly.
            Some(path) => return load(Path::new(&path), variable).map_err(|error| error.reason),
        }
    }
    let program_folder = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let candidates = program_folder
        .into_iter()
        .flat_map(|folder| libraries(&folder))
        .map(|path| (path, "next to the program"))
        .chain([(PathBuf::from(FILE), LOADER)])
        .chain(wheels().into_iter().map(|path| (path, "in the Python environment")));
    let mut reasons = Vec::new();
    for (path, origin) in candidates {
        match load(&path, origin) {
            Ok(library) => return Ok(library),
            // The search path of the loader often has no library.
            Err(LoadError { is_missing: true, .. }) if origin == LOADER => {}
            Err(LoadError { reason, .. }) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        let searched = "next to the program, on the loader's path or in the Python environment";
        reasons.push(format!("no library of ONNX Runtime was found (OCELLI_ORT_LIB, ORT_DYLIB_PATH, {searched})"));
    }
    Err(reasons.join("; "))
}

/// The search path of the dynamic loader.
const LOADER: &str = "on the loader's path";

/// The reason why a file cannot be loaded as the library.
struct LoadError {
    reason: String,
    /// Whether the file could not be opened.
    is_missing: bool,
}

/// Loads the library at `path`; `origin` tells in messages how it was found.
fn load(path: &Path, origin: &'static str) -> Result<Library, LoadError> {
    let invalid = |reason: String| {
        let reason = reason.trim_end_matches('.');
        let reason = format!("{} ({origin}) cannot be used as ONNX Runtime: {reason}", path.display());
        LoadError { reason, is_missing: false }
    };
    // An existing file takes precedence over the loader's search path.
    let full_path = if path.components().count() > 1 { std::path::absolute(path) } else { Ok(path.to_owned()) };
    let builder = ort::init_from(full_path.map_err(|error| invalid(error.to_string()))?);
    let builder = builder.map_err(|error| {
        let is_missing = matches!(error, ort::LoadDynamicError::Dlopen { .. });
        LoadError { is_missing, ..invalid(error.to_string()) }
    })?;
    let environment = builder.with_name("ocelli").with_telemetry(false).build();
    let environment = environment.map_err(|error| invalid(error.message().to_owned()))?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    let version = version(path).map_err(|error| invalid(error.to_string()))?;
    Ok(Library { environment, version, origin: format!("{} ({origin})", path.display()) })
}

/// The version of a loaded library, such as `1.31.1`.
fn version(path: &Path) -> Result<String, libloading::Error> {
    // SAFETY: the library has been loaded by `ort`, which has called this function with this signature; the string it returns is a
    // constant of the library.
    unsafe {
        let library = libloading::Library::new(path)?;
        let base: libloading::Symbol<unsafe extern "system" fn() -> *const ort::sys::OrtApiBase> =
            library.get(b"OrtGetApiBase")?;
        let version = CStr::from_ptr(((*base()).GetVersionString)()).to_string_lossy().into_owned();
        Ok(version)
    }
}

#[cfg(target_os = "windows")]
const FILE: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const FILE: &str = "libonnxruntime.dylib";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const FILE: &str = "libonnxruntime.so";

/// The library files in a folder, with or without a version in their names.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let stem = FILE.split('.').next().unwrap_or(FILE);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == FILE
            || name.strip_prefix(FILE).is_some_and(|version| version.starts_with('.'))
            || (FILE.ends_with("dylib") && name.starts_with(&format!("{stem}.")) && name.ends_with(".dylib"))
    };
    let mut found: Vec<PathBuf> = entries.filter(is_library).collect();
    found.sort();
    found
}

/// The libraries in the `onnxruntime` wheels of the active Python environments.
fn wheels() -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    // The resolved path of `bin/python3` is inside the environment.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let python = std::env::split_paths(&paths).map(|folder| folder.join("python3")).find(|path| path.is_file());
    let python = python.and_then(|python| Some(python.canonicalize().ok()?.parent()?.parent()?.to_owned()));
    let mut found = Vec::new();
    for environment in active.chain(python) {
        // The layout on Windows differs.
        let versions =
            std::fs::read_dir(environment.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut packages: Vec<PathBuf> = versions
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")))
            .flat_map(|path| [path.join("site-packages"), path.join("dist-packages")])
            .collect();
        packages.push(environment.join("Lib/site-packages"));
        found.extend(packages.iter().flat_map(|folder| libraries(&folder.join("onnxruntime/capi"))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioned_file_names_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in [FILE, &format!("{FILE}.1.31.1"), "libonnxruntime_providers_shared.so", "readme.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = libraries(folder.path());
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, [FILE, &format!("{FILE}.1.31.1")]);
        assert!(libraries(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn other_files_are_rejected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let Err(error) = load(file.path(), "OCELLI_ORT_LIB") else { panic!("an empty file is no library") };
        let error = error.reason;
        assert!(error.contains("(OCELLI_ORT_LIB) cannot be used as ONNX Runtime: "), "{error}");
    }
}
