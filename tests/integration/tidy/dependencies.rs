//! Which folder of a crate may import which, and that imports between files form no cycles.
//!
//! ```text
//! `use` trees and paths of a file ──▶ the file that defines each item (re-exports are followed) ──▶ edges ──▶ arrows, cycles
//! ```
//!
//! Imports are read as text: what macros generate is not seen. Tests may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::{assert_no_violations, files};

/// A folder of a crate, and the folders that it may import.
type Arrows = &'static [(&'static str, &'static [&'static str])];

/// From the top to the bottom. A folder stands above everything that it may import.
const ENGINE: Arrows = &[
    ("session", &["infer", "sparse", "model", "storage", "sql", "options", "error"]),
    ("infer", &["model", "storage", "backend", "onnx", "plan", "runtime", "options", "error"]),
    ("sparse", &["storage", "sql", "plan", "runtime", "options", "error"]),
    ("model", &["storage", "backend", "onnx", "sql", "runtime", "options", "error"]),
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

/// A source file and what it imports.
struct Source {
    path: PathBuf,
    module: Vec<String>,
    /// Absolute paths of the items that it uses, and the line of each.
    uses: Vec<(Vec<String>, String)>,
    /// Names that it re-exports, and the absolute paths of what they name.
    reexports: BTreeMap<String, Vec<String>>,
}

pub(super) fn arrows_point_down() -> Result<(), Box<dyn Error>> {
    let mut violations = Vec::new();
    for (root, arrows) in [("engine/src", ENGINE), ("gpu/src", GPU)] {
        let sources = sources(Path::new(root))?;
        for (from, to, line) in edges(&sources) {
            let folder = |at: usize| sources[at].module[0].as_str();
            let allowed = arrows.iter().find(|(name, _)| *name == folder(from)).map(|(_, allowed)| *allowed);
            let Some(allowed) = allowed else {
                violations.push(format!("{root}/{} is in no list of arrows", folder(from)));
                continue;
            };
            if folder(from) != folder(to) && !allowed.contains(&folder(to)) {
                let (from, to) = (sources[from].path.display(), sources[to].path.display());
                violations.push(format!("{from} must not import {to}: {line}"));
            }
        }
        for (at, (name, allowed)) in arrows.iter().enumerate() {
            let is_below = |other: &str| arrows[at + 1..].iter().any(|(below, _)| *below == other);
            let up = allowed.iter().filter(|other| !is_below(other));
            violations.extend(up.map(|other| format!("the arrow {root}/{name} -> {other} does not point down")));
        }
    }
    assert_no_violations(violations)
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
    let is_kernel = |source: &Source| source.module.iter().any(|part| part == "kernels");
    let sources = sources(Path::new("engine/src"))?;
    let kernels: Vec<usize> = (0..sources.len()).filter(|at| is_kernel(&sources[*at])).collect();
    assert!(kernels.len() > 5, "only {} kernels were found", kernels.len());
    let mut violations = Vec::new();
    for &at in &kernels {
        let path = &sources[at].path;
        for word in ["datafusion", "arrow"] {
            let text = fs::read_to_string(path)?;
            let imports = text.lines().filter(|line| line.trim_start().starts_with("use ") && line.contains(word));
            violations.extend(imports.map(|line| format!("{}: a kernel takes slices: {line}", path.display())));
        }
    }
    for (from, to, line) in edges(&sources) {
        if kernels.contains(&from) && !kernels.contains(&to) {
            violations.push(format!("{}: a kernel imports kernels only: {line}", sources[from].path.display()));
        }
    }
    assert_no_violations(violations)
}

/// The nodes that can be reached over at least one edge.
fn reachable(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(node) = open.pop() {
        open.extend(edges[node].iter().filter(|next| found.insert(**next)));
    }
    found
}

/// Every import of one file by another, with its line.
fn edges(sources: &[Source]) -> Vec<(usize, usize, String)> {
    let mut edges = Vec::new();
    for (from, source) in sources.iter().enumerate() {
        // The crate root only lists what is public.
        for (path, line) in source.uses.iter().filter(|_| !source.module.is_empty()) {
            let to = definition(sources, path);
            if to != from && !sources[to].module.is_empty() {
                edges.push((from, to, line.clone()));
            }
        }
    }
    edges
}

/// The file that defines an item.
fn definition(sources: &[Source], path: &[String]) -> usize {
    let contains = |source: &Source| path.starts_with(&source.module);
    let longest = sources.iter().enumerate().filter(|(_, source)| contains(source));
    let Some((at, source)) = longest.max_by_key(|(_, source)| source.module.len()) else { return 0 };
    let rest = &path[source.module.len()..];
    match rest.first().and_then(|name| source.reexports.get(name)) {
        Some(target) => definition(sources, &[target.as_slice(), &rest[1..]].concat()),
        None => at,
    }
}

fn sources(root: &Path) -> Result<Vec<Source>, Box<dyn Error>> {
    let is_test = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        stem == "tests" || stem.ends_with("_test")
    };
    let mut sources = Vec::new();
    for path in files("rs").into_iter().filter(|path| path.starts_with(root) && !is_test(path)) {
        let below = path.strip_prefix(root)?.with_extension("");
        let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module == ["lib"] {
            module.clear();
        }
        let text = fs::read_to_string(&path)?;
        sources.push(parse(path, module, &text));
    }
    Ok(sources)
}

