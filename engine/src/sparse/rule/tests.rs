//! Which plans the rule rewrites, and the reasons for those that it does not.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use super::missed_products;

/// The optimized plan of a query over the tables `a` and `b` of `row, col, value, small, flag, price, name`.
async fn optimized(select: &str) -> Result<LogicalPlan> {
    let state = crate::extend(SessionStateBuilder::new().with_default_features())?.build();
    let context = SessionContext::new_with_state(state);
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("row", DataType::Int64),
        field("col", DataType::Int64),
        field("value", DataType::Float64),
        field("small", DataType::Int32),
        field("flag", DataType::Boolean),
        field("price", DataType::Decimal128(10, 2)),
        field("name", DataType::Utf8),
    ]));
    for table in ["a", "b"] {
        context.register_table(table, Arc::new(MemTable::try_new(Arc::clone(&schema), vec![vec![]])?))?;
    }
    let state = context.state();
    state.optimize(&state.create_logical_plan(select).await?)
}

/// The semirings of the sparse products in a plan, as EXPLAIN displays them.
fn semirings(plan: &LogicalPlan) -> Vec<String> {
    let plan = plan.display_indent().to_string();
    let lines = plan.lines().filter_map(|line| line.trim().strip_prefix("SparseMatMul: semiring="));
    lines.map(|line| line.split(", on=").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn aggregates_map_to_semirings() {
    for (aggregate, semiring) in [
        ("SUM(a.value * b.value)", "plus_times"),
        ("SUM(b.value * a.value)", "plus_times"),
        ("SUM(2 * a.value * b.value / 3)", "plus_times"),
        ("SUM(a.value * (b.value + 1) * a.small)", "plus_times"),
        ("SUM(a.small * b.small)", "plus_times"),
        ("SUM(a.price * b.price)", "plus_times"),
        ("SUM(CAST(a.small AS DOUBLE) * b.value)", "plus_times"),
        ("SUM(a.value / b.value)", "plus_div"),
        ("SUM(a.value / b.value * b.value)", "plus_times"),
        ("SUM(a.value - b.value)", "plus_plus"),
        ("MIN(a.value + b.value)", "min_plus"),
        ("MAX(a.col + b.row + 1)", "max_plus"),
        ("MAX(a.value * b.value)", "max_times"),
        ("MAX(LEAST(a.value, b.value))", "max_min"),
        ("MIN(GREATEST(b.value, a.value, 0.5, a.value))", "min_max"),
        ("SUM(a.value)", "plus_first"),
        ("SUM(b.price)", "plus_second"),
        ("MIN(b.value)", "min_second"),
        ("COUNT(*)", "plus_pair"),
        ("COUNT(a.value * b.value)", "plus_times"),
        ("COUNT(a.name)", "plus_first"),
        ("BOOL_OR(a.flag AND b.flag)", "or_and"),
        ("BOOL_AND(a.flag OR b.flag)", "and_or"),
        ("BOOL_OR(a.flag)", "or_first"),
        ("AVG(a.value * b.value)", "[plus_times, plus_times]"),
        ("SUM(a.value * b.value), COUNT(*), SUM(a.value * b.value) / COUNT(*)", "[plus_times, plus_pair]"),
        ("SUM(a.value * b.value), MAX(a.value * b.value)", "[plus_times, max_times]"),
    ] {
        let select = format!("SELECT a.row, b.col, {aggregate} FROM a JOIN b ON a.col = b.row GROUP BY a.row, b.col");
        let plan = optimized(&select).await.unwrap();
        assert_eq!(semirings(&plan), [semiring], "{aggregate}: {:?}", missed_products(&plan).unwrap());
    }
}

#[tokio::test]
async fn all_spellings_of_a_join_match() {
    for from in [
        "a, b WHERE b.row = a.col GROUP BY a.row, b.col",
        "b INNER JOIN a ON b.row = a.col AND a.value > 3 WHERE b.name LIKE 'x%' GROUP BY b.col, a.row",
        "a JOIN (SELECT row AS col, value, col AS other FROM b) b USING (col) GROUP BY a.row, b.other",
        "(SELECT * FROM a WHERE value <> 0) a JOIN b ON a.col = b.row AND a.name = b.name GROUP BY a.row, b.col",
        "a JOIN b ON a.col = b.row WHERE a.row <> b.col GROUP BY a.row, b.col HAVING COUNT(*) > 1 AND a.row > 5",
        "a JOIN b ON a.col + 1 = b.small GROUP BY a.row, b.col, a.name, b.flag",
        "a JOIN b ON a.col = b.row GROUP BY a.row * 2, coalesce(b.col, 0)",
        "a JOIN b ON a.name = b.name GROUP BY a.col, b.row",
        "a JOIN b ON a.col = b.row GROUP BY a.row",
        "a JOIN b USING (name) GROUP BY a.row, b.col",
        "a CROSS JOIN b WHERE a.col = b.row GROUP BY b.col, b.row",
        "a JOIN b ON a.value = b.value GROUP BY a.row, b.value",
        "a JOIN b ON a.small = b.value AND a.col = b.row GROUP BY a.row, b.col",
    ] {
        let plan = optimized(&format!("SELECT SUM(a.value * b.value) FROM {from}")).await.unwrap();
        assert!(!semirings(&plan).is_empty(), "{from}: {:?}", missed_products(&plan).unwrap());
    }
}

#[tokio::test]
async fn distinct_groups_are_plus_pair() {
    for select in [
        "SELECT DISTINCT a.row, b.col FROM a JOIN b ON a.col = b.row",
        "SELECT a.row, b.col FROM a JOIN b ON a.col = b.row GROUP BY a.row, b.col",
        "SELECT COUNT(*) FROM (SELECT a.row, b.col, SUM(a.value * b.value) FROM a JOIN b ON a.col = b.row GROUP BY 1, 2)",
    ] {
        assert_eq!(semirings(&optimized(select).await.unwrap()), ["plus_pair"], "{select}");
    }
}

#[tokio::test]
async fn chains_are_multiplied_pairwise() {
    let from = "FROM a JOIN b ON a.col = b.row JOIN a c ON b.col = c.row GROUP BY a.row, c.col";
    for (aggregate, expected) in [
        ("SUM(a.col * b.col * c.col)", vec!["plus_times", "plus_times"]),
        ("COUNT(*)", vec!["plus_first", "plus_pair"]),
        ("SUM(c.col)", vec!["plus_times", "plus_pair"]),
        ("MIN(a.value + b.value + c.value)", vec!["min_plus"]),
        ("SUM(a.row * c.col), COUNT(*)", vec!["[plus_times, plus_first]", "[plus_first, plus_pair]"]),
        // Aggregates that are not distributive are not pre-aggregated.
        ("SUM(a.value * b.value * c.value)", vec!["plus_times"]),
        ("SUM(c.value)", vec!["plus_second"]),
        ("MAX(a.value * b.value * c.value)", vec!["max_times"]),
        ("MIN(a.col + b.col + c.col)", vec!["min_plus"]),
        ("SUM(a.small * b.small * c.small)", vec!["plus_times"]),
    ] {
        let plan = optimized(&format!("SELECT {aggregate} {from}")).await.unwrap();
        assert_eq!(semirings(&plan), expected, "{aggregate}");
    }
}

/// The masks of the sparse products in a plan, as EXPLAIN displays them.
fn masks(plan: &LogicalPlan) -> Vec<String> {
    let plan = plan.display_indent().to_string();
    let lines = plan.lines().filter(|line| line.trim().starts_with("SparseMatMul: "));
    lines.filter_map(|line| Some(line.split_once(", mask=")?.1.to_owned())).collect()
}

#[tokio::test]
async fn semi_joins_on_all_groups_are_masks() {
    const JOIN: &str = "SELECT a.row, b.col, SUM(a.value * b.value) AS s FROM a JOIN b ON a.col = b.row";
    const GROUPS: &str = "GROUP BY a.row, b.col";
    const MASK: &str = "(SELECT 1 FROM b m WHERE m.row = a.row AND m.col = b.col AND m.small > 0)";
    const ABOVE: &str = "(SELECT 1 FROM b m WHERE m.row = p.i AND m.col = p.j)";
    let product = format!("(SELECT a.row AS i, b.col AS j, COUNT(*) AS n FROM a JOIN b ON a.col = b.row {GROUPS})");
    for (select, mask) in [
        (format!("{JOIN} WHERE EXISTS {MASK} {GROUPS}"), "[row, col]"),
        (format!("{JOIN} WHERE NOT EXISTS {MASK} AND a.value > 1 AND a.row <> b.col {GROUPS}"), "not [row, col]"),
        (format!("{JOIN} WHERE EXISTS {MASK} GROUP BY b.col, a.row HAVING COUNT(*) > 1"), "[row, col]"),
        (format!("{JOIN} LEFT SEMI JOIN b m ON m.col = b.col AND a.row = m.row {GROUPS}"), "[row, col]"),
        (
            "SELECT a.name, b.value, COUNT(*) FROM a JOIN b ON a.col = b.row LEFT ANTI JOIN b m \
             ON m.name = a.name AND b.value = m.value GROUP BY a.name, b.value"
                .to_owned(),
            "not [name, value]",
        ),
        (format!("SELECT * FROM {product} p WHERE EXISTS {ABOVE} AND n > 1"), "[row, col]"),
        (
            format!("SELECT n FROM (SELECT j, i, n + 1 AS n FROM {product}) p WHERE NOT EXISTS {ABOVE}"),
            "not [row, col]",
        ),
        (format!("SELECT SUM(n) FROM {product} p WHERE EXISTS {ABOVE}"), "[row, col]"),
        // All entries of the mask are on the diagonal.
        (format!("{JOIN} WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = a.row AND m.row = b.col) {GROUPS}"), "[row, "),
    ] {
        let plan = optimized(&select).await.unwrap();
        let (found, missed) = (masks(&plan), missed_products(&plan).unwrap());
        assert!(found.len() == 1 && found[0].starts_with(mask) && missed.is_empty(), "{select}: {found:?}, {missed:?}");
        assert!(!plan.display_indent().to_string().contains("Join"), "{select}");
    }
}

#[tokio::test]
async fn semi_joins_on_one_table_filter_its_operand() {
    for select in [
        "SELECT a.row, SUM(a.value * b.value) FROM a JOIN b ON a.col = b.row \
         WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = a.row) GROUP BY a.row",
        "SELECT a.row, b.col, COUNT(*) FROM a JOIN b ON a.col = b.row \
         WHERE NOT EXISTS (SELECT 1 FROM a m WHERE m.col = b.col AND m.name = b.name) GROUP BY a.row, b.col",
        "SELECT b.col, MIN(a.value + b.value) FROM a JOIN b ON a.col = b.row WHERE a.row IN (SELECT small FROM b) GROUP BY b.col",
    ] {
        let plan = optimized(select).await.unwrap();
        assert_eq!((semirings(&plan).len(), missed_products(&plan).unwrap()), (1, Vec::new()), "{select}");
        let plan = plan.display_indent().to_string();
        let (product, semi_join) =
            (plan.find("SparseMatMul"), plan.find("LeftSemi Join").or(plan.find("LeftAnti Join")));
        assert!(product < semi_join, "{plan}");
    }
}

#[tokio::test]
async fn semi_joins_that_are_no_masks_have_a_reason() {
    const JOIN: &str = "SELECT a.row, b.col, COUNT(*) AS n FROM a JOIN b ON a.col = b.row";
    const MASK: &str = "EXISTS (SELECT 1 FROM b m WHERE m.row = a.row AND m.col = b.col)";
    const GROUPS: &str = "GROUP BY a.row, b.col";
    let above = |condition: &str| format!("SELECT * FROM ({JOIN} {GROUPS}) p WHERE {condition}");
    for (select, reason) in [
        (
            format!("{JOIN} WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = a.row AND m.col = b.small) {GROUPS}"),
            "the semi-join does not compare the group key b.col",
        ),
        (
            format!("{JOIN} WHERE NOT {MASK} GROUP BY a.row, b.col, b.name"),
            "the anti-join does not compare the group key b.name",
        ),
        (
            format!(
                "{JOIN} WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = a.row AND m.col = b.col AND m.name = b.name) {GROUPS}"
            ),
            "the semi-join compares b.name, which is not a group key",
        ),
        (
            format!(
                "{JOIN} WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = a.row AND m.col = b.col AND m.value < a.value) {GROUPS}"
            ),
            "in addition to equalities",
        ),
        (
            format!(
                "{JOIN} WHERE {MASK} AND NOT EXISTS (SELECT 1 FROM b m WHERE m.row = b.col AND m.col = a.row) {GROUPS}"
            ),
            "several semi-joins are on columns of both tables",
        ),
        (
            format!("{JOIN} WHERE a.row NOT IN (SELECT m.row FROM b m) {GROUPS}"),
            "NOT IN drops all rows if its subquery has a NULL; NOT EXISTS can be a mask",
        ),
        (
            format!("{JOIN} LEFT SEMI JOIN b m ON m.row = a.row AND abs(m.col) = b.col {GROUPS}"),
            "abs(m.col) may fail on rows that the join does not read",
        ),
        (above("EXISTS (SELECT 1 FROM b m WHERE m.row = p.row)"), "the semi-join does not compare the group key b.col"),
        (
            above("EXISTS (SELECT 1 FROM b m WHERE m.row = p.row AND m.col = p.col AND m.small = p.n)"),
            "which is not a group key",
        ),
        (
            "SELECT * FROM (SELECT a.row, COUNT(*) AS n FROM a JOIN b ON a.col = b.row GROUP BY a.row) p \
             WHERE EXISTS (SELECT 1 FROM b m WHERE m.row = p.row)"
                .to_owned(),
            "the semi-join is above a matrix-vector product",
        ),
        (
            format!(
                "SELECT * FROM ({JOIN} WHERE {MASK} {GROUPS}) p \
                 WHERE NOT EXISTS (SELECT 1 FROM b m WHERE m.row = p.row AND m.col = p.col)"
            ),
            "the product has a mask already",
        ),
    ] {
        let plan = optimized(&select).await.unwrap();
        let missed = missed_products(&plan).unwrap();
        assert!(missed.len() == 1 && missed[0].contains(reason), "{select}: {missed:?}\n{}", plan.display_indent());
    }
}

#[tokio::test]
async fn semi_joins_without_a_product_have_no_reason() {
    for select in [
        "SELECT a.row, SUM(a.value) FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.row = a.row) GROUP BY a.row",
        "SELECT * FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.row = a.row)",
    ] {
        let plan = optimized(select).await.unwrap();
        assert_eq!((semirings(&plan).len(), missed_products(&plan).unwrap()), (0, Vec::new()), "{select}");
    }
}

#[tokio::test]
async fn unsupported_plans_have_a_reason() {
    const GROUPS: &str = "GROUP BY a.row, b.col";
    const JOIN: &str = "a JOIN b ON a.col = b.row";
    for (aggregate, join, groups, reason) in [
        (
            "SUM(a.value * b.value)",
            "a LEFT JOIN b ON a.col = b.row",
            GROUPS,
            "LEFT JOIN is not supported: only an INNER join drops unmatched rows",
        ),
        (
            "SUM(a.value * b.value)",
            "a JOIN b ON a.col IS NOT DISTINCT FROM b.row",
            GROUPS,
            "the join treats NULL keys as equal",
        ),
        ("SUM(a.value * b.value)", "a JOIN b ON a.col < b.row", GROUPS, "the join has no equality condition"),
        ("SUM(a.value * b.value)", JOIN, "", "the aggregation has no GROUP BY"),
        ("SUM(a.value * b.value)", JOIN, "GROUP BY a.row + b.col", "does not come from one table alone"),
        (
            "SUM(a.value * b.value)",
            "a JOIN b ON a.col = b.row AND a.value < b.value",
            GROUPS,
            "the condition a.value < b.value is on both tables and depends on more than the groups",
        ),
        ("SUM(a.value * b.value) FILTER (WHERE a.value > b.value)", JOIN, GROUPS, "has DISTINCT, FILTER or ORDER BY"),
        ("COUNT(DISTINCT a.value), COUNT(DISTINCT b.value)", JOIN, GROUPS, "has DISTINCT, FILTER or ORDER BY"),
        (
            "STDDEV(a.value * b.value)",
            JOIN,
            GROUPS,
            "stddev is not one of SUM, MIN, MAX, COUNT, AVG, BOOL_OR, BOOL_AND",
        ),
        ("SUM(sqrt(a.value * b.value))", JOIN, GROUPS, "is not a product of one operand per table"),
        ("SUM(a.value * b.value + a.value)", JOIN, GROUPS, "is not a sum of one operand per table"),
        ("SUM(a.value * b.value * random())", JOIN, GROUPS, "is volatile"),
        ("SUM(abs(a.small) * b.small)", JOIN, GROUPS, "abs(a.small) may fail on rows that the join drops"),
        ("SUM(CAST(a.name AS DOUBLE) * b.value)", JOIN, GROUPS, "may fail on rows that the join drops"),
        ("SUM(a.small / b.small)", JOIN, GROUPS, "divides Int32; only floating-point division is supported"),
        ("SUM(a.price * b.price * a.price)", JOIN, GROUPS, "has more than two decimal factors"),
        ("SUM(CAST(a.price AS DECIMAL(30, 2)) * b.price)", JOIN, GROUPS, "may overflow a decimal of 38 digits"),
        ("MIN(a.name)", JOIN, GROUPS, "there is no kernel for min_first from Utf8 into Utf8"),
        ("COUNT(LEAST(a.value, b.value))", JOIN, GROUPS, "can be non-NULL although one of its operands is NULL"),
        ("SUM(a.value / b.value / b.value)", JOIN, GROUPS, "is a second divisor from the right table"),
        (
            "MAX(a.value + b.value + 1.5)",
            JOIN,
            GROUPS,
            "cannot be split by table without reassociating a floating-point sum",
        ),
        ("SUM(CAST(a.price * b.price AS DECIMAL(4, 2)))", JOIN, GROUPS, "is not a product of one operand per table"),
        ("COUNT(*)", "a JOIN b ON a.col = b.row AND a.row + b.col + random() < 2", GROUPS, "is volatile"),
        (
            "COUNT(*)",
            "a JOIN b ON a.col = b.row AND a.value < b.value",
            "GROUP BY a.value, b.value",
            "depends on more than the groups",
        ),
        ("SUM(a.value)", JOIN, "GROUP BY date_part('year', arrow_cast(a.row, 'Date64')), b.col", "may fail on rows"),
        ("BOOL_OR(a.value < b.value)", JOIN, GROUPS, "is not a product of one operand per table"),
    ] {
        let plan = optimized(&format!("SELECT {aggregate} FROM {join} {groups}")).await.unwrap();
        assert_eq!(semirings(&plan), [""; 0], "{aggregate}");
        let missed = missed_products(&plan).unwrap();
        assert!(missed.len() == 1 && missed[0].contains(reason), "{aggregate} {groups}: {missed:?}");
    }
}

#[tokio::test]
async fn plans_without_aggregate_over_join_have_no_reason() {
    for select in ["SELECT a.row, SUM(a.value) FROM a GROUP BY a.row", "SELECT a.row FROM a JOIN b ON a.col = b.row"] {
        let plan = optimized(select).await.unwrap();
        assert_eq!((semirings(&plan).len(), missed_products(&plan).unwrap()), (0, Vec::new()), "{select}");
    }
}

#[tokio::test]
async fn explain_verbose_reports_the_reason() {
    let ocelli = crate::Ocelli::builder().build().unwrap();
    let rows = |sql: &'static str| async { ocelli.sql(sql).await.unwrap().collect().await.unwrap() };
    rows("CREATE TABLE m (row BIGINT, col BIGINT, value DOUBLE)").await;
    let plan =
        rows("EXPLAIN VERBOSE SELECT a.row, SUM(a.value * b.value) FROM m a LEFT JOIN m b ON a.col = b.row GROUP BY 1")
            .await;
    let plan = datafusion::arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(plan.contains("sparse_matmul (not applied)") && plan.contains("LEFT JOIN is not supported"), "{plan}");
}
