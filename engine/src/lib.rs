//! Ocelli looks at images in SQL: an embedded dataflow engine on Apache DataFusion, with operators that run ONNX models.
//!
//! ```
//! use ocelli::Ocelli;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
//! let ocelli = Ocelli::builder().build()?;
//! let photos = ocelli
//!     .sql("SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet' WHERE width > 300")
//!     .await?;
//! photos.show().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Ocelli`] is a session. Its [`sql`](Ocelli::sql) gives a DataFusion `DataFrame`.
//! - [`functions`] are the same functions for DataFrames.
//! - [`SparseMatMul`] multiplies DataFrames as sparse matrices; in SQL, a join and its SUM do.
//! - [`extend`] adds functions, options, rules and operators to a session that an application has already.
//! - [`explain`] makes one sentence of any error.
//! - [`OcelliOptions`] are what `SET ocelli.… = …` sets.

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod backend;
mod engine;
mod error;
mod files;
pub mod functions;
mod kernels;
mod location;
mod matrix_market;
mod model;
mod operators;
mod options;
mod progress;
mod rules;
mod session;
mod sparse_matmul;
mod sql;
mod system;
mod workers;

pub use backend::{BackendChoice, DeviceChoice, PrecisionChoice, gpus, onnx_runtime};
pub use error::{Error, explain};
pub use ocelli_udf::image::ImageError;
pub use options::{OcelliOptions, OnError};
pub use progress::Progress;
pub use session::{Ocelli, OcelliBuilder, extend};
pub use sparse_matmul::SparseMatMul;
pub use sql::{Semiring, Statement};
