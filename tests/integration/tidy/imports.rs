//! Imports between the files of a crate, read from their text.
//!
//! ```text
//! `use` trees and paths of a file ──▶ the file that defines each item (re-exports are followed) ──▶ edges
//! ```
//!
//! What macros generate is not seen, and neither are tests: they may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::files;

/// A source file and what it imports.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) module: Vec<String>,
    /// Absolute paths of the items that it uses, and the line of each.
    uses: Vec<(Vec<String>, String)>,
    /// Names that it re-exports, and the absolute paths of what they name.
    reexports: BTreeMap<String, Vec<String>>,
}

/// Every import of one file by another, with its line.
pub(super) fn edges(sources: &[Source]) -> Vec<(usize, usize, String)> {
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

pub(super) fn sources(root: &Path) -> Result<Vec<Source>, Box<dyn Error>> {
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
