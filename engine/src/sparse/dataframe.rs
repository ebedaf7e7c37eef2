//! [`SparseMatMul`]: products of matrices on DataFrames.

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, col};
use datafusion::prelude::DataFrame;

use super::Semiring;

/// Multiplies tables of `row, col, value` as sparse matrices.
///
/// ```
/// use datafusion::prelude::*;
/// use ocelli::{Ocelli, SparseMatMul};
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
pub trait SparseMatMul: Sized {
    /// `[m, n] x [n, p] -> [m, p]`: a row `row, col, value` for each place to which a product leads.
    ///
    /// # Errors
    /// When one of the tables has no columns `row`, `col` and `value`, or its values cannot be multiplied.
    fn sparse_matmul(self, other: &Self) -> Result<Self> {
        self.sparse_matmul_with(other, Semiring::PLUS_TIMES)
    }

    /// [`sparse_matmul`](Self::sparse_matmul) over another semiring.
    ///
    /// # Errors
    /// Those of [`sparse_matmul`](Self::sparse_matmul).
    fn sparse_matmul_with(self, other: &Self, semiring: Semiring) -> Result<Self>;
}

impl SparseMatMul for DataFrame {
    fn sparse_matmul_with(self, other: &Self, semiring: Semiring) -> Result<Self> {
        let (state, left) = self.into_parts();
        let right = LogicalPlanBuilder::from(other.logical_plan().clone()).alias("b")?.build()?;
        let column = |table: &str, name: &str| Expr::Column(Column::new(Some(table), name));
        let joined = LogicalPlanBuilder::from(left).alias("a")?.join_on(
            right,
            JoinType::Inner,
            [column("a", "col").eq(column("b", "row"))],
        )?;
        let sum = state.create_logical_expr(&semiring.sql("a.value", "b.value"), joined.schema())?;
        let plan = joined
            .aggregate([column("a", "row"), column("b", "col")], [sum.alias("value")])?
            .project([column("a", "row").alias("row"), column("b", "col").alias("col"), col("value")])?
            .build()?;
        Ok(Self::new(state, plan))
    }
}
