//! Ocelli is an embedded query engine on Apache DataFusion, with operators that run ONNX image models and multiply sparse matrices.
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
//! - [`DataFrameSparseExt`] multiplies DataFrames as sparse matrices; in SQL, a join and its SUM do.
//! - [`extend`] adds functions, options, rules and operators to a session that an application has already.
//! - [`user_message`] formats any error as one sentence.
//! - [`OcelliOptions`] are what `SET ocelli.… = …` sets.

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod aggregate;
mod backend;
mod error;
mod infer;
mod model;
mod onnx;
mod options;
mod plan;
mod runtime;
mod session;
mod sparse;
mod sql;
mod storage;

pub use backend::{gpu_adapters, onnx_runtime_library};
pub use error::{Error, user_message};
pub use infer::functions;
pub use ocelli_udf::image::ImageError;
pub use options::{BackendChoice, DeviceChoice, OcelliOptions, OnError, PrecisionChoice, parse_size};
pub use session::{Ocelli, OcelliBuilder, Progress, Script, Statement, extend};
pub use sparse::{DataFrameSparseExt, Semiring, TABLE_FUNCTIONS, TableFunction};
