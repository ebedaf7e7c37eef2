//! docs/functions.md is generated from the documentation of the functions: `cargo test -p ocelli-tests --test integration functions`.
//!
//! `OCELLI_COMPLETE=1` writes the file instead of comparing with it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;

use datafusion::logical_expr::Documentation;
use libtest_mimic::Trial;
use ocelli::TABLE_FUNCTIONS;
use ocelli::{Ocelli, user_message};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("functions::reference", reference), trial("functions::examples_run", examples_run)]
}

fn documentation() -> Vec<(String, Documentation)> {
    let functions = ocelli::functions::all_functions();
    functions.iter().filter_map(|f| Some((f.name().to_owned(), f.documentation()?.clone()))).collect()
}

fn reference() -> Result<(), Box<dyn Error>> {
    let mut sections: BTreeMap<&str, BTreeMap<String, Documentation>> = BTreeMap::new();
    for (name, documentation) in documentation() {
        sections.entry(documentation.doc_section.label).or_default().insert(name, documentation);
    }
    let mut page =
        "# Functions\n\nThe functions that an Ocelli session adds to DataFusion's. This page is generated from their \
                    documentation.\n"
            .to_owned();
    for (label, functions) in sections {
        writeln!(page, "\n## {label}")?;
        for (name, documentation) in functions {
            writeln!(page, "\n### {name}\n\n{}\n", documentation.description)?;
            writeln!(page, "```text\n{}\n```\n", documentation.syntax_example)?;
            for (argument, meaning) in documentation.arguments.iter().flatten() {
                writeln!(page, "- `{argument}`: {meaning}.")?;
            }
            if let Some(example) = &documentation.sql_example {
                writeln!(page, "\n```sql\n{example}\n```")?;
            }
        }
    }
    writeln!(
        page,
        "\n## Matrices\n\nTable functions of `Ocelli::sql` and the command line; each is expanded to a SQL query."
    )?;
    for function in &TABLE_FUNCTIONS {
        writeln!(page, "\n### {}\n\n{}\n", function.name, function.description)?;
        writeln!(page, "```text\n{}\n```\n\n```sql\n{}\n```", function.syntax, function.example)?;
    }
    if std::env::var_os("OCELLI_COMPLETE").is_some() {
        fs::write("docs/functions.md", &page)?;
    }
    let written = fs::read_to_string("docs/functions.md").unwrap_or_default();
    assert!(
        written == page,
        "docs/functions.md is not up to date; OCELLI_COMPLETE=1 cargo test -p ocelli-tests --test integration functions"
    );
    Ok(())
}

#[tokio::main]
async fn examples_run() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    let tables = TABLE_FUNCTIONS.iter().map(|function| (function.name.to_owned(), Some(function.example.to_owned())));
    let scalars = documentation().into_iter().map(|(name, documentation)| (name, documentation.sql_example));
    for (name, example) in scalars.chain(tables) {
        let example = example.ok_or(format!("{name} has no example"))?;
        let rows = async { ocelli.sql(&example).await?.collect().await };
        rows.await.map_err(|error| format!("the example of {name}: {}", user_message(&error)))?;
    }
    Ok(())
}
