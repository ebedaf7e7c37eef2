//! [`Error`]: why the engine refused; [`explain`]: any DataFusion error as one sentence.

mod explain;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

pub use explain::explain;
use ocelli_udf::image::ImageError;

/// Why the engine refused. One variant for each thing that the caller can change.
///
/// It travels through DataFusion inside [`DataFusionError::External`]; [`Error::find`] gets it back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that a query reads as a table is not there.
    #[error("file '{path}' does not exist{hint}")]
    NoFile {
        /// As the query has it.
        path: String,
        /// Where relative paths start, after a semicolon; empty for an absolute one.
        hint: String,
    },

    /// A file is there but is no table.
    #[error("file '{path}' cannot be read as a table: {reason}")]
    NotATable {
        /// As the query has it.
        path: String,
        /// One sentence.
        reason: String,
    },

    /// The model named in a call or by `ocelli.model` is not registered.
    #[error("model '{name}' does not exist; known models: {known}")]
    UnknownModel {
        /// As the query has it.
        name: String,
        /// The registered names, for a sentence.
        known: String,
    },

    /// A model's files cannot be used.
    #[error("model '{model}' cannot be used: {reason}")]
    Model {
        /// Its name.
        model: String,
        /// One sentence.
        reason: String,
    },

    /// A model cannot be made of what is at a location.
    #[error("model '{model}' cannot be created from '{location}': {reason}")]
    CreateModel {
        /// The name that it would have had.
        model: String,
        /// As the statement has it.
        location: String,
        /// One sentence.
        reason: String,
    },

    /// `CREATE MODEL` names one that there is.
    #[error("model '{name}' exists already; CREATE OR REPLACE MODEL replaces it, CREATE MODEL IF NOT EXISTS leaves it")]
    ModelExists {
        /// As the statement has it.
        name: String,
    },

    /// `DROP MODEL` names the one that is compiled in.
    #[error("model '{name}' is compiled in and stays")]
    BundledModel {
        /// The name of the model.
        name: &'static str,
    },

    /// The backend failed while it ran a model.
    #[error("backend {backend} failed on model '{model}': {reason}")]
    Backend {
        /// `"rten"`.
        backend: &'static str,
        /// The model's name.
        model: String,
        /// The backend's own words.
        reason: String,
    },

    /// `classify` was called on something that holds no images.
    #[error(
        "{function} takes an encoded image (Binary, LargeBinary or BinaryView) or the URI of one (text), got {actual}"
    )]
    ImageType {
        /// The function's name.
        function: String,
        /// The argument's type.
        actual: DataType,
    },

    /// A function was called with other arguments than it has.
    #[error("wrong arguments for {syntax}: {problem}")]
    Arguments {
        /// How the function is called.
        syntax: &'static str,
        /// What is wrong.
        problem: String,
    },

    /// An expression that belongs to no session was computed on URIs.
    #[error(
        "{function} cannot read the images of URIs here: the expression is computed outside of a session of Ocelli"
    )]
    UrisWithoutSession {
        /// The function's name.
        function: &'static str,
    },

    /// `predict` was called with other columns than its model takes.
    #[error("predict by model '{model}': {problem}")]
    Prediction {
        /// The model's name.
        model: String,
        /// What does not fit.
        problem: String,
    },

    /// A call stands where it cannot be planned.
    #[error("{function} cannot be used here: {reason}")]
    Misplaced {
        /// The function's name.
        function: &'static str,
        /// Where, and what would work.
        reason: &'static str,
    },

    /// A sparse product has more of something than 32 bits can number.
    #[error("a sparse product holds at most 4,294,967,294 {what}; SET ocelli.sparse_matmul = false runs the join")]
    SparseTooLarge {
        /// Keys, groups or rows.
        what: &'static str,
    },

    /// A product was asked for over a semiring that there is not.
    #[error(
        "semiring '{name}' is not known; known: {{plus|min|max}}_{{times|plus|div|min|max|first|second|pair}} and \
         {{or|and}}_{{and|or|first|second}}, as in 'min_plus'"
    )]
    UnknownSemiring {
        /// As the caller has it.
        name: String,
    },

    /// An image cannot be decoded.
    #[error("bad image {place}: {source}{limit}; try_{function}, or SET ocelli.on_error = 'null', gives NULL for it", limit = limit(source))]
    BadImage {
        /// `'photos/cat.jpg'`, or `in row 3`.
        place: String,
        /// The function that wanted it.
        function: &'static str,
        /// The decoder's reason.
        source: ImageError,
    },

    /// More images are bad than `ocelli.max_error_ratio` allows.
    #[error(
        "{failed} of {images} images are bad, more than ocelli.max_error_ratio = {max_ratio} allows; the first are {first}"
    )]
    TooManyBad {
        /// Bad images.
        failed: usize,
        /// All images that were looked at, or that there are.
        images: usize,
        /// The limit.
        max_ratio: f64,
        /// Which, and why, for a sentence.
        first: String,
    },

    /// One image alone needs more memory than there is.
    #[error(
        "not enough memory for image {place}: it needs {needed} to be decoded and prepared, and the memory limit{limit} leaves less; raise it (--memory-limit, Ocelli::builder().memory_limit)"
    )]
    ImageMemory {
        /// `'photos/cat.jpg'`, or `in row 3`.
        place: String,
        /// A number of bytes, for a sentence.
        needed: String,
        /// The limit, after ` of `; empty when it is not known.
        limit: String,
    },
}

/// Which option is in the way of a large image.
fn limit(error: &ImageError) -> &'static str {
    match error {
        ImageError::TooLarge { .. } => " (ocelli.max_image_pixels)",
        _ => "",
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl Error {
    /// The engine's error inside a DataFusion error, if there is one.
    pub fn find(error: &DataFusionError) -> Option<&Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
