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

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::prelude::lit;
use datafusion::scalar::ScalarValue;

pub use ocelli_udf::expr_fn::*;

use super::context::InferContext;
use super::function::InferFunction;
use super::predict::Predict;
use super::udf::InferUdf;

/// Every function of a new Ocelli session that DataFusion does not have, those of [`ocelli_udf`] last.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    INFER.iter().cloned().chain(ocelli_udf::all()).collect()
}

/// [`all`], with the models of a session.
pub(crate) fn of(engine: &InferContext, model: &str) -> Vec<Arc<ScalarUDF>> {
    let udf = |function| Arc::new(InferUdf::new(function, engine.clone(), model).into());
    let predict = Arc::new(Predict::new(engine.clone()).into());
    InferFunction::ALL.into_iter().map(udf).chain([predict]).chain(ocelli_udf::all()).collect()
}

/// Those that expressions are made of, before there is a session: a session takes its own models for them.
static INFER: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    // The tests of the bundled model read the same files; a broken one would leave these functions out.
    let Ok(engine) = InferContext::with_builtin_model(1) else { return Vec::new() };
    let udf = |function| Arc::new(InferUdf::sessionless(function, engine.clone()).into());
    let predict = Arc::new(Predict::new(engine.clone()).into());
    InferFunction::ALL.into_iter().map(udf).chain([predict]).collect()
});

fn call(function: InferFunction, arguments: Vec<Expr>) -> Expr {
    let udf = INFER.iter().find(|udf| InferFunction::of(udf) == Some(function));
    udf.expect("the bundled model can be read").call(arguments)
}

/// The label of the session's model (`ocelli.model`) for an encoded image; an image that cannot be decoded fails the query.
pub fn classify(image: Expr) -> Expr {
    call(InferFunction::Classify, vec![image])
}

/// [`classify`] by the model of that name.
pub fn classify_with(image: Expr, model: &str) -> Expr {
    call(InferFunction::Classify, vec![image, lit(model)])
}

/// [`classify`], with what is wrong with a bad image as data: `STRUCT<value, error>`.
pub fn classify_with_error(image: Expr) -> Expr {
    call(InferFunction::Classify, vec![image, lit(ScalarValue::Utf8(None)), lit("struct")])
}

/// The best `k` labels with their probabilities, the best first: `LIST<STRUCT<label, score>>`.
pub fn classify_topk(image: Expr, k: usize) -> Expr {
    call(InferFunction::ClassifyTopk, vec![image, lit(i64::try_from(k).unwrap_or(i64::MAX))])
}

/// The vector before the last layer of the session's model.
pub fn embed(image: Expr) -> Expr {
    call(InferFunction::Embed, vec![image])
}

/// [`classify`], NULL for an image that cannot be decoded.
pub fn try_classify(image: Expr) -> Expr {
    call(InferFunction::TryClassify, vec![image])
}

/// [`try_classify`] by the model of that name.
pub fn try_classify_with(image: Expr, model: &str) -> Expr {
    call(InferFunction::TryClassify, vec![image, lit(model)])
}

/// [`classify_topk`], NULL for an image that cannot be decoded.
pub fn try_classify_topk(image: Expr, k: usize) -> Expr {
    call(InferFunction::TryClassifyTopk, vec![image, lit(i64::try_from(k).unwrap_or(i64::MAX))])
}

/// [`embed`], NULL for an image that cannot be decoded.
pub fn try_embed(image: Expr) -> Expr {
    call(InferFunction::TryEmbed, vec![image])
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
