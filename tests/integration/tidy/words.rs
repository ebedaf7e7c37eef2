//! Private words that were replaced by the terms of the field, so that they do not come back.
//!
//! Read line by line: a phrase that a line break divides is not found.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::{assert_no_violations, files};

/// The word as it was, and the term to write, or the reason why the word says nothing. Plurals and verb forms are found too.
const REPLACED: [(&str, &str); 32] = [
    ("picture", "image"),
    ("whole number", "integer"),
    ("truths", "booleans"),
    ("whoever", "name the caller, the thread or the query"),
    ("somebody", "name the caller, the thread or the query"),
    ("nobody", "name the caller, the thread or the query"),
    ("anybody", "untrusted"),
    ("other people's", "third-party"),
    ("so many", "n, or the name of the count"),
    ("at every look", "volatile"),
    ("on its way", "in flight, or prefetched"),
    ("under way", "in flight, or running"),
    ("come by", "be streamed"),
    ("come of", "be caused by, or result from"),
    ("moving operand", "streamed operand"),
    ("resting operand", "resident operand"),
    ("lie still", "be resident"),
    ("give back", "release"),
    ("given back", "released"),
    ("made of", "expressed over, built from, or the exact relation"),
    ("for want of", "without"),
    ("wanted", "requested, or needed"),
    ("let be", "left unchanged"),
    ("left alone", "not applied, or left unchanged"),
    ("own words", "message"),
    ("for a sentence", "as a message"),
    ("half a sentence", "as a message"),
    ("look at", "classify, read, or inspect"),
    ("numbers of a tensor", "elements"),
    ("the house", "the repository"),
    ("findings", "predictions, results, or violations"),
    ("road", "code path, or kernel variant"),
];

/// Files that need a word, and why.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    ("engine/src/sparse/dataframe.rs", "road", "the matrix of the example is a road network"),
    ("examples/shortest_paths.rs", "road", "the matrix of the example is a road network"),
    ("examples/data/README.md", "road", "describes the road network"),
];

/// Data files whose names are no prose.
const DATA_FILES: [&str; 2] = ["pictures.csv", "roads.csv"];

/// Plurals and verb forms of a word have one of these.
const ENDINGS: [&str; 6] = ["", "s", "es", "d", "ed", "ing"];

pub(super) fn replaced_words_stay_away() -> Result<(), Box<dyn Error>> {
    let replaced = REPLACED.map(|(word, term)| (word, words(word), term));
    let (mut violations, mut needed) = (Vec::new(), BTreeSet::new());
    let texts = ["rs", "wgsl", "md", "py", "toml", "slt"].into_iter().flat_map(files);
    for path in texts.filter(|path| is_covered(path)).chain([PathBuf::from(".ci/run")]) {
        let exceptions: Vec<&str> =
            EXCEPTIONS.iter().filter(|(file, ..)| path == Path::new(file)).map(|(_, word, _)| *word).collect();
        for (at, line) in fs::read_to_string(&path)?.lines().enumerate() {
            let line = words(&without_data_files(line));
            for (word, _, term) in replaced.iter().filter(|(_, phrase, _)| contains_phrase(&line, phrase)) {
                match exceptions.contains(word) {
                    true => drop(needed.insert((path.display().to_string(), *word))),
                    false => violations.push(format!("{}:{}: '{word}': write {term}", path.display(), at + 1)),
                }
            }
        }
    }
    let stale = EXCEPTIONS.iter().filter(|(file, word, _)| !needed.contains(&((*file).to_owned(), *word)));
    violations.extend(stale.map(|(file, word, _)| format!("{file} needs no exception for '{word}': remove it")));
    assert_no_violations(violations)
}

fn is_covered(path: &Path) -> bool {
    const FOLDERS: [&str; 9] = ["engine", "udf", "gpu", "cli", "docs", "tests", "benches", "examples", "fuzz"];
    let is_script = path.extension().is_some_and(|extension| extension == "py");
    let is_data = path.starts_with("tests/data") && !is_script;
    let is_root = path.components().count() == 1;
    let is_this = path == Path::new("tests/integration/tidy/words.rs");
    (is_root || FOLDERS.iter().any(|folder| path.starts_with(folder))) && !is_data && !is_this
}

fn without_data_files(line: &str) -> String {
    DATA_FILES.iter().fold(line.to_owned(), |line, name| line.replace(name, "''"))
}

/// The words of a text in lower case: `BadImage` and `bad_image` are two. A punctuation mark is a word of its own.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut before) = (Vec::<String>::new(), ' ');
    for c in text.chars() {
        let is_inside = c.is_alphanumeric() && before.is_alphanumeric() && !(before.is_lowercase() && c.is_uppercase());
        match words.last_mut().filter(|_| is_inside) {
            Some(word) => word.extend(c.to_lowercase()),
            None => words.push(c.to_lowercase().collect()),
        }
        before = c;
    }
    words.retain(|word| !matches!(word.as_str(), " " | "_" | "-"));
    words
}

/// Whether the words of a line contain those of a phrase, each with any of `ENDINGS`.
fn contains_phrase(line: &[String], phrase: &[String]) -> bool {
    let is_form = |word: &str, base: &str| word.strip_prefix(base).is_some_and(|ending| ENDINGS.contains(&ending));
    line.windows(phrase.len()).any(|part| part.iter().zip(phrase).all(|(word, base)| is_form(word, base)))
}

/// Checks `words` and `contains_phrase`.
pub(super) fn words_are_found_in_every_form() -> Result<(), Box<dyn Error>> {
    let contains = |line: &str, phrase: &str| contains_phrase(&words(&without_data_files(line)), &words(phrase));
    for (line, phrase) in [
        ("enum Error { BadPicture }", "picture"),
        ("fn read_pictures(path: &Path)", "picture"),
        ("const MAX_PICTURES: usize", "picture"),
        ("Pictures, of any size", "picture"),
        ("the full-road variant", "road"),
        ("it looked at each row", "look at"),
        ("LookAt", "look at"),
        ("other people's code", "other people's"),
    ] {
        assert!(contains(line, phrase), "'{phrase}' is in: {line}");
    }
    for (line, phrase) in [
        ("each image of photos.parquet", "picture"),
        ("'examples/data/pictures.csv'", "picture"),
        ("broadcast over the row", "road"),
        ("let outcome = of(row);", "come of"),
        ("where to look. At the end", "look at"),
    ] {
        assert!(!contains(line, phrase), "'{phrase}' is not in: {line}");
    }
    Ok(())
}