/// Reads the imports of a file, without its `mod tests`.
fn parse(path: PathBuf, module: Vec<String>, text: &str) -> Source {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let child = |line: &str| Some(line.rsplit_once("mod ")?.1.strip_suffix(';')?.to_owned());
    let children: BTreeSet<String> = code.lines().filter_map(child).collect();
    let absolute = |path: &[String]| -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
            }
            child if children.contains(child) => Some([&module, path].concat()),
            _ => None,
        }
    };
    let (mut uses, mut reexports, mut others) = (Vec::new(), BTreeMap::new(), String::new());
    let mut lines = code.lines();
    while let Some(first) = lines.next() {
        let Some((visibility, tree)) = first.trim().split_once("use ").filter(|(before, _)| is_visibility(before))
        else {
            others.extend([first, "\n"]);
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.ends_with(';') {
            let Some(more) = lines.next() else { break };
            tree.push_str(more.trim());
        }
        for leaf in leaves(tree.trim_end_matches(';'), &[]) {
            let Some(path) = absolute(&leaf) else { continue };
            match visibility {
                "" => uses.push((path, format!("use {tree}"))),
                _ => drop(reexports.insert(path.last().cloned().unwrap_or_default(), path)),
            }
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in others.match_indices(start) {
            let tail = &others[at..];
            let end = tail.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(tail.len());
            let inline: Vec<String> = tail[..end].split("::").map(str::to_owned).collect();
            let is_whole = !others[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if let Some(path) = absolute(&inline).filter(|_| is_whole) {
                uses.push((path, tail[..end].to_owned()));
            }
        }
    }
    Source { path, module, uses, reexports }
}

/// Whether what stands before `use` makes a statement of it: nothing, or `pub(…)`.
fn is_visibility(text: &str) -> bool {
    text.is_empty() || (text.starts_with("pub") && text.ends_with(' ') && !text.trim_end().contains(' '))
}

/// `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn leaves(tree: &str, prefix: &[String]) -> Vec<Vec<String>> {
    let tree = tree.split(" as ").next().unwrap_or_default().trim();
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, group.strip_suffix('}')),
        None => (tree, None),
    };
    let segments = path.split("::").filter(|segment| !segment.is_empty() && *segment != "self").map(str::to_owned);
    let path: Vec<String> = prefix.iter().cloned().chain(segments).collect();
    let Some(group) = group else { return vec![path] };
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(leaves(&group[start..at], &path));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}
