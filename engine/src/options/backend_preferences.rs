//! [`BackendPreferences`]: where a session wants models to run.

use std::fmt;

/// What a user says about the backend: `'auto'`, or the name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The GPU when there is one, ONNX Runtime when its library is found, else rten.
    #[default]
    Auto,
    /// Our own on a GPU.
    Gpu,
    /// ONNX Runtime.
    Ort,
    /// rten, which is compiled in.
    Rten,
}

/// What a user says about the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// A GPU when there is a real one that runs the model, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
    Gpu,
}

/// What a user says about the numbers of a model on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PrecisionChoice {
    /// As many bits as the weights in the file have.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits, sums in 32.
    F16,
}

impl BackendChoice {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::Auto, "auto"), (Self::Gpu, "gpu"), (Self::Ort, "ort"), (Self::Rten, "rten")];

    /// # Errors
    /// The names that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        find(&Self::NAMES, name).ok_or_else(|| format!("backend must be 'auto', 'gpu', 'ort' or 'rten', got '{name}'"))
    }
}

impl DeviceChoice {
    const NAMES: [(Self, &'static str); 3] = [(Self::Auto, "auto"), (Self::Cpu, "cpu"), (Self::Gpu, "gpu")];

    /// # Errors
    /// The names that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        find(&Self::NAMES, name).ok_or_else(|| format!("device must be 'auto', 'cpu' or 'gpu', got '{name}'"))
    }
}

impl PrecisionChoice {
    const NAMES: [(Self, &'static str); 3] = [(Self::Auto, "auto"), (Self::F32, "f32"), (Self::F16, "f16")];

    /// # Errors
    /// The names that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        find(&Self::NAMES, name).ok_or_else(|| format!("precision must be 'auto', 'f32' or 'f16', got '{name}'"))
    }
}

fn find<T: Copy>(names: &[(T, &str)], name: &str) -> Option<T> {
    names.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(choice, _)| *choice)
}

fn show<T: PartialEq>(names: &[(T, &'static str)], choice: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(names.iter().find(|(known, _)| known == choice).map_or("", |(_, name)| name))
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&Self::NAMES, self, f)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&Self::NAMES, self, f)
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&Self::NAMES, self, f)
    }
}

/// What a session says, for models that say nothing themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BackendPreferences {
    pub(crate) backend: BackendChoice,
    pub(crate) device: DeviceChoice,
    pub(crate) precision: PrecisionChoice,
}
