//! Scalar SQL functions on images, for any Apache DataFusion session.
//!
//! ```
//! use datafusion::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let mut ctx = SessionContext::new();
//! ocelli_udf::register_all(&mut ctx)?;
//! let pixel = "X'424d1e000000000000001a0000000c000000010001000100180000ff0000'";
//! let rows = ctx.sql(&format!("SELECT image_format({pixel}), image_width({pixel})")).await?;
//! assert_eq!(rows.count().await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! What belongs here: functions of one row that need no model and read no file. Each has a pure function over bytes or
//! pixels in [`image`], and thirty lines of glue in a file of its own name.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

mod function;
pub mod image;
mod image_format;
mod image_height;
mod image_width;

/// Every function of this crate, in the order of their names.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![image_format::udf(), image_height::udf(), image_width::udf()]
}

/// Adds [every function](all) to a session, replacing functions of the same name.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all() {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// The functions as DataFrame expressions, e.g. `image_width(col("image"))`.
pub mod expr_fn {
    use datafusion::logical_expr::Expr;

    /// The file format of an encoded image, e.g. `'jpeg'`; NULL when it is none that can be read.
    pub fn image_format(image: Expr) -> Expr {
        crate::image_format::udf().call(vec![image])
    }

    /// The height in pixels of an encoded image, as displayed.
    pub fn image_height(image: Expr) -> Expr {
        crate::image_height::udf().call(vec![image])
    }

    /// The width in pixels of an encoded image, as displayed.
    pub fn image_width(image: Expr) -> Expr {
        crate::image_width::udf().call(vec![image])
    }
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn functions_are_sorted_named_once_and_documented() {
        let names: Vec<_> = all().iter().map(|f| f.name().to_owned()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for function in all() {
            assert!(function.documentation().is_some(), "{} has no documentation", function.name());
        }
    }
}
