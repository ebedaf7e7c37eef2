//! [`MatrixMarketFormatFactory`]: `COPY … TO 'x.mtx'`, planned as a [`MatrixMarketSink`].

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{GetExt, Statistics, not_impl_err, plan_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{ArrowSource, FileScanConfig, FileSinkConfig, FileSource};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use super::header::Field;
use super::sink::{EntryColumns, MatrixMarketSink};
use crate::error::Error;

/// Makes [`MatrixMarketFormat`]s for the extension `mtx`.
#[derive(Debug)]
pub(crate) struct MatrixMarketFormatFactory;

impl GetExt for MatrixMarketFormatFactory {
    fn get_ext(&self) -> String {
        "mtx".to_owned()
    }
}

impl FileFormatFactory for MatrixMarketFormatFactory {
    fn create(&self, _: &dyn Session, options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        let mut format = MatrixMarketFormat::default();
        for (key, value) in options {
            // Others are options of the sink, such as `execution.keep_partition_by_columns`.
            let Some(name) = key.strip_prefix("format.") else { continue };
            let size = match name {
                "rows" => &mut format.rows,
                "cols" => &mut format.columns,
                _ => return plan_err!("Matrix Market files have no option '{name}'; the options are rows and cols"),
            };
            match value.parse::<i64>() {
                Ok(parsed) if parsed >= 0 => *size = Some(parsed),
                _ => return plan_err!("option '{name}' is '{value}'; expected the number of {name}, from 0"),
            }
        }
        Ok(Arc::new(format))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(MatrixMarketFormat::default())
    }
}

/// The format of written files. [`MatrixMarketTable`](super::MatrixMarketTable) reads them.
#[derive(Debug, Default)]
struct MatrixMarketFormat {
    /// The number of rows and columns, by default those up to the last entry.
    rows: Option<i64>,
    columns: Option<i64>,
}

#[async_trait]
impl FileFormat for MatrixMarketFormat {
    fn get_ext(&self) -> String {
        MatrixMarketFormatFactory.get_ext()
    }

    fn get_ext_with_compression(&self, _: &FileCompressionType) -> Result<String> {
        Ok(self.get_ext())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(&self, _: &dyn Session, _: &Arc<dyn ObjectStore>, _: &[ObjectMeta]) -> Result<SchemaRef> {
        not_impl_err!("Matrix Market files as listing tables")
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&table_schema))
    }

    async fn create_physical_plan(&self, _: &dyn Session, _: FileScanConfig) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("Matrix Market files as listing tables")
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        order_requirements: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let unwritable =
            |reason: &str| Error::UnwritableFile { path: config.original_url.clone(), reason: reason.to_owned() };
        let [url] = config.table_paths.as_slice() else {
            return Err(unwritable("a matrix has one file").into());
        };
        if !config.table_partition_cols.is_empty() || !config.file_output_mode.single_file_output(url) {
            let reason = "a matrix is one file; name it, as in 'x.mtx', without PARTITIONED BY";
            return Err(unwritable(reason).into());
        }
        if url.prefix().filename().is_some_and(|name| name.to_ascii_lowercase().ends_with(".gz")) {
            return Err(unwritable("it would not be compressed; name it '….mtx', and compress it afterwards").into());
        }
        let schema = Arc::clone(config.output_schema());
        let Some(columns) = entry_columns(&schema) else {
            let reason = format!(
                "an entry has the columns row, col and value, or row and col; the query has {} columns",
                schema.fields().len()
            );
            return Err(unwritable(&reason).into());
        };
        let field = value_field(&schema, columns)?;
        let sink = MatrixMarketSink {
            path: config.original_url.clone(),
            store: config.object_store_url.clone(),
            location: url.prefix().clone(),
            schema,
            columns,
            field,
            shape: (self.rows, self.columns),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), order_requirements)))
    }

    /// Not called: the table of a Matrix Market file is no listing table.
    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(ArrowSource::new_file_source(table_schema))
    }
}

/// The columns by their names `row` and `col`, otherwise by their positions. `None` unless there are two or three.
fn entry_columns(schema: &Schema) -> Option<EntryColumns> {
    let columns = schema.fields().len();
    let (row, col) = match (schema.index_of("row"), schema.index_of("col")) {
        (Ok(row), Ok(col)) => (row, col),
        _ => (0, 1),
    };
    match columns {
        2 => Some(EntryColumns { row, col, value: None }),
        3 => Some(EntryColumns { row, col, value: Some(3 - row - col) }),
        _ => None,
    }
}

/// The field of the file, by the type of the values.
fn value_field(schema: &Schema, columns: EntryColumns) -> Result<Field, Error> {
    let unwritable = |column: usize, hint| Error::UnwritableColumn {
        column: schema.field(column).name().clone(),
        data_type: schema.field(column).data_type().clone(),
        format: "Matrix Market",
        hint,
    };
    for column in [columns.row, columns.col] {
        if !schema.field(column).data_type().is_integer() {
            return Err(unwritable(column, "rows and columns are integers from 0, such as CAST(… AS BIGINT)"));
        }
    }
    let Some(value) = columns.value else { return Ok(Field::Pattern) };
    match schema.field(value).data_type() {
        DataType::UInt64 => Ok(Field::UnsignedInteger),
        data_type if data_type.is_integer() => Ok(Field::Integer),
        data_type if data_type.is_floating() => Ok(Field::Real),
        _ => Err(unwritable(value, "values are numbers, such as CAST(… AS DOUBLE) or CAST(… AS BIGINT)")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Field as Column;

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(
            columns.iter().map(|(name, data_type)| Column::new(*name, data_type.clone(), true)).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn columns_are_found_by_name_or_position() {
        use DataType::{Float32, Int8, Int64, UInt64, Utf8};
        for (columns, expected) in [
            (&[("row", Int64), ("col", Int64)][..], Some((0, 1, None))),
            (&[("value", Int64), ("col", Int64), ("row", Int64)], Some((2, 1, Some(0)))),
            (&[("col", Int64), ("weight", Int64), ("row", Int64)], Some((2, 0, Some(1)))),
            (&[("i", Int64), ("j", Int64), ("v", Int64)], Some((0, 1, Some(2)))),
            (&[("row", Int64), ("j", Int64), ("v", Int64)], Some((0, 1, Some(2)))),
            (&[("col", Int64), ("row", Int64)], Some((1, 0, None))),
            (&[("row", Int64)], None),
            (&[("row", Int64), ("col", Int64), ("value", Int64), ("more", Int64)], None),
        ] {
            let found = entry_columns(&schema(columns));
            assert_eq!(found.map(|found| (found.row, found.col, found.value)), expected, "{columns:?}");
        }
        for (value, expected) in [
            (Float32, Ok(Field::Real)),
            (Int8, Ok(Field::Integer)),
            (UInt64, Ok(Field::UnsignedInteger)),
            (
                Utf8,
                Err("column 'v' of type Utf8 cannot be written to a Matrix Market file; values are numbers, such as \
                     CAST(… AS DOUBLE) or CAST(… AS BIGINT)"),
            ),
        ] {
            let schema = schema(&[("i", Int64), ("j", UInt64), ("v", value)]);
            let columns = EntryColumns { row: 0, col: 1, value: Some(2) };
            let found = value_field(&schema, columns).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned));
        }
    }
}
