//! [`check_columns`]: whether a file format can represent the columns of a query.

use std::io;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, new_null_array};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::datasource::file_format::csv::CsvSink;
use datafusion::datasource::file_format::json::JsonSink;
use datafusion::datasource::file_format::parquet::ParquetSink;
use datafusion::datasource::physical_plan::{FileSink, FileSinkConfig};
use datafusion::datasource::sink::DataSink;
use datafusion::parquet::arrow::ArrowWriter;

use crate::error::Error;

/// A file format that does not represent every Arrow type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFormat {
    Parquet,
    Csv,
    Json,
}

impl FileFormat {
    /// The format and the configuration of a sink; `None` for other sinks; Arrow files represent every type.
    pub(super) fn of(sink: &dyn DataSink) -> Option<(Self, &FileSinkConfig)> {
        if let Some(sink) = sink.downcast_ref::<ParquetSink>() {
            return Some((Self::Parquet, sink.config()));
        }
        if let Some(sink) = sink.downcast_ref::<CsvSink>() {
            return Some((Self::Csv, sink.config()));
        }
        sink.downcast_ref::<JsonSink>().map(|sink| (Self::Json, sink.config()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Json => "JSON",
        }
    }

    /// Writes one NULL with the writer of the format: what a type needs is known there only.
    fn write_null(self, field: &Field) -> Result<(), ArrowError> {
        let field = field.clone().with_nullable(true);
        let column = new_null_array(field.data_type(), 1);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])?;
        match self {
            Self::Parquet => {
                let mut writer = ArrowWriter::try_new(io::sink(), schema, None)?;
                writer.write(&batch)?;
                writer.close()?;
                Ok(())
            }
            Self::Csv => csv::Writer::new(io::sink()).write(&batch),
            Self::Json => LineDelimitedWriter::new(io::sink()).write(&batch),
        }
    }
}

/// Rejects the first column that the format cannot represent.
///
/// # Errors
/// [`Error::UnwritableColumn`] with the name of the column.
pub(super) fn check_columns(format: FileFormat, config: &FileSinkConfig) -> Result<(), Error> {
    // Partition columns are written as names of folders.
    let in_folder_name = |field: &Field| {
        !config.keep_partition_by_columns && config.table_partition_cols.iter().any(|(name, _)| name == field.name())
    };
    let fields = config.output_schema().fields().iter().filter(|field| !in_folder_name(field));
    for field in fields {
        if format.write_null(field).is_err() {
            return Err(Error::UnwritableColumn {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                format: format.name(),
                hint: match format {
                    FileFormat::Csv => "write Parquet or JSON, or convert it to text with CAST(… AS VARCHAR)",
                    _ => "convert it to another type, such as text with CAST(… AS VARCHAR)",
                },
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, IntervalUnit};

    use super::*;

    #[test]
    fn formats_differ_in_the_types_they_represent() {
        let list = DataType::new_list(DataType::Int64, true);
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let formats = [FileFormat::Parquet, FileFormat::Csv, FileFormat::Json];
        let writable =
            |data_type: &DataType| formats.map(|f| f.write_null(&Field::new("a", data_type.clone(), false)).is_ok());
        assert_eq!(writable(&DataType::Binary), [true; 3]);
        assert_eq!(writable(&list), [true, false, true]);
        assert_eq!(writable(&interval), [false, true, true]);
    }
}
