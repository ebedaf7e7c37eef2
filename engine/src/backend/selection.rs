//! [`ModelBackendOptions`]: the backend options of a model, and [`BackendSelection`], the backend selected for them on this machine.

use super::api::{Backend, GpuTarget, ModelBytes};
#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::ort;
use super::ort::Ort;
use super::rten::Rten;
use crate::onnx::GraphInfo;
use crate::options::{BackendChoice, BackendKind, BackendPreferences, DeviceChoice, PrecisionChoice};

/// The reason in builds without the GPU backend.
#[cfg(not(feature = "gpu"))]
pub(super) const GPU_NOT_BUILT: &str = "this build has no GPU backend (the feature 'gpu' is disabled)";

/// The selected backend.
#[derive(Debug, Clone)]
pub(crate) struct BackendSelection {
    pub(crate) kind: BackendKind,
    /// The reason in one phrase, for EXPLAIN.
    pub(crate) summary: String,
    /// The reason in full, for EXPLAIN VERBOSE and DESCRIBE MODEL.
    pub(crate) reason: String,
    /// The GPU, unless the model runs on the CPU.
    pub(crate) gpu: Option<GpuTarget>,
}

impl BackendSelection {
    /// The number of backends and precisions for which a loaded model is cached.
    pub(crate) const CACHE_SLOTS: usize = 4;

    /// The cache index of this backend and precision.
    pub(crate) fn cache_slot(&self) -> usize {
        match (self.kind, &self.gpu) {
            (BackendKind::Rten, _) => 0,
            (BackendKind::Ort, _) => 1,
            (BackendKind::Gpu, Some(GpuTarget { is_float16: true, .. })) => 2,
            (BackendKind::Gpu, _) => 3,
        }
    }

    /// `cpu`, or the name of the GPU.
    pub(crate) fn device(&self) -> &str {
        self.gpu.as_ref().map_or("cpu", |gpu| &gpu.name)
    }

    /// Loads a model. `extra_outputs` names tensors that will be requested in addition to the graph outputs.
    ///
    /// # Errors
    /// The message of the backend.
    pub(crate) fn load(
        &self,
        file: ModelBytes,
        graph: &GraphInfo,
        extra_outputs: &[String],
    ) -> Result<Box<dyn Backend>, String> {
        Ok(match (self.kind, &self.gpu) {
            #[cfg(feature = "gpu")]
            (BackendKind::Gpu, Some(target)) => Box::new(Gpu::load(&file, graph, target)?),
            #[cfg(not(feature = "gpu"))]
            (BackendKind::Gpu, _) => return Err(GPU_NOT_BUILT.to_owned()),
            #[cfg(feature = "gpu")]
            (BackendKind::Gpu, None) => return Err("no GPU is selected".to_owned()),
            (BackendKind::Ort, _) => Box::new(Ort::load(file, graph, extra_outputs)?),
            (BackendKind::Rten, _) => Box::new(Rten::load(file, graph)?),
        })
    }
}

/// The backend options of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ModelBackendOptions {
    pub(crate) backend: Option<BackendChoice>,
    pub(crate) device: Option<DeviceChoice>,
    /// A substring of the GPU's name.
    pub(crate) adapter: Option<String>,
    pub(crate) precision: Option<PrecisionChoice>,
}

/// The suffix of the summary of models that fell back to the CPU.
const NO_GPU_SUFFIX: &str = ", not on a GPU";

impl ModelBackendOptions {
    /// Selects the backend on this machine. The options of the model take precedence over those of the session. `is_float16` tells whether
    /// the weights of the model are float16.
    ///
    /// # Errors
    /// The reason why a requested backend or device is not available.
    pub(crate) fn select(&self, session: BackendPreferences, is_float16: bool) -> Result<BackendSelection, String> {
        let (backend, device) = self.merged_with(session);
        let unsupported = match backend {
            BackendChoice::Gpu => DeviceChoice::Cpu,
            _ => DeviceChoice::Gpu,
        };
        if backend != BackendChoice::Auto && device == unsupported {
            return Err(format!("backend '{backend}' does not run on device '{device}'; set only one of them"));
        }
        let is_auto = (backend, device) == (BackendChoice::Auto, DeviceChoice::Auto);
        // Naming an adapter requests the GPU.
        let is_gpu_requested =
            backend == BackendChoice::Gpu || device == DeviceChoice::Gpu || (is_auto && self.adapter.is_some());
        if is_gpu_requested || is_auto {
            return match self.select_gpu(session, is_float16, !is_gpu_requested) {
                Err(reason) if !is_gpu_requested => {
                    let selection = self.select_cpu(session, Some(&reason))?;
                    // Plans do not mention the GPU on machines without one.
                    let summary = selection.summary.trim_end_matches(NO_GPU_SUFFIX).to_owned();
                    let is_f16_requested = self.precision == Some(PrecisionChoice::F16);
                    Ok(if is_f16_requested { selection } else { BackendSelection { summary, ..selection } })
                }
                selection => selection,
            };
        }
        match (self.precision, &self.adapter) {
            (Some(PrecisionChoice::F16), _) => Err("precision 'f16' needs device 'gpu'".to_owned()),
            (_, Some(adapter)) => Err(format!("adapter '{adapter}' needs device 'gpu'")),
            _ => self.select_cpu(session, None),
        }
    }

