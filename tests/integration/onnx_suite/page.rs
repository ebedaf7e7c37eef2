//! docs/backends.md: per operator, what each backend runs of ONNX's test cases.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;

use super::{Case, DIFFERENCES, Outcome, TARGETS, read_cases};

const PAGE: &str = "docs/backends.md";

const INTRODUCTION: &str = "\
# Backends

What each backend runs of ONNX's own test cases. This page is generated from the results of `tests/integration/onnx_suite.rs`:

```text
python3 tests/data/onnx_suite.py /tmp/onnx-suite
OCELLI_ONNX_SUITE=/tmp/onnx-suite OCELLI_COMPLETE=1 cargo test -p ocelli-tests --test integration onnx_suite
```

- `ort`, ONNX Runtime, computes in the types of the model.
- `rten` computes in 32-bit floats and integers, and in 8-bit integers. An input that does not fit is an error.
- `gpu` computes in floats, of 32 bits here, and takes inputs that are floats, booleans or 8-bit integers. Weights, sizes and axes have to be
  constants.

A result counts as right if it differs from the expected one by at most 0.2%, plus 0.0001, plus a millionth of the largest expected
value. A model that a backend rejects is rejected with the
reason when it is created or called.
";

const OPERATORS: &str = "
## Operators

The cases that use one operator, and how many of them each backend runs with the right result; `-` is none.

| Operator | Cases | ort | rten | gpu |
| --- | --- | --- | --- | --- |
";

/// The reason not to compare the page: it was written with other versions.
pub(super) fn is_outdated(folder: &str) -> Option<String> {
    let page = fs::read_to_string(PAGE).ok().filter(|_| std::env::var_os("OCELLI_COMPLETE").is_none())?;
    let versions = versions(folder);
    (!page.contains(&versions)).then(|| format!("{PAGE} was not written with {versions}"))
}

pub(super) fn is_up_to_date(folder: &str) -> Result<(), Box<dyn Error>> {
    let cases = read_cases(folder)?;
    let mut outcomes = Vec::new();
    for target in &TARGETS {
        outcomes.push(target.outcomes(folder)?);
    }
    let page = page(&cases, &outcomes, &versions(folder))?;
    if std::env::var_os("OCELLI_COMPLETE").is_some() {
        fs::write(PAGE, &page)?;
    }
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "{PAGE} is not up to date; OCELLI_COMPLETE=1 cargo test -p ocelli-tests --test integration onnx_suite"
    );
    Ok(())
}

/// `onnx 1.23.2 and ONNX Runtime 1.32.0`
fn versions(folder: &str) -> String {
    let onnx = fs::read_to_string(format!("{folder}/VERSION")).unwrap_or_default();
    let library = ocelli::onnx_runtime_library().unwrap_or_default();
    let runtime = library.split(' ').nth(2).unwrap_or_default();
    format!("onnx {} and ONNX Runtime {runtime}", onnx.trim())
}

/// The text of the page. `outcomes` has those of each target, in the order of the cases.
fn page(cases: &[Case], outcomes: &[&[Outcome]], versions: &str) -> Result<String, Box<dyn Error>> {
    // Per operator: the number of its cases, and of the right ones of each target.
    let mut operators: BTreeMap<&str, (usize, [usize; 3])> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let mut used = case.operators.iter().filter(|operator| *operator != "Constant");
        let (Some(operator), None) = (used.next(), used.next()) else { continue };
        let (count, right) = operators.entry(operator).or_default();
        *count += 1;
        for (right, outcomes) in right.iter_mut().zip(outcomes) {
            *right += usize::from(outcomes[at] == Outcome::Right);
        }
    }
    let mut page = INTRODUCTION.to_owned();
    writeln!(page, "\nWritten with {versions}: {} cases.", cases.len())?;
    writeln!(page, "\n| | ort | rten | gpu |\n| --- | --- | --- | --- |")?;
    let name_of = |outcome: &Outcome| match outcome {
        Outcome::Right => "right",
        Outcome::Rejected(_) => "rejected",
        Outcome::Wrong(_) => "different",
    };
    for name in ["right", "rejected", "different"] {
        let count = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| name_of(outcome) == name).count();
        let counts: Vec<String> = outcomes.iter().map(|outcomes| count(outcomes).to_string()).collect();
        writeln!(page, "| {name} | {} |", counts.join(" | "))?;
    }
    page.push_str("\n## Differences\n\n");
    for difference in &DIFFERENCES {
        writeln!(page, "- {}: {}", difference.backends.join(", "), difference.reason)?;
    }
    page.push_str(OPERATORS);
    for (operator, (count, right)) in operators {
        let cells = right.map(|right| match right {
            0 => "-".to_owned(),
            right if right == count => "all".to_owned(),
            right => right.to_string(),
        });
        writeln!(page, "| {operator} | {count} | {} |", cells.join(" | "))?;
    }
    Ok(page)
}
