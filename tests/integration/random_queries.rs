//! Random queries return the same rows with our rules enabled and disabled, and the rules never run the model on more images.

use std::error::Error;
use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use fastrand::Rng;
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::infer::count;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    // One test per seed, so that a failure names the seed.
    (0..8).map(|seed| trial(format!("random_queries::seed_{seed}"), move || rules_preserve_rows(seed))).collect()
}

/// Queries per seed.
const QUERIES_PER_SEED: usize = 12;

/// The rules that each session disables; the first has the defaults.
const DISABLED_RULES: [&[&str]; 3] = [&[], &["share_infer", "defer_infer", "prune_infer"], &["lift_infer"]];

#[tokio::main]
async fn rules_preserve_rows(seed: u64) -> Result<(), Box<dyn Error>> {
    let mut sessions = Vec::new();
    for rules in DISABLED_RULES {
        let ocelli = Ocelli::builder().with_threads(2).build()?;
        let mixed = "SELECT uri, image, 100 AS width FROM 'examples/data/mixed.parquet'";
        let photos = "SELECT uri, image, width FROM 'examples/data/photos.parquet'";
        let others = "WHERE uri NOT IN (SELECT uri FROM 'examples/data/mixed.parquet') LIMIT 4";
        let mut statements = vec![
            format!("CREATE TABLE t AS {mixed} UNION ALL ({photos} {others})"),
            "SET ocelli.on_error = 'null'".to_owned(),
        ];
        statements.extend(rules.iter().map(|rule| format!("SET ocelli.{rule} = false")));
        for statement in statements {
            ocelli.sql(&statement).await?.collect().await?;
        }
        sessions.push(ocelli);
    }
    let mut random = Rng::with_seed(seed);
    for _ in 0..QUERIES_PER_SEED {
        let query = Generator(&mut random).query();
        let mut results = Vec::new();
        for ocelli in &sessions {
            results.push(run(ocelli, &query).await.map_err(|error| format!("{query}\n{error}"))?);
        }
        for (other, rules) in results.iter().zip(DISABLED_RULES) {
            assert_eq!(results[0].0, other.0, "without {rules:?}: {query}");
        }
        assert!(results[0].1 <= results[1].1, "{} images instead of {}: {query}", results[0].1, results[1].1);
    }
    Ok(())
}

/// The sorted rows, and the number of images on which operators ran the model.
async fn run(ocelli: &Ocelli, query: &str) -> Result<(Vec<String>, usize), Box<dyn Error>> {
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    let mut rows: Vec<String> = pretty_format_batches(&batches)?.to_string().lines().map(str::to_owned).collect();
    rows.sort();
    Ok((rows, count(&plan, "images_run")))
}

struct Generator<'a>(&'a mut Rng);

impl Generator<'_> {
    fn one_of<'b>(&mut self, choices: &[&'b str]) -> &'b str {
        choices[self.0.usize(..choices.len())]
    }

    /// `uri` is unique, so that sorting by it is deterministic.
    fn query(&mut self) -> String {
        let (string, predicate, other) = (self.string(3), self.predicate(3), self.predicate(2));
        let limit = match self.0.usize(..3) {
            0 => String::new(),
            1 => format!("ORDER BY uri LIMIT {}", self.0.usize(1..6)),
            _ => format!("ORDER BY width DESC, uri LIMIT {} OFFSET {}", self.0.usize(1..6), self.0.usize(..4)),
        };
        match self.0.usize(..9) {
            6 => format!(
                "SELECT uri, count(*) FILTER (WHERE {predicate}) OVER (PARTITION BY {string}) AS n FROM t WHERE {other} {limit}"
            ),
            7 => format!(
                "SELECT {string} AS x, {other} AS y, count(*) AS n FROM t WHERE {predicate} GROUP BY ROLLUP ({string}, {other})"
            ),
            8 => format!(
                "SELECT a.uri, b.uri FROM t AS a LEFT JOIN (SELECT uri, classify(image) AS label FROM t) AS b
                 ON a.uri = b.uri AND {} AND b.label <> 'dog'",
                predicate.replace("uri", "a.uri").replace("width", "a.width").replace("image", "a.image")
            ),
            0 => format!("SELECT uri, {string} AS x, {other} AS y FROM t WHERE {predicate} {limit}"),
            1 => format!("SELECT {string} AS x, count(*) AS n FROM t WHERE {predicate} GROUP BY {string}"),
            2 => format!(
                "SELECT count({string}) FILTER (WHERE {predicate}) AS n, max({string}) AS m FROM t WHERE {other}"
            ),
            3 => format!(
                "SELECT uri, label FROM (SELECT uri, width, image, {string} AS label FROM t WHERE {predicate}) AS t
                 WHERE label <> 'horse' OR {other} {limit}"
            ),
            4 => format!(
                "SELECT uri, {string} AS x FROM t WHERE uri IN (SELECT uri FROM t WHERE {predicate}) AND {other} {limit}"
            ),
            _ => format!(
                "SELECT uri, x, n FROM (SELECT uri, width, {string} AS x FROM t WHERE {other}) AS t
                 LEFT JOIN (SELECT uri AS name, 1 AS n FROM t WHERE {predicate}) AS u ON uri = name {limit}"
            ),
        }
    }

    fn call(&mut self) -> &'static str {
        self.one_of(&[
            "classify(image)",
            "classify(image)",
            "try_classify(image)",
            "classify_topk(image, k => 1)[1]['label']",
            "classify(image, on_error => 'struct')['value']",
            "classify(arrow_cast(image, 'Binary'))",
        ])
    }

    fn string(&mut self, depth: usize) -> String {
        match self.0.usize(..if depth == 0 { 3 } else { 7 }) {
            0 => "uri".to_owned(),
            1 | 2 => self.call().to_owned(),
            3 => format!("upper({})", self.string(depth - 1)),
            4 => format!("COALESCE(NULLIF(uri, 'photos/cat.jpg'), {})", self.string(depth - 1)),
            5 => format!("CASE WHEN {} THEN {} END", self.predicate(depth - 1), self.string(depth - 1)),
            _ => format!(
                "CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END",
                self.predicate(depth - 1),
                self.string(depth - 1),
                self.predicate(depth - 1),
                self.string(depth - 1),
                self.string(depth - 1)
            ),
        }
    }

    fn predicate(&mut self, depth: usize) -> String {
        match self.0.usize(..if depth == 0 { 2 } else { 7 }) {
            0 => self.one_of(&["width > 300", "uri LIKE '%c%'", "image IS NULL", "uri < 'photos/f'"]).to_owned(),
            1 => format!("{} = '{}'", self.call(), self.one_of(&["cat", "truck", "horse"])),
            2 => format!("{} IS NULL", self.string(depth - 1)),
            3 => format!("NOT ({})", self.predicate(depth - 1)),
            4 | 5 => format!("({} AND {})", self.predicate(depth - 1), self.predicate(depth - 1)),
            _ => format!("({} OR {})", self.predicate(depth - 1), self.predicate(depth - 1)),
        }
    }
}
