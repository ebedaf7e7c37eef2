//! Which folder of a crate may import which, and that imports between files form no cycles.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use super::assert_no_violations;
use super::imports::{Source, edges, source, sources};

/// A folder of a crate, and the folders that it may import.
pub(super) type Arrows = &'static [(&'static str, &'static [&'static str])];

/// From the top to the bottom. A folder stands above everything that it may import.
pub(super) const ENGINE: Arrows = &[
    ("session", &["infer", "sparse", "model", "aggregate", "storage", "sql", "options", "error"]),
    ("infer", &["model", "storage", "backend", "onnx", "plan", "runtime", "options", "error"]),
    ("sparse", &["aggregate", "storage", "sql", "plan", "runtime", "options", "error"]),
    ("model", &["storage", "backend", "onnx", "sql", "runtime", "options", "error"]),
    ("aggregate", &[]),
    ("storage", &["error"]),
    ("backend", &["onnx", "runtime", "options"]),
    ("onnx", &[]),
    ("sql", &[]),
    ("plan", &[]),
    ("runtime", &[]),
    ("options", &[]),
    ("error", &[]),
];

const GPU: Arrows = &[
    ("runtime", &["plan", "device", "graph", "kernel", "precision", "error"]),
    ("sparse", &["device", "kernel", "precision", "error"]),
    ("plan", &["graph", "kernel", "error"]),
    ("device", &["kernel", "precision", "error"]),
    ("kernel", &["precision"]),
    ("graph", &["error"]),
    ("precision", &[]),
    ("error", &[]),
];

/// Files that import one another, and why each group is one concept.
const CYCLES: &[(&[&str], &str)] = &[
    (
        &["engine/src/sparse/rule.rs", "engine/src/sparse/rule/chain.rs"],
        "a chain of products is matched product by product, and a product may have a chain as an operand",
    ),
    (
        &["engine/src/storage/matrix_market/entries.rs", "engine/src/storage/matrix_market/header.rs"],
        "reading the header returns the reader of the entries, whose type the header determines",
    ),
    (
        &["engine/src/storage/matrix_market/scan.rs", "engine/src/storage/matrix_market/table.rs"],
        "a table provider plans its scan, and the scan reads with the table's schema",
    ),
];

pub(super) fn arrows_point_down() -> Result<(), Box<dyn Error>> {
    let mut violations = Vec::new();
    for (root, arrows) in [("engine/src", ENGINE), ("gpu/src", GPU)] {
        violations.extend(arrow_violations(root, arrows, &sources(Path::new(root))?));
    }
    assert_no_violations(violations)
}

/// Imports without an arrow, arrows that no import needs, and arrows that point up.
fn arrow_violations(root: &str, arrows: Arrows, sources: &[Source]) -> Vec<String> {
    let (mut violations, mut needed) = (Vec::new(), BTreeSet::new());
    for (from, to, line) in edges(sources) {
        let folder = |at: usize| sources[at].module[0].as_str();
        let allowed = arrows.iter().find(|(name, _)| *name == folder(from)).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            violations.push(format!("{root}/{} is in no list of arrows", folder(from)));
            continue;
        };
        needed.insert((folder(from), folder(to)));
        if folder(from) != folder(to) && !allowed.contains(&folder(to)) {
            let (from, to) = (sources[from].path.display(), sources[to].path.display());
            violations.push(format!("{from} must not import {to}: {line}"));
        }
    }
    for (at, (name, allowed)) in arrows.iter().enumerate() {
        let is_below = |other: &str| arrows[at + 1..].iter().any(|(below, _)| *below == other);
        let up = allowed.iter().filter(|other| !is_below(other));
        violations.extend(up.map(|other| format!("the arrow {root}/{name} -> {other} does not point down")));
        let stale = allowed.iter().filter(|other| !needed.contains(&(*name, **other)));
        violations.extend(stale.map(|other| format!("no import needs the arrow {root}/{name} -> {other}: remove it")));
    }
    violations
}

