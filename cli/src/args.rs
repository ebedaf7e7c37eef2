//! [`Args`]: the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, value_parser};
use ocelli::parse_size;

use crate::output::{Format, JsonIntegers};

/// SQL with image inference and sparse matrix products: run ONNX models on images in Parquet files, multiply tables as matrices
#[derive(Debug, Parser)]
#[command(name = "ocelli", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Statements to run, separated by `;`
    #[arg(value_name = "SQL", conflicts_with_all = ["command", "file"])]
    sql: Option<String>,

    /// Statements to run, separated by `;`
    #[arg(short, long, value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    command: Option<String>,

    /// File with statements to run; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Output format of the rows
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, env = "OCELLI_FORMAT")]
    pub(crate) format: Format,

    /// Integers beyond 2^53 and decimals of more than 15 digits in JSON, which many readers round
    #[arg(long, value_name = "TYPE", value_enum, default_value_t, env = "OCELLI_JSON_INTEGERS")]
    pub(crate) json_integers: JsonIntegers,

    /// Print only rows and errors, not the number of rows
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024), env = "OCELLI_THREADS")]
    pub(crate) threads: Option<u16>,

    /// Memory limit of query execution, e.g. 2GB or 512MiB; sorts, aggregates and sparse products spill to disk when they reach it, other operators fail [default: unlimited]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "OCELLI_MEMORY_LIMIT")]
    pub(crate) memory_limit: Option<usize>,
}

const EXAMPLES: &str = r#"Examples:
  ocelli "SELECT uri, classify(image) AS label FROM 'photos.parquet'"
  ocelli --format csv -f report.sql > report.csv
  ocelli "DESCRIBE 'photos.parquet'"
  ocelli "CREATE MODEL pets STORED AS ONNX LOCATION 'models/resnet-50'; SELECT classify(image, model => 'pets') FROM 'photos.parquet'"
  ocelli doctor      show the available backends and GPUs, and verify that they agree
  ocelli "SET ocelli.on_error = 'null'; SELECT classify(image) AS label, count(*) FROM 'photos/*.parquet' GROUP BY 1"

Without SQL, statements are read from standard input. SHOW ALL lists the options that SET changes."#;

/// Where the statements are read from.
pub(crate) enum Source<'a> {
    Text(&'a str),
    File(&'a Path),
    Stdin,
}

impl Args {
    /// Reads the command line; an invalid one ends the program.
    pub(crate) fn from_command_line() -> Self {
        Self::parse_from(std::env::args_os().map(separate_from_options))
    }

    pub(crate) fn source(&self) -> Source<'_> {
        match (self.sql.as_ref().or(self.command.as_ref()), self.file.as_deref()) {
            (Some(text), _) => Source::Text(text),
            (None, Some(path)) if path != Path::new("-") => Source::File(path),
            (None, _) => Source::Stdin,
        }
    }
}

/// Puts a space before SQL that starts with a comment, which would be read as an option. It has no effect on the SQL.
fn separate_from_options(argument: OsString) -> OsString {
    if !argument.to_str().is_some_and(starts_with_comment) {
        return argument;
    }
    let mut separated = OsString::from(" ");
    separated.push(argument);
    separated
}

/// Whether an argument is SQL that starts with `-- comment`, and not an option such as `--format`, `--format=csv` or `--command=SELECT …`.
fn starts_with_comment(argument: &str) -> bool {
    let Some(comment) = argument.strip_prefix("--") else {
        return false;
    };
    let after_name = comment.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
    comment.starts_with(char::is_whitespace) || (comment.contains('\n') && !after_name.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn sql_that_starts_with_a_comment_is_no_option() {
        for (argument, expected) in [
            ("-- note\nSELECT 1", true),
            ("--\nSELECT 1", true),
            ("-- note", true),
            ("--note\nSELECT 1", true),
            ("--a=b is a comment\nSELECT 1", false),
            ("--command=SELECT\n1", false),
            ("--frmat", false),
            ("--format=csv", false),
            ("--", false),
            ("-q", false),
            ("SELECT 1 -- one", false),
        ] {
            assert_eq!(starts_with_comment(argument), expected, "{argument}");
        }
    }

    #[test]
    fn comments_reach_the_statements() {
        let parse = |arguments: &[&str]| {
            let all = [&["ocelli"][..], arguments].concat();
            Args::try_parse_from(all.iter().map(OsString::from).map(separate_from_options))
                .map(|args| args.sql.or(args.command).unwrap_or_default())
        };
        for arguments in [&["-- note\nSELECT 1"][..], &["-q", "-- note\nSELECT 1"], &["-c", "-- note\nSELECT 1"]] {
            assert_eq!(parse(arguments).unwrap().trim_start(), "-- note\nSELECT 1", "{arguments:?}");
        }
        assert_eq!(parse(&["-c", "--note"]).unwrap(), "--note");
        assert!(parse(&["SELECT 1", "--frmat", "csv"]).unwrap_err().to_string().contains("'--format'"));
    }
}
