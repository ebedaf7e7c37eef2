//! [`TableFormat`]: the format of a file by its extension.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::execution::session_state::SessionState;
use object_store::ObjectMeta;

/// A format that is read as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFormat {
    Parquet,
    Csv { delimiter: u8, compression: FileCompressionType },
    Json(FileCompressionType),
    Arrow,
}

impl TableFormat {
    /// The format of an extension in lower case, such as `csv.gz`.
    pub(crate) fn from_extension(extension: &str) -> Option<Self> {
        let (format, compression) = match extension.split_once('.') {
            Some((format, compression)) => (format, FileCompressionType::from_str(compression).ok()?),
            None => (extension, FileCompressionType::UNCOMPRESSED),
        };
        match format {
            "csv" => Some(Self::Csv { delimiter: b',', compression }),
            "tsv" => Some(Self::Csv { delimiter: b'\t', compression }),
            "json" | "jsonl" | "ndjson" => Some(Self::Json(compression)),
            "parquet" if !compression.is_compressed() => Some(Self::Parquet),
            "arrow" if !compression.is_compressed() => Some(Self::Arrow),
            _ => None,
        }
    }

    /// As COPY names it in `STORED AS`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "PARQUET",
            Self::Csv { .. } => "CSV",
            Self::Json(_) => "JSON",
            Self::Arrow => "ARROW",
        }
    }

    /// DataFusion's reader, with the session's options.
    pub(super) fn reader(self, state: &SessionState) -> Arc<dyn FileFormat> {
        let options = state.default_table_options();
        match self {
            Self::Parquet => Arc::new(ParquetFormat::new().with_options(options.parquet)),
            Self::Csv { delimiter, compression } => Arc::new(
                CsvFormat::default()
                    .with_options(options.csv)
                    .with_has_header(state.config_options().catalog.has_header)
                    .with_delimiter(delimiter)
                    .with_file_compression_type(compression),
            ),
            Self::Json(compression) => {
                Arc::new(JsonFormat::default().with_options(options.json).with_file_compression_type(compression))
            }
            Self::Arrow => Arc::new(ArrowFormat),
        }
    }
}

/// The files by extension, in lower case and with the extension of a compression; `.jsonl` and `.ndjson` count as `.json`, which is read the
/// same way. Marker and temporary files of other programs, such as `_SUCCESS`, are omitted.
pub(super) fn files_by_extension(files: Vec<ObjectMeta>, with_hidden: bool) -> BTreeMap<String, Vec<ObjectMeta>> {
    let mut extensions = BTreeMap::<String, Vec<ObjectMeta>>::new();
    for file in files {
        let name = file.location.filename().unwrap_or_default();
        if with_hidden || !name.starts_with(['_', '.']) {
            let extension = file_extension(name);
            let (format, compression) = extension.split_at(extension.find('.').unwrap_or(extension.len()));
            let format = if matches!(format, "jsonl" | "ndjson") { "json" } else { format };
            extensions.entry(format!("{format}{compression}")).or_default().push(file);
        }
    }
    extensions
}

/// The extension of a file name in lower case, with that of a compression: `csv.gz`.
pub(crate) fn file_extension(name: &str) -> String {
    let name = name.to_lowercase();
    let Some((stem, last)) = name.rsplit_once('.') else { return String::new() };
    let is_compression = matches!(last, "gz" | "bz2" | "xz" | "zst");
    match stem.rsplit_once('.') {
        Some((_, format)) if is_compression => format!("{format}.{last}"),
        _ => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_formats() {
        for (name, expected) in [
            ("a.parquet", Some(TableFormat::Parquet)),
            ("A.CSV", Some(TableFormat::Csv { delimiter: b',', compression: FileCompressionType::UNCOMPRESSED })),
            ("a.b.tsv.gz", Some(TableFormat::Csv { delimiter: b'\t', compression: FileCompressionType::GZIP })),
            ("a.ndjson", Some(TableFormat::Json(FileCompressionType::UNCOMPRESSED))),
            ("a.json.zst", Some(TableFormat::Json(FileCompressionType::ZSTD))),
            ("a.arrow", Some(TableFormat::Arrow)),
            ("a.parquet.gz", None),
            ("a.gz", None),
            ("parquet", None),
            ("a.txt", None),
        ] {
            assert_eq!(TableFormat::from_extension(&file_extension(name)), expected, "{name}");
        }
    }

    #[test]
    fn extensions_of_one_format_are_one() {
        let names = ["a.json", "b.JSONL", "c.ndjson", "d.jsonl.gz", "e.json.gz", "f.csv", "_SUCCESS", ".x.csv"];
        let file = |name: &str| ObjectMeta {
            location: name.into(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let groups = files_by_extension(names.map(file).into(), false);
        let sizes: Vec<(&str, usize)> =
            groups.iter().map(|(extension, files)| (extension.as_str(), files.len())).collect();
        assert_eq!(sizes, [("csv", 1), ("json", 3), ("json.gz", 2)]);
    }
}
