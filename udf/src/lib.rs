//! Scalar SQL functions on images and vectors, for any Apache DataFusion session.
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
//! What belongs here: row-wise functions that need no model and read no file. The computation of the image functions is in
//! [`image`], as pure functions over bytes and pixels; each SQL function only adapts it to DataFusion.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

mod byte_length;
mod decoded;
mod hamming_distance;
pub mod image;
mod image_column;
mod image_crop;
mod image_decode;
mod image_encode;
mod image_function;
mod image_hash;
mod image_header;
mod image_resize;
mod image_to_tensor;
mod vector_function;

pub use byte_length::byte_length_functions;
pub use image_column::{ImageColumn, is_image_type, path_field};

/// All functions on images and vectors, sorted by name.
pub fn all_functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        vector_function::cosine_similarity(),
        vector_function::dot(),
        hamming_distance::udf(),
        image_crop::udf(),
        image_decode::udf(),
        image_encode::udf(),
        image_header::image_format(),
        image_hash::udf(),
        image_header::image_height(),
        image_resize::udf(),
        image_to_tensor::udf(),
        image_header::image_width(),
        vector_function::l2_distance(),
    ]
}

/// Registers [all functions](all_functions) in a session, replacing functions of the same name.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all_functions() {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// The functions as DataFrame expressions, e.g. `image_width(col("image"))`.
///
/// Parameters that are optional in SQL are omitted here; `udf().call(…)` of a registered function accepts all of them.
pub mod expr_fn {
    use datafusion::logical_expr::Expr;
    use datafusion::prelude::lit;

    /// The cosine of the angle between two vectors.
    pub fn cosine_similarity(a: Expr, b: Expr) -> Expr {
        crate::vector_function::cosine_similarity().call(vec![a, b])
    }

    /// The inner product of two vectors.
    pub fn dot(a: Expr, b: Expr) -> Expr {
        crate::vector_function::dot().call(vec![a, b])
    }

    /// The number of bits in which two 64-bit hashes differ.
    pub fn hamming_distance(a: Expr, b: Expr) -> Expr {
        crate::hamming_distance::udf().call(vec![a, b])
    }

    /// The region of an image with the upper left corner `(x, y)`, decoded.
    pub fn image_crop(image: Expr, x: u32, y: u32, width: u32, height: u32) -> Expr {
        crate::image_crop::udf().call(vec![image, lit(x), lit(y), lit(width), lit(height)])
    }

    /// The pixels of an encoded image: `STRUCT<width, height, channels, data>`.
    pub fn image_decode(image: Expr) -> Expr {
        crate::image_decode::udf().call(vec![image])
    }

    /// An image encoded in a file format such as `"jpeg"`.
    pub fn image_encode(image: Expr, format: &str) -> Expr {
        crate::image_encode::udf().call(vec![image, lit(format)])
    }

    /// The file format of an encoded image, e.g. `'jpeg'`; NULL if the format is not supported.
    pub fn image_format(image: Expr) -> Expr {
        crate::image_header::image_format().call(vec![image])
    }

    /// The perceptual hash of an image.
    pub fn image_hash(image: Expr) -> Expr {
        crate::image_hash::udf().call(vec![image])
    }

    /// The height of an encoded image in pixels, after its EXIF orientation is applied.
    pub fn image_height(image: Expr) -> Expr {
        crate::image_header::image_height().call(vec![image])
    }

    /// An image scaled to `width` x `height` pixels, decoded.
    pub fn image_resize(image: Expr, width: u32, height: u32) -> Expr {
        crate::image_resize::udf().call(vec![image, lit(width), lit(height)])
    }

    /// The pixels of an image as floats from 0 to 1, in the layout `[channels, height, width]`.
    pub fn image_to_tensor(image: Expr) -> Expr {
        crate::image_to_tensor::udf().call(vec![image])
    }

    /// The width of an encoded image in pixels, after its EXIF orientation is applied.
    pub fn image_width(image: Expr) -> Expr {
        crate::image_header::image_width().call(vec![image])
    }

    /// The Euclidean distance of two vectors.
    pub fn l2_distance(a: Expr, b: Expr) -> Expr {
        crate::vector_function::l2_distance().call(vec![a, b])
    }
}

#[cfg(test)]
mod tests {
    use super::all_functions;

    #[test]
    fn functions_are_sorted_unique_and_documented() {
        let names: Vec<_> = all_functions().iter().map(|f| f.name().to_owned()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for function in all_functions() {
            assert!(function.documentation().is_some(), "{} has no documentation", function.name());
        }
    }
}
