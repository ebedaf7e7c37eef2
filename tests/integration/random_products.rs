//! Random tables and random formulations of matrix products return the same rows with and without the rule `sparse_matmul`.

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use fastrand::Rng;
use libtest_mimic::Trial;
use ocelli::{Ocelli, user_message};

use crate::trial;

/// Pairs of random tables, each with [`QUERIES_PER_TABLES`] queries.
const TABLES: u64 = 40;
const QUERIES_PER_TABLES: usize = 12;

/// The minimum fraction of queries that run as sparse products; otherwise the queries do not test the rule.
const MIN_PRODUCT_FRACTION: f64 = 0.8;

/// The minimum number of products with a mask.
const MIN_MASKED: usize = 30;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("random_products::rule_on_and_off", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
        runtime.block_on(run())
    })]
}

async fn run() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut queries, mut products, mut masked) = (0, 0, 0);
    for seed in 0..TABLES {
        let mut random = Rng::with_seed(seed);
        let ocelli = Ocelli::builder().with_threads(2).build()?;
        let tables = Tables::random(&mut random);
        for sql in &tables.create {
            ocelli.sql(sql).await.map_err(|error| format!("{sql}: {error}"))?.collect().await?;
        }
        for _ in 0..QUERIES_PER_TABLES {
            let sql = tables.query(&mut random);
            let plan = rows(&ocelli, &format!("EXPLAIN {sql}")).await.map_err(|error| format!("{sql}: {error}"))?;
            queries += 1;
            products +=
                usize::from(plan.iter().any(|line| line.contains("method=spgemm") || line.contains("method=spmv")));
            masked += usize::from(plan.iter().any(|line| line.contains("mask=") && line.contains("method=spgemm")));
            let on = rows(&ocelli, &sql).await;
            ocelli.sql("SET ocelli.sparse_matmul = false").await?;
            let off = rows(&ocelli, &sql).await;
            ocelli.sql("SET ocelli.sparse_matmul = true").await?;
            let with_message = |rows: Result<Vec<String>>| rows.map_err(|error| user_message(&error));
            let (on, off) = (with_message(on), with_message(off));
            if on != off {
                let create = tables.create.join(";\n");
                return Err(format!("{create};\n{sql};\nwith the rule: {on:#?}\nwithout: {off:#?}").into());
            }
        }
    }
    let fraction = products as f64 / queries as f64;
    if fraction < MIN_PRODUCT_FRACTION {
        return Err(format!("{products} of {queries} queries ran as products").into());
    }
    if masked < MIN_MASKED {
        return Err(format!("{masked} of {queries} queries ran as products with a mask").into());
    }
    Ok(())
}

/// The rows as strings, sorted.
async fn rows(ocelli: &Ocelli, sql: &str) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in ocelli.sql(sql).await?.collect().await? {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<_, _>>()?;
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | ")),
        );
    }
    rows.sort_unstable();
    Ok(rows)
}

/// Two tables `a` and `b` of `g, h, k, l, v, w, t`: two groups, two keys, two values, a boolean. A table `m` of
/// `g, h, g2, h2` for masks, each column of the type of that group.
struct Tables {
    create: Vec<String>,
    values: &'static ValueType,
    /// Whether `l` is a second join key.
    two_keys: bool,
}

/// A type of keys and groups, with a generator of values.
struct KeyType {
    name: &'static str,
    value: fn(&mut Rng) -> String,
}

const KEYS: [KeyType; 12] = [
    KeyType { name: "DOUBLE", value: |random| format!("{}", random.i32(-2..4)) },
    KeyType {
        name: "DOUBLE",
        value: |random| ["-0.0", "0.0", "2.5", "'NaN'", "'inf'", "1e300"][random.usize(0..6)].to_owned(),
    },
    KeyType { name: "REAL", value: |random| ["-0.0", "0.0", "3", "-7"][random.usize(0..4)].to_owned() },
    KeyType { name: "BIGINT", value: |random| random.i64(-3..6).to_string() },
    KeyType { name: "BIGINT", value: |random| (random.i64(-2..3) * 4_000_000_000_000_000_000).to_string() },
    KeyType { name: "INT", value: |random| random.i64(0..5).to_string() },
    KeyType { name: "TINYINT", value: |random| ["127", "-128", "0", "1"][random.usize(0..4)].to_owned() },
    KeyType { name: "BIGINT UNSIGNED", value: |random| random.i64(0..5).to_string() },
    KeyType {
        name: "VARCHAR",
        value: |random| format!("'{}'", ["", "x", "y", "long enough to be a view"][random.usize(0..4)]),
    },
    KeyType { name: "DATE", value: |random| format!("'2024-02-2{}'", random.usize(5..9)) },
    KeyType { name: "BOOLEAN", value: |random| random.bool().to_string() },
    KeyType { name: "DECIMAL(10, 2)", value: |random| format!("{}.5", random.i64(0..4)) },
];

