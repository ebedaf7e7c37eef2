//! The files that patterns select, compared with those of DuckDB's `glob()`, in a hundred random folders.

use std::collections::BTreeMap;
use std::fs;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use libtest_mimic::Trial;
use ocelli::{Ocelli, user_message};
use serde::Deserialize;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("globs::patterns_select_the_files_of_duckdb", patterns_select_the_files_of_duckdb)]
}

/// A folder, as `tests/data/globs/make.py` describes it.
#[derive(Deserialize)]
struct Tree {
    files: Vec<String>,
    /// For each pattern the selected files.
    patterns: BTreeMap<String, Vec<String>>,
}

#[tokio::main]
async fn patterns_select_the_files_of_duckdb() -> Result<(), Box<dyn std::error::Error>> {
    let trees: Vec<Tree> = serde_json::from_slice(&fs::read("tests/data/globs/expected.json")?)?;
    let ocelli = Ocelli::builder().build()?;
    for tree in trees {
        let root = tempfile::tempdir()?;
        for file in &tree.files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().ok_or("a folder")?)?;
            // Each file has one row: its path.
            fs::write(path, format!("path\n{file}\n"))?;
        }
        for (pattern, expected) in &tree.patterns {
            let sql = format!("SELECT path FROM '{}/{pattern}'", root.path().display());
            let rows = async { ocelli.sql(&sql).await?.collect().await };
            let mut found = Vec::new();
            match rows.await {
                Ok(batches) => {
                    for batch in batches {
                        let paths = cast(batch.column(0), &DataType::Utf8)?;
                        found.extend(paths.as_string::<i32>().iter().flatten().map(str::to_owned));
                    }
                }
                Err(error) => {
                    let message = user_message(&error);
                    let is_absent =
                        message.contains("no file matches the pattern") || message.ends_with(" does not exist");
                    assert!(is_absent, "{pattern}: {message}");
                }
            }
            found.sort();
            assert_eq!(found, *expected, "{pattern} in {:?}", tree.files);
        }
    }
    Ok(())
}
