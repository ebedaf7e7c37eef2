//! [`prefer_join`]: when the join and its aggregation are cheaper than a sparse product.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::integer_code::fits_int64;
use super::spec::SparseMatMulSpec;

/// The estimate for which the join is preferred, as EXPLAIN shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CostEstimate {
    /// Of the left and the right input.
    rows: (usize, usize),
    /// Joined row pairs, which are the multiplications of the product.
    flops: usize,
    /// An upper bound on the output rows.
    groups: usize,
}

impl fmt::Display for CostEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows: (left, right), flops, groups } = self;
        write!(f, "{left} x {right} rows give about {flops} pairs for at most {groups} groups")
    }
}

/// Groups whose accumulators, in the hash table of an aggregation, fit into the cache of a core.
const MAX_CACHED_GROUPS: usize = 1 << 16;

/// Joined row pairs per row of the larger input, up to which building a CSR matrix of that input does not pay off.
const MAX_FANOUT: usize = 2;

/// Returns the estimate if statistics favour the join: a fan-out near one and few groups. The join then streams the
/// larger input (a fact table with few dimension values, for example) once and keeps none of it in memory.
///
/// Measured with 20 million facts, 1,000 dimension rows and 2,000 groups: join 0.40 s and 68 MB, product 0.74 s and
/// 1 GB. With 20 million groups: product 1.20 s, join 1.68 s. Small inputs do not favour the join: for 50 entries the
/// product takes 1.1 ms and the join 1.3 ms.
pub(super) fn prefer_join(
    spec: &SparseMatMulSpec,
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
) -> Option<CostEstimate> {
    let (left, right) = (statistics(left)?, statistics(right)?);
    let rows = (*left.num_rows.get_value()?, *right.num_rows.get_value()?);
    let distinct = |statistics: &Statistics, rows, column: usize| {
        statistics.column_statistics.get(column).and_then(distinct_upper_bound).map(|distinct| distinct.min(rows))
    };
    // Of several key columns, the one with the most distinct values gives the tightest bound on the pairs.
    let keys = (0..spec.num_keys).filter_map(|key| {
        let keys = [distinct(&left, rows.0, key), distinct(&right, rows.1, key)];
        keys.into_iter().flatten().max()
    });
    let keys = keys.max()?.max(1);
    let flops = usize::try_from(rows.0 as u128 * rows.1 as u128 / keys as u128).unwrap_or(usize::MAX);
    let max_groups = |statistics: &Statistics, rows, groups: usize| {
        (spec.num_keys..spec.num_keys + groups).map(|column| distinct(statistics, rows, column)).try_fold(1, multiply)
    };
    let groups =
        multiply(max_groups(&left, rows.0, spec.num_row_groups)?, max_groups(&right, rows.1, spec.num_col_groups))?;
    let is_better =
        flops <= MAX_FANOUT.saturating_mul(rows.0.max(rows.1)) && groups <= MAX_CACHED_GROUPS && groups < flops;
    is_better.then_some(CostEstimate { rows, flops, groups })
}

/// A saturating product, `None` if a factor is unknown.
fn multiply(a: usize, b: Option<usize>) -> Option<usize> {
    Some(a.saturating_mul(b?))
}

pub(super) fn statistics(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Statistics>> {
    StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()
}

/// The number of distinct values of a column, or else the size of its range of integers.
fn distinct_upper_bound(column: &ColumnStatistics) -> Option<usize> {
    if let Some(distinct) = column.distinct_count.get_value() {
        return Some(*distinct);
    }
    let (low, high) = (column.min_value.get_value()?, column.max_value.get_value()?);
    let is_discrete = fits_int64(&low.data_type()) || low.data_type() == DataType::Boolean;
    if is_discrete { high.distance(low)?.checked_add(1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::common::stats::Precision;
    use datafusion::physical_plan::test::exec::StatisticsExec;

    /// A plan of `rows` rows, with one column of integers in `0..end` for each of `ends`.
    fn plan(rows: usize, ends: &[i64]) -> Arc<dyn ExecutionPlan> {
        let exact = |value| Precision::Exact(ScalarValue::Int64(Some(value)));
        let columns = ends
            .iter()
            .map(|end| ColumnStatistics::new_unknown().with_min_value(exact(0)).with_max_value(exact(end - 1)));
        let statistics = Statistics::default().with_num_rows(Precision::Exact(rows));
        let statistics = columns.fold(statistics, Statistics::add_column_statistics);
        let fields: Vec<Field> =
            (0..ends.len()).map(|at| Field::new(format!("c{at}"), DataType::Int64, false)).collect();
        Arc::new(StatisticsExec::new(statistics, Schema::new(fields)))
    }

    /// The reason for which the join is preferred, if it is. Each input is `(rows, ends)`.
    fn join_reason(left: (usize, &[i64]), right: (usize, &[i64])) -> Option<String> {
        let spec =
            SparseMatMulSpec { num_keys: 1, num_row_groups: 1, num_col_groups: 1, aggregates: Vec::new(), mask: None };
        prefer_join(&spec, &plan(left.0, left.1), &plan(right.0, right.1)).map(|estimate| estimate.to_string())
    }

    #[test]
    fn few_groups_prefer_the_join() {
        let reason = "20000000 x 1000 rows give about 20000000 pairs for at most 2000 groups";
        assert_eq!(join_reason((20_000_000, &[1000, 100]), (1000, &[1000, 20])), Some(reason.to_owned()));
    }

    #[test]
    fn many_groups_prefer_the_product() {
        assert_eq!(join_reason((20_000_000, &[1000, 1_000_003]), (1000, &[1000, 20])), None);
    }

    #[test]
    fn high_fanout_prefers_the_product() {
        assert_eq!(join_reason((262_144, &[16_384, 200]), (262_144, &[16_384, 200])), None);
    }

    #[test]
    fn missing_statistics_prefer_the_product() {
        assert_eq!(join_reason((20_000_000, &[]), (1000, &[])), None);
        assert_eq!(join_reason((20_000_000, &[1000]), (1000, &[1000, 20])), None);
    }
}
