//! Repository conventions that a machine can check. Each violation names the remedy.

mod architecture;
mod dependencies;
mod imports;
mod words;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::trial;

/// A longer file holds two concepts.
const MAX_LINES: usize = 500;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tidy::files_say_what_they_are", files_say_what_they_are),
        trial("tidy::files_are_short", files_are_short),
        trial("tidy::files_have_names", files_have_names),
        trial("tidy::functions_and_rules_have_their_slt", functions_and_rules_have_their_slt),
        trial("tidy::examples_name_themselves", examples_name_themselves),
        trial("tidy::layout_lists_every_folder", layout_lists_every_folder),
        trial("tidy::imports_point_down", dependencies::arrows_point_down),
        trial("tidy::import_cycles_have_reasons", dependencies::cycles_have_reasons),
        trial("tidy::kernels_take_slices", dependencies::kernels_take_slices),
        trial("tidy::image_processing_knows_no_sql", dependencies::image_processing_knows_no_sql),
        trial("tidy::arrows_are_checked", dependencies::arrows_are_checked),
        trial("tidy::foreign_names_are_found", dependencies::foreign_names_are_found),
        trial("tidy::every_import_is_an_edge", imports::every_import_is_an_edge),
        trial("tidy::table_states_the_arrows", architecture::table_states_the_arrows),
        trial("tidy::files_of_the_page_exist", architecture::files_of_the_page_exist),
        trial("tidy::replaced_words_stay_away", words::replaced_words_stay_away),
        trial("tidy::words_are_found_in_every_form", words::words_are_found_in_every_form),
        trial("tidy::versions_are_pinned_once", versions_are_pinned_once),
        trial("tidy::images_have_licences", images_have_licences),
    ]
}

/// The files of the repository with an extension, by their paths from the root.
fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name == "target" || name.starts_with('.') => {}
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let (root, mut found) = (Path::new("."), Vec::new());
    walk(root, &mut found);
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.iter().map(|path| path.strip_prefix(root).expect("below the root").to_owned()).collect()
}

/// Fails with the violations, one per line.
fn assert_no_violations(violations: Vec<String>) -> Result<(), Box<dyn Error>> {
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n").into()) }
}

fn files_say_what_they_are() -> Result<(), Box<dyn Error>> {
    let sources = files("rs");
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    let mut violations = Vec::new();
    for path in sources {
        if !fs::read_to_string(&path)?.starts_with("//! ") {
            violations.push(format!("{}: start it with one sentence: //! …", path.display()));
        }
    }
    assert_no_violations(violations)
}

fn files_are_short() -> Result<(), Box<dyn Error>> {
    let mut violations = Vec::new();
    for path in files("rs").into_iter().chain(files("wgsl")) {
        let lines = fs::read_to_string(&path)?.lines().count();
        if lines > MAX_LINES {
            violations.push(format!("{}: {lines} lines; more than {MAX_LINES} are two concepts", path.display()));
        }
    }
    assert_no_violations(violations)
}

fn files_have_names() -> Result<(), Box<dyn Error>> {
    const NO_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "mod"];
    let unnamed = files("rs").into_iter().filter(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        NO_NAMES.contains(&&*stem)
    });
    assert_no_violations(unnamed.map(|path| format!("{}: name it after what is inside", path.display())).collect())
}

fn functions_and_rules_have_their_slt() -> Result<(), Box<dyn Error>> {
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let tested: BTreeSet<String> = files("slt").iter().map(stem).collect();
    let functions = ocelli::functions::all_functions().into_iter().map(|function| function.name().to_owned());
    let rules = files("rs").into_iter().filter(|path| path.starts_with("engine")).filter_map(|path| rule_name(&path));
    let untested = functions.chain(rules).filter(|name| !tested.contains(name));
    assert_no_violations(untested.map(|name| format!("{name}: has no {name}.slt below tests/slt")).collect())
}

/// What `OptimizerRule::name` returns, in a file that implements one.
fn rule_name(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let implementation = text.split("impl OptimizerRule for").nth(1)?;
    Some(implementation.split('"').nth(1)?.to_owned())
}

fn examples_name_themselves() -> Result<(), Box<dyn Error>> {
    let manifest = fs::read_to_string("examples/Cargo.toml")?;
    let mut violations = Vec::new();
    for path in files("rs").into_iter().filter(|path| path.starts_with("examples")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path)?;
        if !text.contains(&format!("cargo run -p ocelli-examples --example {name}`")) {
            violations.push(format!("{}: say in its head how to run it", path.display()));
        }
        if text.lines().count() > 150 {
            violations.push(format!("{}: an example of more than 150 lines is no example", path.display()));
        }
        if !manifest.contains(&format!("name = \"{name}\"")) {
            violations.push(format!("{}: is not in examples/Cargo.toml", path.display()));
        }
    }
    assert_no_violations(violations)
}

fn layout_lists_every_folder() -> Result<(), Box<dyn Error>> {
    let readme = fs::read_to_string("README.md")?;
    let layout = readme.split("## Repository layout").nth(1).ok_or("README.md has no section 'Repository layout'")?;
    let mut violations = Vec::new();
    for path in files("rs").iter().chain(&files("slt")).filter_map(|path| path.components().next()) {
        let folder = format!("{}/", path.as_os_str().to_string_lossy());
        if !layout.contains(&folder) && !violations.contains(&folder) {
            violations.push(folder);
        }
    }
    assert_no_violations(
        violations
            .into_iter()
            .map(|folder| format!("{folder} is missing in the repository layout of README.md"))
            .collect(),
    )
}

fn versions_are_pinned_once() -> Result<(), Box<dyn Error>> {
    let mut violations = Vec::new();
    // `fuzz/` is a workspace of its own.
    let is_member =
        |path: &PathBuf| path.components().count() == 2 && path.ends_with("Cargo.toml") && !path.starts_with("fuzz");
    for path in files("toml").into_iter().filter(is_member) {
        let text = fs::read_to_string(&path)?;
        let mut in_dependencies = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies = section.contains("dependencies");
            } else if in_dependencies
                && !line.is_empty()
                && !line.starts_with('#')
                && !line.contains("workspace = true")
            {
                violations.push(format!("{}: `{line}` belongs in the root manifest", path.display()));
            }
        }
    }
    assert_no_violations(violations)
}

fn images_have_licences() -> Result<(), Box<dyn Error>> {
    let licences = fs::read_to_string("examples/data/README.md")?;
    let mut violations = Vec::new();
    for entry in fs::read_dir("examples/data/photos")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !licences.contains(&name) {
            violations.push(format!("{name} is not in examples/data/README.md: source, author, licence"));
        }
    }
    assert_no_violations(violations)
}
