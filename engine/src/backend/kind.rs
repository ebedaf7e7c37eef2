//! [`Kind`]: the backends that there are, and [`Decided`], the one that runs a model.

#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::ort::Ort;
use super::rten::Rten;
use super::{Backend, GraphFile};
use crate::model::Graph;

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
