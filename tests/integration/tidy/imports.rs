//! Imports between the files of a crate, read from their text.
//!
//! ```text
//! `use` trees and paths of a file ──▶ the file that defines each item (re-exports are followed) ──▶ edges
//! ```
//!
//! What macros generate is not seen. Tests may import anything: files of tests and `mod tests` are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::files;

/// A source file and what it imports.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) module: Vec<String>,
    /// The text without comment lines and without `mod tests`.
    pub(super) code: String,
    /// Absolute paths of the items that it uses, and the line of each.
    uses: Vec<(Vec<String>, String)>,
    /// Names that it re-exports, and the absolute paths of the items. Items of other modules are in `uses` too.
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

/// Reads the imports of a file.
fn parse(path: PathBuf, module: Vec<String>, text: &str) -> Source {
    let code = code(text);
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
        for (leaf, name) in leaves(tree.trim_end_matches(';'), &[]) {
            let Some(path) = absolute(&leaf) else { continue };
            if visibility.is_empty() || !path.starts_with(&module) {
                uses.push((path.clone(), format!("{visibility}use {tree}")));
            }
            if !visibility.is_empty() {
                reexports.insert(name, path);
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
    Source { path, module, code, uses, reexports }
}

/// The text without comment lines and without `mod tests`, whose closing brace rustfmt places in the first column.
fn code(text: &str) -> String {
    let (mut code, mut is_test) = (String::new(), false);
    for line in text.lines() {
        is_test |= line == "mod tests {";
        if !is_test && !line.trim_start().starts_with("//") {
            code.extend([line, "\n"]);
        }
        is_test &= line != "}";
    }
    code
}

/// Whether what stands before `use` makes a statement of it: nothing, or `pub(…)`.
fn is_visibility(text: &str) -> bool {
    text.is_empty() || (text.starts_with("pub") && text.ends_with(' ') && !text.trim_end().contains(' '))
}

/// Paths and the names that they are imported by: `a::{b, c::d as e}` is `a::b` by `b` and `a::c::d` by `e`.
fn leaves(tree: &str, prefix: &[String]) -> Vec<(Vec<String>, String)> {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let (path, alias) = path.split_once(" as ").unwrap_or((path, ""));
    let segments = path.trim().split("::").filter(|segment| !segment.is_empty() && *segment != "self");
    let path: Vec<String> = prefix.iter().cloned().chain(segments.map(str::to_owned)).collect();
    let Some(group) = group else {
        let name = Some(alias.trim().to_owned()).filter(|alias| !alias.is_empty()).or(path.last().cloned());
        return vec![(path, name.unwrap_or_default())];
    };
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                // After the last comma there may be nothing.
                let tree = Some(group[start..at].trim()).filter(|tree| !tree.is_empty());
                found.extend(tree.into_iter().flat_map(|tree| leaves(tree, &path)));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// A source for the checks of this test: a module such as `session/progress`, which is its path too.
pub(super) fn source(module: &str, text: &str) -> Source {
    parse(module.into(), module.split_terminator('/').map(str::to_owned).collect(), text)
}

/// Checks `parse` and `edges`: each way to write an import is an edge, and comments and tests are none.
pub(super) fn every_import_is_an_edge() -> Result<(), Box<dyn Error>> {
    let imports = |text: &str| {
        let session = source("session", "mod progress;\npub use progress::Progress as Report;");
        let sources = [source("", ""), session, source("session/progress", ""), source("storage", text)];
        let edges = edges(&sources).into_iter().filter(|(from, ..)| *from == 3);
        edges.map(|(_, to, _)| sources[to].path.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    for (text, expected) in [
        ("use crate::session::Ocelli;", "session"),
        ("pub(crate) use crate::session::Ocelli;", "session"),
        ("pub use super::session::{Ocelli as Session};", "session"),
        ("use crate::{\n    error::Error,\n    session::Ocelli,\n};", "session"),
        ("fn open() {\n    crate::session::open();\n}", "session"),
        ("use crate::session::Report;", "session/progress"),
        ("use crate::session::Progress;", "session"),
        ("#[cfg(test)]\nmod tests {\n}\n\nuse crate::session::Ocelli;", "session"),
        ("#[cfg(test)]\nmod tests {\n    use crate::session::Ocelli;\n}", ""),
        ("// use crate::session::Ocelli;", ""),
        ("pub(crate) use self::session::Ocelli;", ""),
        ("use other::session::Ocelli;", ""),
    ] {
        let found = imports(text);
        if found != expected {
            return Err(format!("{text}: imports '{found}' instead of '{expected}'").into());
        }
    }
    Ok(())
}
