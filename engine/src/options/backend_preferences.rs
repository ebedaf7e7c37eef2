//! [`BackendKind`]: the backends. [`BackendPreferences`]: the preferred backend, device and precision of a session.

use std::fmt;

/// The backends, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackendKind {
    /// Our own backend on wgpu.
    Gpu,
    /// ONNX Runtime, if its library is found.
    Ort,
    /// Pure Rust, always available.
    Rten,
}

impl BackendKind {
    /// The name in options, plans and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Ort => "ort",
            Self::Rten => "rten",
        }
    }
}

/// The backend requested by a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The GPU if present, otherwise ONNX Runtime if its library is found, otherwise rten.
    #[default]
    Auto,
    /// Our own backend on a GPU.
    Gpu,
    /// ONNX Runtime.
    Ort,
    /// rten, which is built in.
    Rten,
}

/// The device requested by a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// A hardware GPU that supports the model, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU.
    Gpu,
}

/// The precision on a GPU requested by a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PrecisionChoice {
    /// The precision of the weights in the file.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// 16-bit floats with 32-bit accumulation.
    F16,
}

impl BackendChoice {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Auto, "auto"),
        (Self::Gpu, BackendKind::Gpu.name()),
        (Self::Ort, BackendKind::Ort.name()),
        (Self::Rten, BackendKind::Rten.name()),
    ];

    /// # Errors
    /// A message that lists the valid names.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        from_name(&Self::NAMES, name)
            .ok_or_else(|| format!("backend must be 'auto', 'gpu', 'ort' or 'rten', got '{name}'"))
    }
}

impl DeviceChoice {
    const NAMES: [(Self, &'static str); 3] = [(Self::Auto, "auto"), (Self::Cpu, "cpu"), (Self::Gpu, "gpu")];

    /// # Errors
    /// A message that lists the valid names.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        from_name(&Self::NAMES, name).ok_or_else(|| format!("device must be 'auto', 'cpu' or 'gpu', got '{name}'"))
    }
}

impl PrecisionChoice {
    const NAMES: [(Self, &'static str); 3] = [(Self::Auto, "auto"), (Self::F32, "f32"), (Self::F16, "f16")];

    /// # Errors
    /// A message that lists the valid names.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        from_name(&Self::NAMES, name).ok_or_else(|| format!("precision must be 'auto', 'f32' or 'f16', got '{name}'"))
    }
}

fn from_name<T: Copy>(names: &[(T, &str)], name: &str) -> Option<T> {
    names.iter().find(|(_, candidate)| candidate.eq_ignore_ascii_case(name)).map(|(choice, _)| *choice)
}

fn write_name<T: PartialEq>(names: &[(T, &'static str)], choice: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(names.iter().find(|(candidate, _)| candidate == choice).map_or("", |(_, name)| name))
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&Self::NAMES, self, f)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&Self::NAMES, self, f)
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&Self::NAMES, self, f)
    }
}

/// The preferences of a session, for models that do not set their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BackendPreferences {
    pub(crate) backend: BackendChoice,
    pub(crate) device: DeviceChoice,
    pub(crate) precision: PrecisionChoice,
}
