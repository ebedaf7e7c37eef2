//! [`DataFrameSparseExt`]: sparse matrix products on DataFrames.

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, col};
use datafusion::prelude::DataFrame;

use super::Semiring;

/// Multiplies DataFrames with the columns `row, col, value` as sparse matrices.
///
/// ```
/// use datafusion::prelude::*;
/// use ocelli::{DataFrameSparseExt, Ocelli};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ocelli = Ocelli::builder().build()?;
/// let roads = ocelli.sql("SELECT * FROM (VALUES (0, 1, 5.0), (1, 2, 7.0)) AS roads (row, col, value)").await?;
/// let two_steps = roads.clone().sparse_matmul_with(&roads, "min_plus".parse()?)?;
/// assert_eq!(two_steps.clone().count().await?, 1);
/// assert!(two_steps.explain(false, false)?.to_string().await?.contains("SparseMatMulExec"));
/// # Ok(())
/// # }
/// ```
pub trait DataFrameSparseExt: Sized {
    /// `[m, n] x [n, p] -> [m, p]`: one row `row, col, value` for each structural nonzero of the product.
    ///
    /// # Errors
    /// When an input lacks one of the columns `row`, `col` and `value`, or its values cannot be multiplied.
    fn sparse_matmul(self, other: &Self) -> Result<Self> {
        self.sparse_matmul_with(other, Semiring::PLUS_TIMES)
    }

    /// [`sparse_matmul`](Self::sparse_matmul) over the given semiring.
    ///
    /// # Errors
    /// The same as of [`sparse_matmul`](Self::sparse_matmul).
    fn sparse_matmul_with(self, other: &Self, semiring: Semiring) -> Result<Self>;
}

impl DataFrameSparseExt for DataFrame {
    fn sparse_matmul_with(self, other: &Self, semiring: Semiring) -> Result<Self> {
        let (state, left) = self.into_parts();
        let right = LogicalPlanBuilder::from(other.logical_plan().clone()).alias("b")?.build()?;
        let column = |table: &str, name: &str| Expr::Column(Column::new(Some(table), name));
        let joined = LogicalPlanBuilder::from(left).alias("a")?.join_on(
            right,
            JoinType::Inner,
            [column("a", "col").eq(column("b", "row"))],
        )?;
        let aggregate = state.create_logical_expr(&semiring.aggregate_sql("a.value", "b.value"), joined.schema())?;
        let plan = joined
            .aggregate([column("a", "row"), column("b", "col")], [aggregate.alias("value")])?
            .project([column("a", "row").alias("row"), column("b", "col").alias("col"), col("value")])?
            .build()?;
        Ok(Self::new(state, plan))
    }
}
