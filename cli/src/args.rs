//! [`Args`]: the command line.

use std::path::{Path, PathBuf};

use clap::{Parser, value_parser};

use crate::output::Format;

/// SQL with image inference and sparse matrix products: run ONNX models on images in Parquet files, multiply tables as matrices
#[derive(Debug, Parser)]
#[command(name = "ocelli", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Statements to run, separated by `;`
    #[arg(value_name = "SQL", conflicts_with_all = ["command", "file"])]
    sql: Option<String>,

    /// Statements to run, separated by `;`
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,

    /// File with statements to run; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Output format of the rows
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, env = "OCELLI_FORMAT")]
    pub(crate) format: Format,

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
  ocelli "SET ocelli.on_error = 'null'; SELECT classify(image) AS label, count(*) FROM 'photos/*.parquet' GROUP BY label"

Without SQL, statements are read from standard input. SHOW ALL lists the options that SET changes."#;

/// Where the statements are read from.
pub(crate) enum Source<'a> {
    Text(&'a str),
    File(&'a Path),
    Stdin,
}

impl Args {
    pub(crate) fn source(&self) -> Source<'_> {
        match (self.sql.as_ref().or(self.command.as_ref()), self.file.as_deref()) {
            (Some(text), _) => Source::Text(text),
            (None, Some(path)) if path != Path::new("-") => Source::File(path),
            (None, _) => Source::Stdin,
        }
    }
}

/// Parses `2GB`, `512MiB`, `1.5g`, or a number of bytes.
fn parse_size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, f64); 14] = [
        ("", 1.0),
        ("b", 1.0),
        ("k", 1e3),
        ("kb", 1e3),
        ("kib", 1024.0),
        ("m", 1e6),
        ("mb", 1e6),
        ("mib", 1048576.0),
        ("g", 1e9),
        ("gb", 1e9),
        ("gib", 1073741824.0),
        ("t", 1e12),
        ("tb", 1e12),
        ("tib", 1099511627776.0),
    ];
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if number * factor >= 1.0 => Ok((number * factor) as usize),
        _ => {
            Err("a size is a number of bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 2GB"
                .to_owned())
        }
    }
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
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1", 1),
            ("2GB", 2_000_000_000),
            ("2 gb", 2_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("512m", 512_000_000),
            ("10kib", 10_240),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_sizes_are_rejected() {
        for text in ["", "GB", "2 gigs", "-1", "0", "1.2.3", "nan"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