/// A type of values, with a generator.
struct ValueType {
    name: &'static str,
    value: fn(&mut Rng) -> String,
    is_float: bool,
}

const VALUES: [ValueType; 8] = [
    // Multiples of 0.5, whose sums are exact in any order.
    ValueType { name: "DOUBLE", value: |random| format!("{}", random.i32(-9..9) as f64 / 2.0), is_float: true },
    ValueType { name: "REAL", value: |random| format!("{}", random.i32(-9..9) as f64 / 2.0), is_float: true },
    ValueType {
        name: "BIGINT",
        value: |random| [i64::MAX, i64::MIN + 1, 3, -7, 0][random.usize(0..5)].to_string(),
        is_float: false,
    },
    ValueType {
        name: "INT",
        value: |random| [i32::MAX, i32::MIN + 1, 65536, -7, 0][random.usize(0..5)].to_string(),
        is_float: false,
    },
    ValueType {
        name: "TINYINT",
        value: |random| [127, -128, 16, -7, 0][random.usize(0..5)].to_string(),
        is_float: false,
    },
    ValueType {
        name: "SMALLINT UNSIGNED",
        value: |random| [65535, 256, 1, 0][random.usize(0..4)].to_string(),
        is_float: false,
    },
    ValueType {
        name: "BIGINT UNSIGNED",
        value: |random| [u64::MAX, 1 << 33, 5, 0][random.usize(0..4)].to_string(),
        is_float: false,
    },
    ValueType {
        name: "DECIMAL(12, 3)",
        value: |random| format!("{}.{}", random.i32(-99..99), random.i32(100..999)),
        is_float: false,
    },
];

impl Tables {
    fn random(random: &mut Rng) -> Self {
        let values = &VALUES[random.usize(0..VALUES.len())];
        let mut key = || &KEYS[random.usize(0..KEYS.len())];
        let types = [key(), key(), key(), key()];
        // NaNs, infinities and -0.
        let has_nan = values.is_float && random.u8(0..4) == 0;
        let mut tables = Self { create: Vec::new(), values, two_keys: random.bool() };
        for name in ["a", "b"] {
            // Some tables are empty.
            let rows = if random.u8(0..12) == 0 { 0 } else { random.usize(1..60) };
            let nulls = [0, 0, 5, 40][random.usize(0..4)];
            let row = |random: &mut Rng| {
                let mut cells: Vec<String> = types.iter().map(|key| (key.value)(random)).collect();
                for _ in 0..2 {
                    let special = ["'NaN'", "'inf'", "'-inf'", "-0.0"][random.usize(0..4)].to_owned();
                    let is_special = has_nan && random.u8(0..8) == 0;
                    cells.push(if is_special { special } else { (values.value)(random) });
                }
                cells.push(random.bool().to_string());
                for cell in &mut cells {
                    if random.u8(0..100) < nulls {
                        "NULL".clone_into(cell);
                    }
                }
                let types = types.iter().map(|key| key.name).chain([values.name, values.name, "BOOLEAN"]);
                let cells = cells.iter().zip(types).map(|(cell, name)| format!("CAST({cell} AS {name})"));
                format!("({})", cells.collect::<Vec<_>>().join(", "))
            };
            let all: Vec<String> = (0..rows.max(1)).map(|_| row(random)).collect();
            let none = if rows == 0 { " WHERE false" } else { "" };
            let dictionary = |column: &str, key: &KeyType| match key.name {
                "VARCHAR" => format!("arrow_cast({column}, 'Dictionary(Int32, Utf8)') AS {column}"),
                _ => column.to_owned(),
            };
            let (g, k) = (dictionary("g", types[0]), dictionary("k", types[2]));
            tables.create.push(format!(
                "CREATE TABLE {name} AS SELECT {g}, h, {k}, l, v, w, t FROM (VALUES {}) AS m (g, h, k, l, v, w, t){none}",
                all.join(", ")
            ));
        }
        let nulls = [0, 10][random.usize(0..2)];
        let row = |random: &mut Rng| {
            let cells = [types[0], types[1], types[0], types[1]].map(|key| {
                let cell = if random.u8(0..100) < nulls { "NULL".to_owned() } else { (key.value)(random) };
                format!("CAST({cell} AS {})", key.name)
            });
            format!("({})", cells.join(", "))
        };
        let all: Vec<String> = (0..random.usize(1..40)).map(|_| row(random)).collect();
        let dictionary = |column: &str| match types[0].name {
            "VARCHAR" => format!("arrow_cast({column}, 'Dictionary(Int32, Utf8)') AS {column}"),
            _ => column.to_owned(),
        };
        let (g, g2) = (dictionary("g"), dictionary("g2"));
        tables.create.push(format!(
            "CREATE TABLE m AS SELECT {g}, h, {g2}, h2 FROM (VALUES {}) AS m (g, h, g2, h2)",
            all.join(", ")
        ));
        tables
    }

