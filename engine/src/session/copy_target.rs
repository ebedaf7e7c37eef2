//! [`resolve_copy_target`]: the format and the compression of COPY by the extension of the file, and names that cannot be written.

use std::str::FromStr;

use datafusion::common::plan_err;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;
use datafusion::sql::parser::{CopyToStatement, Statement};
use datafusion::sql::sqlparser::ast::Value;

use crate::error::Error;
use crate::storage::{TableFormat, file_extension};

/// Completes `COPY … TO 'x.csv.gz'` with the format and the options that the extension stands for, so that the file can be read by its name.
///
/// # Errors
/// When the name would be read as a pattern, or begins with `~/`.
pub(super) fn resolve_copy_target(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::Explain(explain) => resolve_copy_target(&mut explain.statement),
        Statement::CopyTo(copy) => resolve(copy),
        _ => Ok(()),
    }
}

fn resolve(copy: &mut CopyToStatement) -> Result<()> {
    let path = copy.target.clone();
    let unwritable = |reason: &str| Error::UnwritableFile { path: path.clone(), reason: reason.to_owned() };
    if path.starts_with("~/") {
        return Err(unwritable("~ is not expanded within quotes; write the path of the folder").into());
    }
    if !path.contains("://") && path.contains(['*', '?', '[']) {
        return Err(unwritable("a name with *, ? or [ is a pattern; choose another name").into());
    }
    let extension = file_extension(&path);
    let (stem, compression) = match extension.split_once('.') {
        Some((stem, compression)) => (stem, FileCompressionType::from_str(compression).ok()),
        None => (extension.as_str(), None),
    };
    let Some(format) = TableFormat::from_extension(stem) else { return Ok(()) };
    let stored_as = copy.stored_as.get_or_insert_with(|| format.name().to_owned()).to_uppercase();
    if compression.is_some() && !matches!(stored_as.as_str(), "CSV" | "JSON" | "NDJSON") {
        return plan_err!(
            "file '{path}' cannot be written: {stored_as} files are not compressed as a whole; omit the extension"
        );
    }
    let mut add_option = |key: &str, value: String| {
        if !copy.options.iter().any(|(other, _)| other.trim_start_matches("format.").eq_ignore_ascii_case(key)) {
            copy.options.push((format!("format.{key}"), Value::SingleQuotedString(value)));
        }
    };
    if let Some(compression) = compression {
        add_option("compression", compression.get_variant().to_string().to_lowercase());
    }
    if let (TableFormat::Csv { delimiter: b'\t', .. }, "CSV") = (format, stored_as.as_str()) {
        add_option("delimiter", "\t".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParserBuilder;

    use super::*;

    fn resolved(sql: &str) -> std::result::Result<String, String> {
        let mut statement = DFParserBuilder::new(sql).build().unwrap().parse_statement().unwrap();
        resolve_copy_target(&mut statement).map_err(|error| crate::user_message(&error))?;
        Ok(statement.to_string())
    }

    #[test]
    fn extensions_stand_for_format_and_compression() {
        assert_eq!(resolved("COPY t TO 'a.csv'").unwrap(), "COPY t TO a.csv STORED AS CSV");
        let zipped = "COPY t TO a.JSONL.gz STORED AS JSON OPTIONS ('format.compression' 'gzip')";
        assert_eq!(resolved("COPY t TO 'a.JSONL.gz'").unwrap(), zipped);
        assert_eq!(resolved("EXPLAIN COPY t TO 'a.tsv'").unwrap().matches("format.delimiter").count(), 1);
        let stated = "COPY t TO 'a.csv.zst' STORED AS CSV OPTIONS ('format.compression' 'gzip')";
        assert_eq!(resolved(stated).unwrap().matches("compression").count(), 1);
    }

    #[test]
    fn other_names_are_left_to_datafusion() {
        for sql in ["COPY t TO 'folder/'", "COPY t TO 'a.mtx'", "COPY t TO 'a.xyz' STORED AS CSV", "SELECT 1"] {
            assert!(!resolved(sql).unwrap().contains("format."), "{sql}");
        }
    }

    #[test]
    fn names_that_cannot_be_read_back_are_rejected() {
        let pattern = "cannot be written: a name with *, ? or [ is a pattern; choose another name";
        for name in ["a[1].csv", "a*.csv", "b?/a.parquet"] {
            assert_eq!(resolved(&format!("COPY t TO '{name}'")).unwrap_err(), format!("file '{name}' {pattern}"));
        }
        assert!(resolved("COPY t TO '~/a.csv'").unwrap_err().contains("~ is not expanded"));
        assert!(
            resolved("COPY t TO 'a.parquet.gz'").unwrap_err().contains("PARQUET files are not compressed as a whole")
        );
        assert!(resolved("COPY t TO 'mem://b/a[1].csv'").is_ok());
    }
}