    /// Selects a backend on the CPU; `no_gpu` is the reason why the GPU was rejected.
    ///
    /// # Errors
    /// The reason why a requested backend is not available.
    pub(crate) fn select_cpu(
        &self,
        session: BackendPreferences,
        no_gpu: Option<&str>,
    ) -> Result<BackendSelection, String> {
        let (backend, _) = self.merged_with(session);
        let selection = |kind, summary: &str, reason: &str| {
            let reason = no_gpu.map_or_else(|| reason.to_owned(), |gpu| format!("{reason}; not on a GPU: {gpu}"));
            let summary = format!("{summary}{}", no_gpu.map_or("", |_| NO_GPU_SUFFIX));
            Ok(BackendSelection { kind, summary, reason, gpu: None })
        };
        if backend == BackendChoice::Rten {
            return selection(BackendKind::Rten, "requested", "requested");
        }
        match (backend, ort::library()) {
            (_, Ok(library)) => selection(BackendKind::Ort, &library.version, &library.to_string()),
            (BackendChoice::Ort, Err(reason)) => Err(reason.clone()),
            (_, Err(reason)) => selection(BackendKind::Rten, "ONNX Runtime is not used", reason),
        }
    }

    /// Merges the model's options with the session's preferences. A preference that contradicts an option is ignored.
    fn merged_with(&self, session: BackendPreferences) -> (BackendChoice, DeviceChoice) {
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

    /// Selects an adapter and a precision. `allows_fallback` excludes software adapters.
    ///
    /// # Errors
    /// The reason why no adapter is suitable.
    #[cfg(feature = "gpu")]
    fn select_gpu(
        &self,
        session: BackendPreferences,
        is_float16: bool,
        allows_fallback: bool,
    ) -> Result<BackendSelection, String> {
        let adapter = super::gpu::select_adapter(self.adapter.as_deref(), allows_fallback)?;
        let precision = match self.precision.unwrap_or(session.precision) {
            PrecisionChoice::F16 if !adapter.has_f16 => {
                return Err(format!("GPU '{}' does not support 16-bit floats", adapter.name));
            }
            PrecisionChoice::Auto if is_float16 && adapter.has_f16 => PrecisionChoice::F16,
            PrecisionChoice::F16 => PrecisionChoice::F16,
            PrecisionChoice::Auto | PrecisionChoice::F32 => PrecisionChoice::F32,
        };
        let summary = format!("{}, {}, {precision}", adapter.name, adapter.api);
        let reason = match allows_fallback {
            true => format!("a hardware adapter is present: {adapter}; precision {precision}"),
            false => format!("requested: {adapter}; precision {precision}"),
        };
        let gpu =
            GpuTarget { name: adapter.name.clone(), is_float16: precision == PrecisionChoice::F16, allows_fallback };
        Ok(BackendSelection { kind: BackendKind::Gpu, summary, reason, gpu: Some(gpu) })
    }

    #[cfg(not(feature = "gpu"))]
    fn select_gpu(&self, _: BackendPreferences, _: bool, _: bool) -> Result<BackendSelection, String> {
        Err(GPU_NOT_BUILT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(options: ModelBackendOptions, session: BackendPreferences) -> String {
        options.select(session, false).map_or_else(|error| error, |selection| selection.kind.name().to_owned())
    }

    #[test]
    fn model_options_take_precedence() {
        use BackendChoice::{Auto, Gpu, Rten};
        let session = |backend, device| BackendPreferences { backend, device, ..BackendPreferences::default() };
        let rten = ModelBackendOptions { backend: Some(Rten), ..ModelBackendOptions::default() };
        assert_eq!(selection(rten.clone(), session(Auto, DeviceChoice::Gpu)), "rten");
        let cpu = ModelBackendOptions { device: Some(DeviceChoice::Cpu), ..ModelBackendOptions::default() };
        assert_eq!(selection(cpu.clone(), session(Rten, DeviceChoice::Gpu)), "rten");
        assert_ne!(selection(cpu, session(Gpu, DeviceChoice::Auto)), "gpu");
        let both = ModelBackendOptions { device: Some(DeviceChoice::Gpu), ..rten };
        let error = "backend 'rten' does not run on device 'gpu'; set only one of them";
        assert_eq!(selection(both, BackendPreferences::default()), error);
        let error = "backend 'gpu' does not run on device 'cpu'; set only one of them";
        assert_eq!(selection(ModelBackendOptions::default(), session(Gpu, DeviceChoice::Cpu)), error);
    }

    #[test]
    fn gpu_options_are_rejected_on_the_cpu() {
        let cpu = ModelBackendOptions { device: Some(DeviceChoice::Cpu), ..ModelBackendOptions::default() };
        let f16 = ModelBackendOptions { precision: Some(PrecisionChoice::F16), ..cpu.clone() };
        assert_eq!(selection(f16, BackendPreferences::default()), "precision 'f16' needs device 'gpu'");
        let named = ModelBackendOptions { adapter: Some("card".to_owned()), ..cpu };
        assert_eq!(selection(named, BackendPreferences::default()), "adapter 'card' needs device 'gpu'");
    }
}
