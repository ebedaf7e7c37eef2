//! That docs/architecture.md agrees with the code: the table of the engine's folders, and the paths of files.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;

use super::dependencies::ENGINE;
use super::{assert_no_violations, files};

const PAGE: &str = "docs/architecture.md";

/// Folders without a row: the sentence below the table says who uses them.
const WITHOUT_ROW: [&str; 2] = ["options", "error"];

/// A folder and the folders that it may use.
type Row<'a> = (&'a str, BTreeSet<&'a str>);

/// The table and the sentence below it state what `ENGINE` allows, in the same order.
pub(super) fn table_states_the_arrows() -> Result<(), Box<dyn Error>> {
    let page = fs::read_to_string(PAGE)?;
    let stated = stated_rows(&page);
    let rows = ENGINE.iter().filter(|(folder, _)| !WITHOUT_ROW.contains(folder));
    let expected: Vec<Row> = rows.map(|(folder, allowed)| (*folder, allowed.iter().copied().collect())).collect();
    let folders = |rows: &[Row]| rows.iter().map(|(folder, _)| *folder).collect::<Vec<_>>().join(", ");
    if folders(&stated) != folders(&expected) {
        return Err(format!("{PAGE}: the rows of the table should be {}", folders(&expected)).into());
    }
    let differing = stated.iter().zip(&expected).filter(|(stated, expected)| stated != expected);
    assert_no_violations(
        differing
            .map(|((folder, stated), (_, allowed))| {
                format!("{PAGE}: `{folder}` may use {stated:?}, tidy/dependencies.rs allows {allowed:?}")
            })
            .collect(),
    )
}

pub(super) fn files_of_the_page_exist() -> Result<(), Box<dyn Error>> {
    let (page, sources) = (fs::read_to_string(PAGE)?, files("rs"));
    let paths: BTreeSet<&str> = code_spans(&page).filter(|code| code.ends_with(".rs")).collect();
    assert!(paths.len() > 5, "only {} paths were found", paths.len());
    // A path may be relative to the folder that the sentence names.
    let missing = paths.into_iter().filter(|path| !sources.iter().any(|source| source.ends_with(path)));
    assert_no_violations(missing.map(|path| format!("{PAGE}: no file ends with {path}")).collect())
}

/// The rows of the table, with what the sentence below it adds: `a` and `b` use `options` and `error`, `c` uses `options`.
fn stated_rows(page: &str) -> Vec<Row<'_>> {
    let (_, section) = page.split_once("| May use |").unwrap_or_default();
    let (table, below) = section.split_once("\n\n").unwrap_or((section, ""));
    // The rest of the header and the line below it are no rows.
    let cells = table.lines().skip(2).map(|row| row.split('|').collect::<Vec<_>>());
    let cells: Vec<(&str, &str)> =
        cells.filter_map(|cells| Some((code_spans(cells.get(1)?).next()?, *cells.get(3)?))).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (folder, cell) in &cells {
        let named: BTreeSet<&str> = code_spans(cell).collect();
        let others = cells.iter().map(|(other, _)| *other).filter(|other| other != folder && !named.contains(other));
        let is_all_but = cell.trim().starts_with("all but ");
        rows.push((*folder, if is_all_but { others.collect() } else { named }));
    }
    let (sentence, _) = below.split_once(". ").unwrap_or((below, ""));
    let (mut users, mut is_complete) = (Vec::new(), false);
    for name in code_spans(sentence) {
        let is_used = WITHOUT_ROW.contains(&name);
        if is_used {
            for (_, used) in rows.iter_mut().filter(|(folder, _)| users.contains(folder)) {
                used.insert(name);
            }
        } else {
            if is_complete {
                users.clear();
            }
            users.push(name);
        }
        is_complete = is_used;
    }
    rows
}

/// The texts in backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
