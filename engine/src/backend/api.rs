//! [`Backend`]: the trait of everything that runs a model, and the tensors that go in and out.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;

use crate::runtime::WorkerPool;

/// Runs one loaded model, from any thread, any number of times at once.
pub(crate) trait Backend: Send + Sync {
    /// The values of each of the outputs, in row-major order, in one pass.
    ///
    /// # Errors
    /// The backend's own words.
    fn run(&self, inputs: &[Input], outputs: &[Output], workers: &WorkerPool) -> Result<Vec<Tensor>, String>;

    /// Where pictures are handed in, when they are run elsewhere than on the workers.
    fn queue(&self) -> Option<&dyn Queue> {
        None
    }
}

/// Pictures that a device runs, from many jobs at once, while the workers prepare the next ones.
pub(crate) trait Queue {
    /// Hands in the numbers of some pictures, `[pictures, …]`; `done` is called with those of each output for them, on a thread
    /// of the device. Cancelled requests may be dropped, and `done` with them.
    fn push(&self, numbers: Vec<f32>, shape: &[usize], outputs: &[Output], is_cancelled: CancelCheck, done: Done);

    /// Pictures that keep the device busy: those that it runs, and those it has next.
    fn images(&self) -> usize;
}

/// Whether the results are no longer needed.
pub(crate) type CancelCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// What is called with results, or the backend's own words.
pub(crate) type Done = Box<dyn FnOnce(Result<Vec<Vec<f32>>, String>) + Send>;

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
