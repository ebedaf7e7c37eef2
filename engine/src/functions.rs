//! The functions that look at images, as DataFrame expressions.
//!
//! ```
//! use datafusion::prelude::*;
//! use ocelli::functions::{classify, image_width};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! # let photos = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/photos.parquet");
//! let ocelli = ocelli::Ocelli::builder().build()?;
//! let wide = ocelli
//!     .context()
//!     .read_parquet(photos, ParquetReadOptions::default())
//!     .await?
//!     .filter(image_width(col("image")).gt(lit(300)))?
//!     .select(vec![col("uri"), classify(col("image")).alias("label")])?;
//! assert!(wide.count().await? > 0);
//! # Ok(())
//! # }
//! ```

mod classify;

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::prelude::lit;

pub use ocelli_udf::expr_fn::{image_format, image_height, image_width};

pub(crate) use classify::InferFunction;

/// The functions that run a model, in the order of their names.
const INFER: [InferFunction; 2] = [InferFunction::Classify, InferFunction::TryClassify];

/// Every function of an Ocelli session that DataFusion does not have, those of [`ocelli_udf`] last.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    INFER.into_iter().map(InferFunction::udf).chain(ocelli_udf::all()).collect()
}

/// The label of the session's model (`ocelli.model`) for an encoded image; an image that cannot be decoded fails the query.
pub fn classify(image: Expr) -> Expr {
    InferFunction::Classify.udf().call(vec![image])
}

/// [`classify`] by the model of that name.
pub fn classify_with(image: Expr, model: &str) -> Expr {
    InferFunction::Classify.udf().call(vec![image, lit(model)])
}

/// [`classify`], NULL for an image that cannot be decoded.
pub fn try_classify(image: Expr) -> Expr {
    InferFunction::TryClassify.udf().call(vec![image])
}

/// [`try_classify`] by the model of that name.
pub fn try_classify_with(image: Expr, model: &str) -> Expr {
    InferFunction::TryClassify.udf().call(vec![image, lit(model)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_once_and_documented() {
        let all = all();
        let names: std::collections::BTreeSet<_> = all.iter().map(|function| function.name()).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
        for function in &all {
            assert!(function.documentation().is_some(), "{} has no documentation", function.name());
        }
    }
}
