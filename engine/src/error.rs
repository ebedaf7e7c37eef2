//! [`Error`]: the errors of the engine; [`user_message`]: the message of any error of a query.

mod near_names;
mod user_message;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

pub(crate) use near_names::{is_near, nearest};
use ocelli_udf::image::ImageError;
pub use user_message::user_message;

/// The extensions of files that are read as tables, for messages.
pub(crate) const TABLE_EXTENSIONS: &str = ".parquet, .csv, .tsv, .json, .jsonl or .ndjson (newline-delimited), .arrow or .mtx; text may be compressed, as .csv.gz";

/// An error that the caller can correct; one variant per kind of mistake.
///
/// DataFusion carries it inside [`DataFusionError::External`]; [`Error::find`] retrieves it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that a query reads as a table does not exist.
    #[error("file '{path}' does not exist{hint}")]
    FileNotFound {
        /// As written in the query.
        path: String,
        /// The working directory, after a semicolon; empty for an absolute path.
        hint: String,
    },

    /// A file exists but cannot be read as a table.
    #[error("file '{path}' cannot be read as a table: {reason}")]
    UnreadableTable {
        /// As written in the query.
        path: String,
        /// The cause.
        reason: String,
    },

    /// A file cannot be written; what was there before is unchanged.
    #[error("file '{path}' cannot be written: {reason}")]
    UnwritableFile {
        /// The path, or the URI.
        path: String,
        /// The cause.
        reason: String,
    },

    /// A file format has no representation for the type of a column.
    #[error("column '{column}' of type {data_type} cannot be written to a {format} file; {hint}")]
    UnwritableColumn {
        /// The name of the column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// `"CSV"`.
        format: &'static str,
        /// What can be written instead.
        hint: &'static str,
    },

    /// The model named in a call or by `ocelli.model` is not registered.
    #[error("model '{name}' does not exist; known models: {known}")]
    ModelNotFound {
        /// As written in the query.
        name: String,
        /// The registered names, separated by commas.
        known: String,
    },

    /// A model's files cannot be used.
    #[error("model '{model}' cannot be used: {reason}")]
    Model {
        /// The name of the model.
        model: String,
        /// The cause.
        reason: String,
    },

    /// The files at a location cannot be loaded as a model.
    #[error("model '{model}' cannot be created from '{location}': {reason}")]
    CreateModel {
        /// The name in the statement.
        model: String,
        /// As written in the statement.
        location: String,
        /// The cause.
        reason: String,
    },

    /// `CREATE MODEL` names a model that exists.
    #[error(
        "model '{name}' already exists; use CREATE OR REPLACE MODEL to replace it, or CREATE MODEL IF NOT EXISTS to keep it"
    )]
    ModelAlreadyExists {
        /// As written in the statement.
        name: String,
    },

    /// `DROP MODEL` or `CREATE OR REPLACE MODEL` names the built-in model.
    #[error("model '{name}' is built in and cannot be replaced or dropped")]
    BuiltinModel {
        /// The name of the model.
        name: &'static str,
    },

    /// The backend failed while running a model.
    #[error("backend {backend} failed on model '{model}': {reason}")]
    Backend {
        /// `"rten"`.
        backend: &'static str,
        /// The name of the model.
        model: String,
        /// The message of the backend.
        reason: String,
    },

    /// A function was called on a type that cannot hold images.
    #[error("{function} takes an encoded image (Binary, LargeBinary or BinaryView) or its URI (string), got {actual}")]
    UnsupportedImageType {
        /// The name of the function.
        function: String,
        /// The type of the argument.
        actual: DataType,
    },

    /// A function was called with invalid arguments.
    #[error("wrong arguments for {syntax}: {problem}")]
    InvalidArguments {
        /// The syntax of the function.
        syntax: &'static str,
        /// The problem.
        problem: String,
    },

    /// An expression outside a session was evaluated on URIs.
    #[error("{function} cannot read images by URI here: the expression is evaluated outside an Ocelli session")]
    UriOutsideSession {
        /// The name of the function.
        function: &'static str,
    },

    /// The columns given to `predict` do not match the inputs of the model.
    #[error("predict by model '{model}': {problem}")]
    InvalidPredictInput {
        /// The name of the model.
        model: String,
        /// The mismatch.
        problem: String,
    },

    /// A call is in a position that cannot be planned.
    #[error("{function} cannot be used here: {reason}")]
    UnsupportedCallSite {
        /// The name of the function.
        function: &'static str,
        /// The position, and an alternative.
        reason: &'static str,
    },

    /// A sparse product exceeds the range of 32-bit ids.
    #[error(
        "a sparse product supports at most 4,294,967,294 {what}; use SET ocelli.sparse_matmul = false to run the join"
    )]
    SparseIndexOverflow {
        /// Keys, groups or rows.
        what: &'static str,
    },

    /// An unknown semiring.
    #[error(
        "unknown semiring '{name}'; expected {{plus|min|max}}_{{times|plus|div|min|max|first|second|pair}} and \
         {{or|and}}_{{and|or|first|second}}, as in 'min_plus'"
    )]
    UnknownSemiring {
        /// As given by the caller.
        name: String,
    },

    /// An image cannot be decoded.
    #[error("cannot decode image {image}: {source}; use try_{function} or SET ocelli.on_error = 'null' to return NULL")]
    InvalidImage {
        /// `'photos/cat.jpg'`, or `in row 3 …`.
        image: String,
        /// The name of the function that was called.
        function: &'static str,
        /// The reason of the decoder.
        source: ImageError,
    },

    /// More images cannot be decoded than `ocelli.max_error_ratio` allows.
    #[error(
        "{failed} of {images} images cannot be decoded, more than ocelli.max_error_ratio = {max_ratio} allows; the first are {first}"
    )]
    ErrorRatioExceeded {
        /// Images that cannot be decoded.
        failed: usize,
        /// Images that were read until then.
        images: usize,
        /// The limit.
        max_ratio: f64,
        /// The first of them with their reasons.
        first: String,
    },

    /// A single image needs more memory than the limit leaves.
    #[error(
        "not enough memory for image {image}: decoding and preprocessing it needs {needed}, and the memory limit{limit} leaves less; raise the limit (--memory-limit, OcelliBuilder::with_memory_limit)"
    )]
    ImageExceedsMemoryLimit {
        /// `'photos/cat.jpg'`, or `in row 3 …`.
        image: String,
        /// The size, with its unit.
        needed: String,
        /// The limit, after ` of `; empty if it is unknown.
        limit: String,
    },
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl Error {
    /// The engine error inside a DataFusion error, if there is one.
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
