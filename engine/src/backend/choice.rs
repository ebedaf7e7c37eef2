//! [`BackendOptions`]: what a user says about where models run, and what comes of it on this machine.

use std::fmt;

#[cfg(feature = "gpu")]
use super::kind::GpuTarget;
use super::kind::{Decided, Kind};
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
pub(crate) struct SessionBackend {
    pub(crate) backend: BackendChoice,
    pub(crate) device: DeviceChoice,
    pub(crate) precision: PrecisionChoice,
}

/// What a model says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BackendOptions {
    pub(crate) backend: Option<BackendChoice>,
    pub(crate) device: Option<DeviceChoice>,
    /// A part of a GPU's name.
    pub(crate) adapter: Option<String>,
    pub(crate) precision: Option<PrecisionChoice>,
}

/// In a plan, of a model that a GPU does not run.
const NOT_ON_A_GPU: &str = ", not on a GPU";

impl BackendOptions {
    /// The backend for it on this machine, and why it is that one. A model's own options win over those of the session.
    /// `is_half` says whether its weights have 16 bits.
    ///
    /// # Errors
    /// Why what was asked for is not there.
    pub(crate) fn decide(&self, session: SessionBackend, is_half: bool) -> Result<Decided, String> {
        let (backend, device) = self.over(session);
        let excluded = match backend {
            BackendChoice::Gpu => DeviceChoice::Cpu,
            _ => DeviceChoice::Gpu,
        };
        if backend != BackendChoice::Auto && device == excluded {
            return Err(format!("backend '{backend}' does not run on device '{device}'; one of them is enough"));
        }
        let is_auto = (backend, device) == (BackendChoice::Auto, DeviceChoice::Auto);
        // Who names an adapter means it.
        let wants_gpu =
            backend == BackendChoice::Gpu || device == DeviceChoice::Gpu || (is_auto && self.adapter.is_some());
        if wants_gpu || is_auto {
            return match self.gpu(session, is_half, !wants_gpu) {
                Err(reason) if !wants_gpu => {
                    let decided = self.cpu(session, Some(&reason))?;
                    // A machine without one is nothing to tell every plan.
                    let short = decided.short.trim_end_matches(NOT_ON_A_GPU).to_owned();
                    let is_asked = self.precision == Some(PrecisionChoice::F16);
                    Ok(if is_asked { decided } else { Decided { short, ..decided } })
                }
                decided => decided,
            };
        }
        match (self.precision, &self.adapter) {
            (Some(PrecisionChoice::F16), _) => Err("precision 'f16' is for device 'gpu'".to_owned()),
            (_, Some(adapter)) => Err(format!("adapter '{adapter}' is for device 'gpu'")),
            _ => self.cpu(session, None),
        }
    }

    /// On the CPU, for want of a GPU where that is the reason.
    ///
    /// # Errors
    /// Why the backend that was named is not there.
    pub(crate) fn cpu(&self, session: SessionBackend, no_gpu: Option<&str>) -> Result<Decided, String> {
        let (backend, _) = self.over(session);
        let decided = |kind, short: &str, why: &str| {
            let why = no_gpu.map_or_else(|| why.to_owned(), |reason| format!("{why}; not on a GPU: {reason}"));
            let short = format!("{short}{}", no_gpu.map_or("", |_| NOT_ON_A_GPU));
            Ok(Decided { kind, short, why, gpu: None })
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

    /// The session's words where there are none of its own, and where those leave another choice.
    fn over(&self, session: SessionBackend) -> (BackendChoice, DeviceChoice) {
        let is_cpu = |backend: BackendChoice| matches!(backend, BackendChoice::Ort | BackendChoice::Rten);
        let backend = self.backend.unwrap_or(match self.device {
            Some(DeviceChoice::Gpu) if is_cpu(session.backend) => BackendChoice::Auto,
            Some(DeviceChoice::Cpu) if session.backend == BackendChoice::Gpu => BackendChoice::Auto,
            _ => session.backend,
        });
        let device = self.device.unwrap_or(match self.backend {
            Some(backend) if is_cpu(backend) && session.device == DeviceChoice::Gpu => DeviceChoice::Auto,
            Some(BackendChoice::Gpu) if session.device == DeviceChoice::Cpu => DeviceChoice::Auto,
            _ => session.device,
        });
        (backend, device)
    }

    #[cfg(feature = "gpu")]
    fn gpu(&self, session: SessionBackend, is_half: bool, is_optional: bool) -> Result<Decided, String> {
        let adapter = super::gpu::find(self.adapter.as_deref(), is_optional)?;
        let precision = match self.precision.unwrap_or(session.precision) {
            PrecisionChoice::F16 if !adapter.has_f16 => {
                return Err(format!("GPU '{}' has no 16-bit floats", adapter.name));
            }
            PrecisionChoice::Auto if is_half && adapter.has_f16 => PrecisionChoice::F16,
            PrecisionChoice::F16 => PrecisionChoice::F16,
            PrecisionChoice::Auto | PrecisionChoice::F32 => PrecisionChoice::F32,
        };
        let short = format!("{}, {}, {precision}", adapter.name, adapter.api);
        let why = match is_optional {
            true => format!("a GPU is there: {adapter}; it computes in {precision}"),
            false => format!("it was asked for: {adapter}; it computes in {precision}"),
        };
        let gpu = GpuTarget { name: adapter.name.clone(), is_half: precision == PrecisionChoice::F16, is_optional };
        Ok(Decided { kind: Kind::Gpu, short, why, gpu: Some(gpu) })
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu(&self, _: SessionBackend, _: bool, _: bool) -> Result<Decided, String> {
        Err(super::kind::NOT_BUILT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(options: BackendOptions, session: SessionBackend) -> String {
        options.decide(session, false).map_or_else(|error| error, |decided| decided.kind.name().to_owned())
    }

    #[test]
    fn a_models_own_words_win() {
        use BackendChoice::{Auto, Gpu, Rten};
        let session = |backend, device| SessionBackend { backend, device, ..SessionBackend::default() };
        let rten = BackendOptions { backend: Some(Rten), ..BackendOptions::default() };
        assert_eq!(decided(rten.clone(), session(Auto, DeviceChoice::Gpu)), "rten");
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        assert_eq!(decided(cpu.clone(), session(Rten, DeviceChoice::Gpu)), "rten");
        assert_ne!(decided(cpu, session(Gpu, DeviceChoice::Auto)), "gpu");
        let both = BackendOptions { device: Some(DeviceChoice::Gpu), ..rten };
        let error = "backend 'rten' does not run on device 'gpu'; one of them is enough";
        assert_eq!(decided(both, SessionBackend::default()), error);
        let error = "backend 'gpu' does not run on device 'cpu'; one of them is enough";
        assert_eq!(decided(BackendOptions::default(), session(Gpu, DeviceChoice::Cpu)), error);
    }

    #[test]
    fn what_is_for_a_gpu_is_not_for_the_cpu() {
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        let half = BackendOptions { precision: Some(PrecisionChoice::F16), ..cpu.clone() };
        assert_eq!(decided(half, SessionBackend::default()), "precision 'f16' is for device 'gpu'");
        let named = BackendOptions { adapter: Some("card".to_owned()), ..cpu };
        assert_eq!(decided(named, SessionBackend::default()), "adapter 'card' is for device 'gpu'");
    }
}
