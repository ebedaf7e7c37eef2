//! Private words that were replaced by the terms of the field, so that they do not come back.

use std::error::Error;
use std::fs;
use std::path::Path;

use super::{assert_no_violations, files};

/// The word as it was, and the term to write, or the reason why the word says nothing.
const REPLACED: [(&str, &str); 32] = [
    ("picture", "image"),
    ("pictures", "images"),
    ("whole number", "integer"),
    ("whole numbers", "integers"),
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
    ("comes by", "is streamed"),
    ("moving operand", "streamed operand"),
    ("resting operand", "resident operand"),
    ("lies still", "is resident"),
    ("given back", "released"),
    ("gives back", "releases"),
    ("made of", "expressed over, built from, or the exact relation"),
    ("for want of", "without"),
    ("let be", "left unchanged"),
    ("left alone", "not applied, or left unchanged"),
    ("own words", "message"),
    ("for a sentence", "as a message"),
    ("half a sentence", "as a message"),
    ("looks at", "classifies, reads, or inspects"),
    ("numbers of a tensor", "elements"),
    ("the house", "the repository"),
    ("findings", "predictions, results, or violations"),
    ("road", "code path, or kernel variant"),
];

pub(super) fn replaced_words_stay_away() -> Result<(), Box<dyn Error>> {
    let mut violations = Vec::new();
    let texts = ["rs", "wgsl", "md", "py", "toml"].into_iter().flat_map(files);
    for path in texts.filter(|path| is_covered(path)) {
        for (at, line) in fs::read_to_string(&path)?.to_lowercase().lines().enumerate() {
            let found = REPLACED.iter().filter(|(word, _)| contains_word(line, word));
            violations
                .extend(found.map(|(word, term)| format!("{}:{}: '{word}': write {term}", path.display(), at + 1)));
        }
    }
    assert_no_violations(violations)
}

fn is_covered(path: &Path) -> bool {
    path == Path::new("README.md")
        || ["engine", "udf", "gpu", "cli", "docs"].iter().any(|folder| path.starts_with(folder))
}

/// Whether a line contains the word, and not only as a part of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_letter) && !after.starts_with(is_letter)
    })
}
