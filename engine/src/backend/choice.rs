//! [`BackendOptions`]: what a user says about where models run, and what comes of it on this machine.

use std::fmt;

use super::kind::{Decided, GpuTarget, Kind};
use super::ort;

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
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Auto, "auto"),
        (Self::Gpu, Kind::Gpu.name()),
        (Self::Ort, Kind::Ort.name()),
        (Self::Rten, Kind::Rten.name()),
    ];

    /// # Errors
    /// The names that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        find(&Self::NAMES, name).ok_or_else(|| format!("backend must be 'auto', 'gpu', 'ort' or 'rten', got '{name}'"))
    }

    fn is_cpu(self) -> bool {
        matches!(self, Self::Ort | Self::Rten)
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

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BackendOptions {
    pub(crate) backend: Option<BackendChoice>,
    pub(crate) device: Option<DeviceChoice>,
    /// A part of a GPU's name.
    pub(crate) adapter: Option<String>,
    pub(crate) precision: Option<PrecisionChoice>,
}

/// Names a GPU where no option does, also one that computes on the CPU.
const ADAPTER: &str = "OCELLI_GPU_ADAPTER";

impl BackendOptions {
    /// The backend for it on this machine, and why it is that one; `session` is what a session says. A model's own options win
    /// over those.
    ///
    /// # Errors
    /// Why what was asked for is not there.
    pub(crate) fn decide(&self, session: (BackendChoice, DeviceChoice)) -> Result<Decided, String> {
        let (backend, device) = self.over(session);
        let named = (backend.is_cpu() && device == DeviceChoice::Gpu)
            || (backend, device) == (BackendChoice::Gpu, DeviceChoice::Cpu);
        if named {
            return Err(format!("backend '{backend}' does not run on device '{device}'; one of them is enough"));
        }
        let wants_gpu = backend == BackendChoice::Gpu || device == DeviceChoice::Gpu;
        if wants_gpu || (backend, device) == (BackendChoice::Auto, DeviceChoice::Auto) {
            match self.gpu(!wants_gpu) {
                Ok(decided) => return Ok(decided),
                Err(reason) if wants_gpu => return Err(reason),
                Err(reason) => return self.cpu(backend, Some(&reason)),
            }
        }
        if self.precision == Some(PrecisionChoice::F16) {
            return Err("precision 'f16' is for device 'gpu'".to_owned());
        }
        if let Some(adapter) = &self.adapter {
            return Err(format!("adapter '{adapter}' is for device 'gpu'"));
        }
        self.cpu(backend, None)
    }

    /// On the CPU, because no GPU does it.
    ///
    /// # Errors
    /// Why the backend that was named is not there.
    pub(crate) fn cpu(&self, backend: BackendChoice, no_gpu: Option<&str>) -> Result<Decided, String> {
        let decided = |kind, short: &str, why: &str| {
            let why = no_gpu.map_or_else(|| why.to_owned(), |reason| format!("{why}; not on a GPU: {reason}"));
            Ok(Decided { kind, short: short.to_owned(), why, gpu: None })
        };
        if backend == BackendChoice::Rten {
            return decided(Kind::Rten, "asked for", "it was asked for");
        }
        match (backend, ort::library()) {
            (_, Ok(library)) => decided(Kind::Ort, &library.version, &library.to_string()),
            (BackendChoice::Ort, Err(reason)) => Err(reason.clone()),
            (_, Err(reason)) => decided(Kind::Rten, "ONNX Runtime is not used", reason),
        }
    }

    /// The session's words where there are none of its own, or where those leave no other choice.
    fn over(&self, (backend, device): (BackendChoice, DeviceChoice)) -> (BackendChoice, DeviceChoice) {
        let backend = match (self.backend, self.device) {
            (Some(backend), _) => backend,
            (None, Some(DeviceChoice::Gpu)) if backend.is_cpu() => BackendChoice::Auto,
            (None, Some(DeviceChoice::Cpu)) if backend == BackendChoice::Gpu => BackendChoice::Auto,
            (None, _) => backend,
        };
        let device = match (self.backend, self.device) {
            (_, Some(device)) => device,
            (Some(backend), None) if backend.is_cpu() && device == DeviceChoice::Gpu => DeviceChoice::Auto,
            (Some(BackendChoice::Gpu), None) if device == DeviceChoice::Cpu => DeviceChoice::Auto,
            (_, None) => device,
        };
        (backend, device)
    }

    #[cfg(feature = "gpu")]
    fn gpu(&self, is_optional: bool) -> Result<Decided, String> {
        let variable = std::env::var(ADAPTER).ok().filter(|name| !name.is_empty());
        let name = self.adapter.as_deref().or(variable.as_deref());
        let adapter = super::gpu::find(name, is_optional)?;
        let precision = self.precision.unwrap_or_default();
        let bits = match precision {
            PrecisionChoice::F16 => ", f16",
            _ => "",
        };
        let short = format!("{}, {}{bits}", adapter.name, adapter.api);
        let why = match is_optional {
            true => format!("a GPU is there: {adapter}"),
            false => format!("it was asked for: {adapter}"),
        };
        let gpu = GpuTarget { name: adapter.name.clone(), precision, is_optional };
        Ok(Decided { kind: Kind::Gpu, short, why, gpu: Some(gpu) })
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu(&self, _: bool) -> Result<Decided, String> {
        Err(super::kind::NOT_BUILT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(options: BackendOptions, session: (BackendChoice, DeviceChoice)) -> String {
        options.decide(session).map_or_else(|error| error, |decided| decided.kind.name().to_owned())
    }

    #[test]
    fn a_models_own_words_win() {
        use BackendChoice::{Auto, Gpu, Rten};
        let rten = BackendOptions { backend: Some(Rten), ..BackendOptions::default() };
        assert_eq!(decided(rten.clone(), (Auto, DeviceChoice::Gpu)), "rten");
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        assert_eq!(decided(cpu.clone(), (Rten, DeviceChoice::Gpu)), "rten");
        assert_ne!(decided(cpu, (Gpu, DeviceChoice::Auto)), "gpu");
        let both = BackendOptions { device: Some(DeviceChoice::Gpu), ..rten };
        let error = "backend 'rten' does not run on device 'gpu'; one of them is enough";
        assert_eq!(decided(both, (Auto, DeviceChoice::Auto)), error);
    }

    #[test]
    fn what_is_for_a_gpu_is_not_for_the_cpu() {
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        let half = BackendOptions { precision: Some(PrecisionChoice::F16), ..cpu.clone() };
        let auto = (BackendChoice::Auto, DeviceChoice::Auto);
        assert_eq!(decided(half, auto), "precision 'f16' is for device 'gpu'");
        let named = BackendOptions { adapter: Some("card".to_owned()), ..cpu };
        assert_eq!(decided(named, auto), "adapter 'card' is for device 'gpu'");
    }
}