pub(super) fn cycles_have_reasons() -> Result<(), Box<dyn Error>> {
    let mut found = BTreeSet::new();
    for root in ["engine/src", "gpu/src"] {
        let sources = sources(Path::new(root))?;
        let mut imports = vec![BTreeSet::new(); sources.len()];
        for (from, to, _) in edges(&sources) {
            imports[from].insert(to);
        }
        let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(|from| reachable(&imports, from)).collect();
        for (at, reached_from_here) in reached.iter().enumerate() {
            let mut cycle: Vec<String> = reached_from_here
                .iter()
                .filter(|other| reached[**other].contains(&at))
                .map(|other| sources[*other].path.display().to_string())
                .collect();
            if cycle.len() > 1 {
                cycle.sort();
                found.insert(cycle);
            }
        }
    }
    let known: BTreeSet<Vec<String>> =
        CYCLES.iter().map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect()).collect();
    let new = found.difference(&known).map(|cycle| format!("these files import one another: {}", cycle.join(", ")));
    let gone = known.difference(&found).map(|cycle| format!("no cycle any more, remove it: {}", cycle.join(", ")));
    assert_no_violations(new.chain(gone).collect())
}

/// Kernels know neither Arrow nor DataFusion, and no module of ours but other kernels.
pub(super) fn kernels_take_slices() -> Result<(), Box<dyn Error>> {
    let is_kernel = |source: &Source| {
        source.module.iter().any(|part| part == "kernels") || source.module == ["model", "preprocess", "normalize"]
    };
    is_independent("engine/src", is_kernel, "a kernel takes slices, and imports kernels only")
}

/// The same for image processing, which the scalar functions on images call.
pub(super) fn image_processing_knows_no_sql() -> Result<(), Box<dyn Error>> {
    let is_image = |source: &Source| source.module.first().is_some_and(|part| part == "image");
    is_independent("udf/src", is_image, "image processing knows no SQL")
}

/// Checks that some files name neither Arrow nor DataFusion, and import one another only.
fn is_independent(root: &str, is_member: impl Fn(&Source) -> bool, rule: &str) -> Result<(), Box<dyn Error>> {
    let sources = sources(Path::new(root))?;
    let members: BTreeSet<usize> = (0..sources.len()).filter(|at| is_member(&sources[*at])).collect();
    assert!(members.len() > 5, "only {} files were found: {rule}", members.len());
    let mut violations = Vec::new();
    for source in members.iter().map(|at| &sources[*at]) {
        let foreign = source.code.lines().filter(|line| names_arrow_or_datafusion(line));
        violations.extend(foreign.map(|line| format!("{}: {rule}: {}", source.path.display(), line.trim())));
    }
    let outwards = edges(&sources).into_iter().filter(|(from, to, _)| members.contains(from) && !members.contains(to));
    violations.extend(outwards.map(|(from, _, line)| format!("{}: {rule}: {line}", sources[from].path.display())));
    assert_no_violations(violations)
}

/// Whether a line of code has a name such as `datafusion` or `arrow_schema`: in a `use`, a `pub use`, or a path.
fn names_arrow_or_datafusion(line: &str) -> bool {
    let code = line.split(" //").next().unwrap_or_default();
    let mut names = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    names.any(|name| name.starts_with("datafusion") || name.starts_with("arrow"))
}

/// The nodes that can be reached over at least one edge.
fn reachable(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(node) = open.pop() {
        open.extend(edges[node].iter().filter(|next| found.insert(**next)));
    }
    found
}

/// Checks `arrow_violations`.
pub(super) fn arrows_are_checked() -> Result<(), Box<dyn Error>> {
    const ARROWS: Arrows = &[("session", &["storage"]), ("storage", &[])];
    const DOWN: &str = "use crate::storage::Table;";
    for (session, storage, expected) in [
        (DOWN, "", ""),
        (DOWN, "use crate::session::Ocelli;", "storage must not import session: use crate::session::Ocelli;"),
        (
            DOWN,
            "pub(crate) use crate::session::Ocelli;",
            "storage must not import session: pub(crate) use crate::session::Ocelli;",
        ),
        ("", "", "no import needs the arrow src/session -> storage: remove it"),
    ] {
        let sources = [source("", ""), source("session", session), source("storage", storage)];
        assert_eq!(arrow_violations("src", ARROWS, &sources).join("\n"), expected);
    }
    Ok(())
}

/// Checks `names_arrow_or_datafusion`.
pub(super) fn foreign_names_are_found() -> Result<(), Box<dyn Error>> {
    for line in
        ["use datafusion::common::Result;", "pub use arrow_schema::Field;", "fn f(array: &arrow::array::ArrayRef)"]
    {
        assert!(names_arrow_or_datafusion(line), "{line}");
    }
    for line in ["use super::csr::Csr;", "let narrow = row; // an arrow::array::ArrayRef", ""] {
        assert!(!names_arrow_or_datafusion(line), "{line}");
    }
    Ok(())
}