    /// A random formulation of a product of the two tables.
    fn query(&self, random: &mut Rng) -> String {
        let pick = |random: &mut Rng, choices: &[&'static str]| choices[random.usize(0..choices.len())];
        // The table factors.
        let left = pick(random, &["a", "(SELECT * FROM a)", "(SELECT g, h, k, l, v, w, t FROM a WHERE v IS NOT NULL)"]);
        let right = pick(random, &["b", "b", "(SELECT k, g, h, l, w, v, t FROM b)", "a"]);
        let mut on = pick(random, &["x.k = y.k", "y.k = x.k"]).to_owned();
        if self.two_keys {
            on += " AND x.l = y.l";
        }
        let condition = pick(
            random,
            &[
                "",
                "",
                "",
                "x.v > 0",
                "y.t",
                "x.g IS DISTINCT FROM y.g",
                "x.g = y.g OR x.g IS NULL",
                "x.h IS NOT NULL AND y.v < 3",
            ],
        );
        let groups = pick(
            random,
            &[
                "x.g, y.g",
                "x.g, y.g",
                "x.g, y.h",
                "y.h, x.h, x.g",
                "x.g",
                "y.g",
                "x.g, x.h",
                "x.k, y.g",
                "y.g, y.h, y.l",
            ],
        );
        // A condition on both tables must be a condition on the groups.
        let condition = if condition.contains("x.g") && !groups.contains("x.g, y.g") { "" } else { condition };
        let mut aggregates = Vec::new();
        for at in 0..random.usize(1..4) {
            aggregates.push(format!("{} AS s{at}", self.aggregate(random)));
        }
        let aggregates = aggregates.join(", ");
        let having = pick(random, &["", "", "", " HAVING COUNT(*) > 1"]);
        if random.u8(0..6) == 0 {
            let aggregate = self.chain(random);
            return format!(
                "SELECT x.g, z.h, {aggregate} AS s FROM {left} x JOIN {right} y ON {on} JOIN b z ON y.h = z.h GROUP BY x.g, z.h"
            );
        }
        if random.u8(0..4) == 0 {
            let not = pick(random, &["", "NOT "]);
            let from = format!("{left} x JOIN {right} y ON {on}");
            return masked(random, not, &from, &aggregates, having);
        }
        if random.u8(0..12) == 0 && condition.is_empty() {
            return format!("SELECT DISTINCT {groups} FROM {left} x JOIN {right} y ON {on}");
        }
        match (random.u8(0..4), condition) {
            (0, "") => {
                format!("SELECT {groups}, {aggregates} FROM {left} x, {right} y WHERE {on} GROUP BY {groups}{having}")
            }
            (0, _) => {
                format!(
                    "SELECT {groups}, {aggregates} FROM {left} x, {right} y WHERE {on} AND ({condition}) GROUP BY {groups}{having}"
                )
            }
            (1, _) if !self.two_keys && !groups.contains("x.k") => {
                let filter = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
                format!(
                    "SELECT {groups}, {aggregates} FROM {left} x JOIN {right} y USING (k){filter} GROUP BY {groups}{having}"
                )
            }
            (2, "") => format!(
                "WITH x AS (SELECT * FROM {left} AS one), y AS (SELECT * FROM {right} AS other) \
                 SELECT {groups}, {aggregates} FROM x INNER JOIN y ON {on} GROUP BY {groups}{having}"
            ),
            (_, "") => {
                format!("SELECT {groups}, {aggregates} FROM {left} x JOIN {right} y ON {on} GROUP BY {groups}{having}")
            }
            _ => format!(
                "SELECT {groups}, {aggregates} FROM {left} x JOIN {right} y ON {on} AND ({condition}) GROUP BY {groups}{having}"
            ),
        }
    }

    /// An aggregate over three tables.
    fn chain(&self, random: &mut Rng) -> &'static str {
        let mut all = vec!["COUNT(*)", "SUM(x.v)", "SUM(z.v) AS m, COUNT(*)", "COUNT(y.v)"];
        if !self.values.name.starts_with("DECIMAL") {
            all.extend([
                "SUM(x.v * y.v * z.v)",
                "SUM(z.w * x.v)",
                "MIN(x.v + y.v + z.v)",
                "MAX(z.v + x.w)",
                "MAX(x.v * z.v)",
            ]);
        }
        all[random.usize(0..all.len())]
    }

