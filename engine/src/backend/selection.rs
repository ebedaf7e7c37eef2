//! [`BackendOptions`]: what a user says about where models run, and [`Decided`], what comes of it on this machine.

use super::api::{Backend, GraphFile};
#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::ort;
use super::ort::Ort;
use super::rten::Rten;
use crate::onnx::Graph;
use crate::options::{BackendChoice, BackendPreferences, DeviceChoice, PrecisionChoice};

/// Why there is no GPU in a build without it.
#[cfg(not(feature = "gpu"))]
pub(super) const NOT_BUILT: &str = "this build has no GPU (the feature 'gpu' is off)";

/// The backends that there are, in the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our own, on a GPU.
    Gpu,
    /// ONNX Runtime, when its library is found.
    Ort,
    /// Pure Rust, always there.
    Rten,
}

impl Kind {
    /// In plans, options and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Ort => "ort",
            Self::Rten => "rten",
        }
    }
}

/// The backend that was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) kind: Kind,
    /// Why, for a plan.
    pub(crate) short: String,
    /// Why, for a sentence.
    pub(crate) why: String,
    /// Where, when that is not the CPU.
    pub(crate) gpu: Option<GpuTarget>,
}

/// A GPU, and how to run there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuTarget {
    /// The adapter's name.
    pub(crate) name: String,
    /// Whether its numbers have 16 bits.
    pub(crate) is_half: bool,
    /// Whether the CPU does as well.
    pub(crate) is_optional: bool,
}

impl Decided {
    /// In how many ways a graph can be loaded.
    pub(crate) const COUNT: usize = 4;

    /// Which of them this is.
    pub(crate) fn number(&self) -> usize {
        match (self.kind, &self.gpu) {
            (Kind::Rten, _) => 0,
            (Kind::Ort, _) => 1,
            (Kind::Gpu, Some(GpuTarget { is_half: true, .. })) => 2,
            (Kind::Gpu, _) => 3,
        }
    }

    /// `cpu`, or the name of a GPU.
    pub(crate) fn device(&self) -> &str {
        self.gpu.as_ref().map_or("cpu", |gpu| &gpu.name)
    }

    /// Loads a graph, of which `extra` tensors will be asked for beside its outputs.
    ///
    /// # Errors
    /// The backend's own words.
    pub(crate) fn load(&self, file: GraphFile, graph: &Graph, extra: &[String]) -> Result<Box<dyn Backend>, String> {
        Ok(match (self.kind, &self.gpu) {
            #[cfg(feature = "gpu")]
            (Kind::Gpu, Some(target)) => Box::new(Gpu::load(&file, graph, target)?),
            #[cfg(not(feature = "gpu"))]
            (Kind::Gpu, _) => return Err(NOT_BUILT.to_owned()),
            #[cfg(feature = "gpu")]
            (Kind::Gpu, None) => return Err("it is not said which GPU".to_owned()),
            (Kind::Ort, _) => Box::new(Ort::load(file, graph, extra)?),
            (Kind::Rten, _) => Box::new(Rten::load(file, graph)?),
        })
    }
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
    pub(crate) fn decide(&self, session: BackendPreferences, is_half: bool) -> Result<Decided, String> {
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
    pub(crate) fn cpu(&self, session: BackendPreferences, no_gpu: Option<&str>) -> Result<Decided, String> {
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
    fn over(&self, session: BackendPreferences) -> (BackendChoice, DeviceChoice) {
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
    fn gpu(&self, session: BackendPreferences, is_half: bool, is_optional: bool) -> Result<Decided, String> {
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
    fn gpu(&self, _: BackendPreferences, _: bool, _: bool) -> Result<Decided, String> {
        Err(NOT_BUILT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(options: BackendOptions, session: BackendPreferences) -> String {
        options.decide(session, false).map_or_else(|error| error, |decided| decided.kind.name().to_owned())
    }

    #[test]
    fn a_models_own_words_win() {
        use BackendChoice::{Auto, Gpu, Rten};
        let session = |backend, device| BackendPreferences { backend, device, ..BackendPreferences::default() };
        let rten = BackendOptions { backend: Some(Rten), ..BackendOptions::default() };
        assert_eq!(decided(rten.clone(), session(Auto, DeviceChoice::Gpu)), "rten");
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        assert_eq!(decided(cpu.clone(), session(Rten, DeviceChoice::Gpu)), "rten");
        assert_ne!(decided(cpu, session(Gpu, DeviceChoice::Auto)), "gpu");
        let both = BackendOptions { device: Some(DeviceChoice::Gpu), ..rten };
        let error = "backend 'rten' does not run on device 'gpu'; one of them is enough";
        assert_eq!(decided(both, BackendPreferences::default()), error);
        let error = "backend 'gpu' does not run on device 'cpu'; one of them is enough";
        assert_eq!(decided(BackendOptions::default(), session(Gpu, DeviceChoice::Cpu)), error);
    }

    #[test]
    fn what_is_for_a_gpu_is_not_for_the_cpu() {
        let cpu = BackendOptions { device: Some(DeviceChoice::Cpu), ..BackendOptions::default() };
        let half = BackendOptions { precision: Some(PrecisionChoice::F16), ..cpu.clone() };
        assert_eq!(decided(half, BackendPreferences::default()), "precision 'f16' is for device 'gpu'");
        let named = BackendOptions { adapter: Some("card".to_owned()), ..cpu };
        assert_eq!(decided(named, BackendPreferences::default()), "adapter 'card' is for device 'gpu'");
    }
}
