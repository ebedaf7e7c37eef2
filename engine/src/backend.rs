//! [`Backend`]: something that runs a model. One file a backend.

mod ort;
mod rten;

use std::fmt;

use datafusion::arrow::array::ArrayRef;

use crate::model::Graph;
use crate::workers::Workers;

pub(crate) use ort::Ort;
pub(crate) use rten::Rten;

/// Runs one loaded model on the CPU's workers, from any thread, any number of times at once.
pub(crate) trait Backend: Send + Sync {
    /// The values of each of the outputs, in row-major order, in one pass.
    ///
    /// # Errors
    /// The backend's own words.
    fn run(&self, inputs: &[Input], outputs: &[Output], workers: &Workers) -> Result<Vec<Tensor>, String>;
}

/// A value for one of the graph's inputs, of the type that the graph wants.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
}

/// Numbers in row-major order. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: ArrayRef,
}

/// A tensor of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output<'a> {
    /// The graph's output of that number.
    Number(usize),
    /// Any tensor by its name.
    Named(&'a str),
}

/// The files of a graph.
#[derive(Debug, Clone)]
pub(crate) struct GraphFile {
    pub(crate) graph: Bytes,
    /// Weights in files beside it, by the names that the graph has for them.
    pub(crate) external: Vec<(String, Vec<u8>)>,
}

/// A file that is compiled in, or was read.
#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Static(&'static [u8]),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The backends that there are, in the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ONNX Runtime, when its library is found.
    Ort,
    /// Pure Rust, always there.
    Rten,
}

impl Kind {
    /// In plans, options and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ort => "ort",
            Self::Rten => "rten",
        }
    }

    /// Loads a graph, of which `extra` tensors will be asked for beside its outputs.
    ///
    /// # Errors
    /// The backend's own words.
    pub(crate) fn load(self, file: GraphFile, graph: &Graph, extra: &[String]) -> Result<Box<dyn Backend>, String> {
        Ok(match self {
            Self::Ort => Box::new(Ort::load(file, graph, extra)?),
            Self::Rten => Box::new(Rten::load(file, graph)?),
        })
    }
}

/// The library of ONNX Runtime that models run on: its version and where it is.
///
/// # Errors
/// Why there is none, for a sentence.
pub fn onnx_runtime() -> Result<String, String> {
    ort::library().as_ref().map(ToString::to_string).map_err(Clone::clone)
}

/// What a user says about the backend: `'auto'`, or the name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BackendChoice {
    /// ONNX Runtime when its library is found, else rten.
    #[default]
    Auto,
    /// ONNX Runtime.
    Ort,
    /// rten, which is compiled in.
    Rten,
}

impl BackendChoice {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::Auto, "auto"), (Self::Ort, Kind::Ort.name()), (Self::Rten, Kind::Rten.name())];

    /// # Errors
    /// The names that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.map(|(choice, _)| *choice).ok_or_else(|| format!("backend must be 'auto', 'ort' or 'rten', got '{name}'"))
    }

    /// The backend for it on this machine, and why it is that one.
    ///
    /// # Errors
    /// Why the one that was named is not there.
    pub(crate) fn decide(self) -> Result<Decided, String> {
        let decided = |kind, short: &str, why: String| Ok(Decided { kind, short: short.to_owned(), why });
        if self == Self::Rten {
            return decided(Kind::Rten, "asked for", "it was asked for".to_owned());
        }
        match (self, ort::library()) {
            (_, Ok(library)) => decided(Kind::Ort, &library.version, library.to_string()),
            (Self::Ort, Err(reason)) => Err(reason.clone()),
            (_, Err(reason)) => decided(Kind::Rten, "ONNX Runtime is not used", reason.clone()),
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
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(choice, _)| choice == self).map_or("", |(_, name)| name))
    }
}