    fn aggregate(&self, random: &mut Rng) -> String {
        let is_decimal = self.values.name.starts_with("DECIMAL");
        let mut all = vec![
            "SUM(x.v * y.v)",
            "SUM(y.w * x.v)",
            "COUNT(*)",
            "COUNT(x.v * y.w)",
            "SUM(x.v)",
            "SUM(y.v)",
            "COUNT(x.v)",
            "BOOL_OR(x.t AND y.t)",
            "BOOL_AND(x.t OR y.t)",
            "BOOL_OR(x.t)",
        ];
        if !is_decimal {
            all.extend([
                "SUM(x.v + y.v)",
                "SUM(x.v * y.v * x.w)",
                "AVG(x.v * y.v)",
                "SUM(LEAST(x.v, y.v))",
                "SUM(x.v * y.v * 2)",
                "MIN(x.v + y.v)",
                "MAX(x.v * y.w)",
                "MAX(LEAST(x.v, y.v))",
                "MIN(GREATEST(y.v, x.w))",
                "MIN(x.v)",
                "MAX(y.w)",
                "MIN(LEAST(x.v, y.v, y.w))",
            ]);
        }
        if self.values.is_float {
            // The divisor is a power of two, so that quotients and their sums are exact.
            all.extend(["SUM(x.v / (y.v * 0 + 4))", "SUM(x.v - y.v)", "SUM(-x.v * y.v)"]);
        }
        all[random.usize(0..all.len())].to_owned()
    }
}

/// A product with EXISTS or NOT EXISTS on its groups, below the aggregation or above it.
fn masked(random: &mut Rng, not: &str, from: &str, aggregates: &str, having: &str) -> String {
    // Each group, and the column of the mask that it is compared with.
    let keys: &[(&str, &str)] = match random.u8(0..6) {
        0 | 1 => &[("x.g", "g"), ("y.g", "g2")],
        2 => &[("x.g", "g"), ("y.h", "h")],
        3 => &[("y.h", "h2"), ("x.h", "h"), ("x.g", "g")],
        4 => &[("x.g", "g"), ("y.g", "g")],
        _ => &[("x.h", "h")],
    };
    let groups = keys.iter().map(|(group, _)| *group).collect::<Vec<_>>().join(", ");
    let exists = |names: &[String]| {
        let equal = names.iter().zip(keys).map(|(name, (_, column))| format!("z.{column} = {name}"));
        format!("{not}EXISTS (SELECT 1 FROM m z WHERE {})", equal.collect::<Vec<_>>().join(" AND "))
    };
    if random.bool() {
        let names: Vec<String> = keys.iter().map(|(group, _)| (*group).to_owned()).collect();
        let exists = exists(&names);
        return format!("SELECT {groups}, {aggregates} FROM {from} WHERE {exists} GROUP BY {groups}{having}");
    }
    let columns = keys.iter().enumerate().map(|(at, (group, _))| format!("{group} AS c{at}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let names: Vec<String> = (0..keys.len()).map(|at| format!("p.c{at}")).collect();
    let exists = exists(&names);
    format!("SELECT * FROM (SELECT {columns}, {aggregates} FROM {from} GROUP BY {groups}{having}) p WHERE {exists}")
}
