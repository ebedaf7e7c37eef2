//! [`keep_join`]: when the join and its aggregation are better than a product.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::key_dictionary::is_integer;
use super::spec::SparseMatMul;

/// Why the join stays, as EXPLAIN says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Estimate {
    rows: (usize, usize),
    /// Pairs of rows that the join makes.
    pairs: usize,
    groups: usize,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows: (left, right), pairs, groups } = self;
        write!(f, "{left} x {right} rows make about {pairs} pairs for at most {groups} groups")
    }
}

/// Groups whose sums fit into the cache of a core, in the hash table of an aggregation.
const FEW_GROUPS: usize = 1 << 16;

/// Pairs for each row of the larger table, below which the table is not worth being put in order.
const FEW_PAIRS: usize = 2;

/// What statistics say when the join is better: rows that meet hardly more than one other row, for few groups. Such a table
/// (of facts, say, that each belong to one of a few things) is read once, and nothing of it has to stay in memory.
///
/// Measured with 20 million facts, 1,000 things, 2,000 groups: the join 0.40 s and 68 MB, the product 0.74 s and 1 GB; with 20
/// million groups the product 1.20 s, the join 1.68 s. Small inputs are no reason: 50 entries take the product 1.1 ms and the
/// join 1.3 ms.
pub(super) fn keep_join(
    matmul: &SparseMatMul,
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
) -> Option<Estimate> {
    let (left, right) = (statistics(left)?, statistics(right)?);
    let rows = (*left.num_rows.get_value()?, *right.num_rows.get_value()?);
    let distinct = |statistics: &Statistics, rows, column: usize| {
        statistics.column_statistics.get(column).and_then(distinct).map(|distinct| distinct.min(rows))
    };
    // Of several keys, the first one that is known bounds the pairs from above.
    let keys = (0..matmul.keys).filter_map(|key| {
        let keys = [distinct(&left, rows.0, key), distinct(&right, rows.1, key)];
        keys.into_iter().flatten().max()
    });
    let keys = keys.max()?.max(1);
    let pairs = usize::try_from(rows.0 as u128 * rows.1 as u128 / keys as u128).unwrap_or(usize::MAX);
    let groups_of = |statistics: &Statistics, rows, groups: usize| {
        (matmul.keys..matmul.keys + groups).map(|column| distinct(statistics, rows, column)).try_fold(1, product)
    };
    let groups =
        product(groups_of(&left, rows.0, matmul.left_groups)?, groups_of(&right, rows.1, matmul.right_groups))?;
    let is_better = pairs <= FEW_PAIRS.saturating_mul(rows.0.max(rows.1)) && groups <= FEW_GROUPS && groups < pairs;
    is_better.then_some(Estimate { rows, pairs, groups })
}

fn product(some: usize, more: Option<usize>) -> Option<usize> {
    Some(some.saturating_mul(more?))
}

pub(super) fn statistics(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Statistics>> {
    StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()
}

/// How many different values a column has at most, by its statistics: as many as there are between the lowest and highest.
fn distinct(column: &ColumnStatistics) -> Option<usize> {
    if let Some(distinct) = column.distinct_count.get_value() {
        return Some(*distinct);
    }
    let (low, high) = (column.min_value.get_value()?, column.max_value.get_value()?);
    let is_counted = is_integer(&low.data_type()) || low.data_type() == DataType::Boolean;
    if is_counted { high.distance(low)?.checked_add(1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::common::stats::Precision;
    use datafusion::physical_plan::test::exec::StatisticsExec;

    /// A plan of so many rows, whose columns have whole numbers below these.
    fn plan(rows: usize, below: &[i64]) -> Arc<dyn ExecutionPlan> {
        let number = |value| Precision::Exact(ScalarValue::Int64(Some(value)));
        let columns = below
            .iter()
            .map(|below| ColumnStatistics::new_unknown().with_min_value(number(0)).with_max_value(number(below - 1)));
        let statistics = Statistics::default().with_num_rows(Precision::Exact(rows));
        let statistics = columns.fold(statistics, Statistics::add_column_statistics);
        let fields: Vec<Field> =
            (0..below.len()).map(|at| Field::new(format!("c{at}"), DataType::Int64, false)).collect();
        Arc::new(StatisticsExec::new(statistics, Schema::new(fields)))
    }

    fn kept(left: (usize, &[i64]), right: (usize, &[i64])) -> Option<String> {
        let matmul = SparseMatMul { keys: 1, left_groups: 1, right_groups: 1, products: Vec::new() };
        keep_join(&matmul, &plan(left.0, left.1), &plan(right.0, right.1)).map(|estimate| estimate.to_string())
    }

    #[test]
    fn facts_of_few_groups_keep_their_join() {
        let reason = "20000000 x 1000 rows make about 20000000 pairs for at most 2000 groups";
        assert_eq!(kept((20_000_000, &[1000, 100]), (1000, &[1000, 20])), Some(reason.to_owned()));
    }

    #[test]
    fn facts_of_many_groups_are_multiplied() {
        assert_eq!(kept((20_000_000, &[1000, 1_000_003]), (1000, &[1000, 20])), None);
    }

    #[test]
    fn rows_that_meet_several_are_multiplied() {
        assert_eq!(kept((262_144, &[16_384, 200]), (262_144, &[16_384, 200])), None);
    }

    #[test]
    fn what_is_not_known_is_multiplied() {
        assert_eq!(kept((20_000_000, &[]), (1000, &[])), None);
        assert_eq!(kept((20_000_000, &[1000]), (1000, &[1000, 20])), None);
    }
}
