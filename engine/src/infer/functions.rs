//! The functions of an Ocelli session as DataFrame expressions.
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

/// The functions that an Ocelli session adds to DataFusion's; those of [`ocelli_udf`] come last.
///
/// They can be used in expressions before a session exists; the session that runs a call resolves its model.
pub fn all_functions() -> Vec<Arc<ScalarUDF>> {
    UNBOUND_FUNCTIONS.iter().cloned().chain(ocelli_udf::all_functions()).collect()
}

/// [`all_functions`], bound to the models of a session. `model` is its `ocelli.model`.
pub(crate) fn session_functions(context: &InferContext, model: &str) -> Vec<Arc<ScalarUDF>> {
    let mut functions = model_functions(context, |function| InferUdf::new(function, context.clone(), model));
    functions.extend(ocelli_udf::all_functions());
    functions
}

/// The functions that run models, not bound to a session.
static UNBOUND_FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    // Cannot fail in a tested build: the unit tests read the same compiled-in files.
    let Ok(context) = InferContext::with_builtin_model(1) else { return Vec::new() };
    model_functions(&context, |function| InferUdf::unbound(function, context.clone()))
});

/// The functions that run models: one for each [`InferFunction`], built by `udf`, and `predict`.
fn model_functions(context: &InferContext, udf: impl Fn(InferFunction) -> InferUdf) -> Vec<Arc<ScalarUDF>> {
    let predict = Arc::new(Predict::new(context.clone()).into());
    InferFunction::ALL.into_iter().map(|function| Arc::new(udf(function).into())).chain([predict]).collect()
}

fn call(function: InferFunction, arguments: Vec<Expr>) -> Expr {
    let udf = UNBOUND_FUNCTIONS.iter().find(|udf| InferFunction::from_udf(udf) == Some(function));
    udf.expect("the built-in model can be read").call(arguments)
}

/// The top-1 label by the session's model (`ocelli.model`). An image that cannot be decoded fails the query.
pub fn classify(image: Expr) -> Expr {
    call(InferFunction::Classify, vec![image])
}

/// [`classify`] by the model with the name `model`.
pub fn classify_with_model(image: Expr, model: &str) -> Expr {
    call(InferFunction::Classify, vec![image, lit(model)])
}

/// [`classify`] with errors as data: `STRUCT<value, error>`. An image that cannot be decoded does not fail the query.
pub fn classify_or_error(image: Expr) -> Expr {
    call(InferFunction::Classify, vec![image, lit(ScalarValue::Utf8(None)), lit("struct")])
}

/// The labels with a score of at least `min_score`, in descending order: `LIST<STRUCT<label, score>>`.
pub fn classify_labels(image: Expr, min_score: f32) -> Expr {
    call(InferFunction::ClassifyLabels, vec![image, lit(min_score)])
}

/// The top-k labels with their scores in descending order: `LIST<STRUCT<label, score>>`.
pub fn classify_topk(image: Expr, k: usize) -> Expr {
    call(InferFunction::ClassifyTopk, vec![image, lit(i64::try_from(k).unwrap_or(i64::MAX))])
}

/// The embedding of an image: the input vector of the last layer of the session's model.
pub fn embed(image: Expr) -> Expr {
    call(InferFunction::Embed, vec![image])
}

/// [`classify`], but NULL for an image that cannot be decoded.
pub fn try_classify(image: Expr) -> Expr {
    call(InferFunction::TryClassify, vec![image])
}

/// [`try_classify`] by the model with the name `model`.
pub fn try_classify_with_model(image: Expr, model: &str) -> Expr {
    call(InferFunction::TryClassify, vec![image, lit(model)])
}

/// [`classify_labels`], but NULL for an image that cannot be decoded.
pub fn try_classify_labels(image: Expr, min_score: f32) -> Expr {
    call(InferFunction::TryClassifyLabels, vec![image, lit(min_score)])
}

/// [`classify_topk`], but NULL for an image that cannot be decoded.
pub fn try_classify_topk(image: Expr, k: usize) -> Expr {
    call(InferFunction::TryClassifyTopk, vec![image, lit(i64::try_from(k).unwrap_or(i64::MAX))])
}

/// [`embed`], but NULL for an image that cannot be decoded.
pub fn try_embed(image: Expr) -> Expr {
    call(InferFunction::TryEmbed, vec![image])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_are_unique_and_documented() {
        let functions = all_functions();
        let names: std::collections::BTreeSet<_> = functions.iter().map(|function| function.name()).collect();
        assert_eq!(names.len(), functions.len(), "{names:?}");
        for function in &functions {
            assert!(function.documentation().is_some(), "{} has no documentation", function.name());
        }
    }
}
