//! [`MatrixMarketSink`]: writes entries as a Matrix Market file.
//!
//! ```text
//! row col value        body, in a spill file        header, once the body is complete        object store
//!   2   0  -1.0   ──▶  3 1 -1.0                ──▶  %%MatrixMarket … general           ──▶   both, in parts
//!                                                   3 3 1
//! ```
//!
//! The format is `coordinate real|integer|unsigned-integer|pattern general`. Entries are written in the order of the query, duplicates as
//! they are: readers such as SciPy add them up.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, RecordBatch, UInt64Array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, Int64Type, SchemaRef};
use datafusion::datasource::sink::DataSink;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, PutMultipartOptions, WriteMultipart};

use super::header::Field;
use crate::error::Error;

/// The size of the parts of an upload, and how many are in flight.
const PART_BYTES: usize = 10 << 20;
const PARTS_IN_FLIGHT: usize = 2;

/// Which columns of a query are the row, the column and the value of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryColumns {
    pub(super) row: usize,
    pub(super) col: usize,
    /// `None` for a pattern.
    pub(super) value: Option<usize>,
}

/// Writes one file.
#[derive(Debug)]
pub(super) struct MatrixMarketSink {
    /// As written in the statement.
    pub(super) path: String,
    pub(super) store: ObjectStoreUrl,
    pub(super) location: Path,
    pub(super) schema: SchemaRef,
    pub(super) columns: EntryColumns,
    pub(super) field: Field,
    /// The number of rows and columns, if the statement gives them.
    pub(super) shape: (Option<i64>, Option<i64>),
}

impl DisplayAs for MatrixMarketSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MatrixMarketSink(coordinate {} general)", self.field.keyword())
    }
}

#[async_trait]
impl DataSink for MatrixMarketSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, mut data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        let body = context.runtime_env().disk_manager.create_tmp_file("MatrixMarketSink")?;
        let mut writer = body.open_writer()?;
        let mut matrix = WrittenMatrix::default();
        let mut text = Vec::new();
        while let Some(batch) = data.next().await.transpose()? {
            text.clear();
            self.append(&batch, &mut matrix, &mut text)?;
            writer.write_all(&text)?;
        }
        writer.finish()?;
        drop(writer);
        let store = context.runtime_env().object_store(&self.store)?;
        self.upload(&matrix, body.as_ref(), store.as_ref()).await?;
        Ok(matrix.entries)
    }
}

/// What has been written so far.
#[derive(Debug, Default)]
struct WrittenMatrix {
    entries: u64,
    /// The number of rows and columns up to the last entry.
    rows: i64,
    columns: i64,
}

/// The values of a batch.
enum Values {
    Pattern,
    Integers(Int64Array),
    Unsigned(UInt64Array),
    Reals(Float64Array),
}

impl MatrixMarketSink {
    /// Appends the lines of a batch.
    fn append(&self, batch: &RecordBatch, matrix: &mut WrittenMatrix, text: &mut Vec<u8>) -> Result<()> {
        let (rows, columns) =
            (widen::<Int64Type>(batch.column(self.columns.row))?, widen::<Int64Type>(batch.column(self.columns.col))?);
        let values = match (self.columns.value, self.field) {
            (None, _) | (_, Field::Pattern) => Values::Pattern,
            (Some(value), Field::Integer) => Values::Integers(widen(batch.column(value))?),
            (Some(value), Field::UnsignedInteger) => Values::Unsigned(widen(batch.column(value))?),
            (Some(value), Field::Real) => Values::Reals(widen(batch.column(value))?),
        };
        for at in 0..batch.num_rows() {
            matrix.entries += 1;
            let row = self.one_based(&rows, at, (self.columns.row, self.shape.0), matrix.entries)?;
            let column = self.one_based(&columns, at, (self.columns.col, self.shape.1), matrix.entries)?;
            (matrix.rows, matrix.columns) = (matrix.rows.max(row), matrix.columns.max(column));
            write!(text, "{row} {column}")?;
            if let Some(value) = self.columns.value
                && batch.column(value).is_null(at)
            {
                return Err(self.invalid_entry(matrix.entries, "NULL", value, "replace it, as with coalesce"));
            }
            // The shortest text that is read back as the same float.
            match &values {
                Values::Pattern => writeln!(text)?,
                Values::Integers(values) => writeln!(text, " {}", values.value(at))?,
                Values::Unsigned(values) => writeln!(text, " {}", values.value(at))?,
                Values::Reals(values) => writeln!(text, " {:?}", values.value(at))?,
            }
        }
        Ok(())
    }

    /// The index of an entry, as it is written. `entry` counts from 1.
    fn one_based(
        &self,
        indices: &Int64Array,
        at: usize,
        (column, size): (usize, Option<i64>),
        entry: u64,
    ) -> Result<i64> {
        if indices.is_null(at) {
            return Err(self.invalid_entry(entry, "NULL", column, "indices are integers from 0"));
        }
        let index = indices.value(at);
        match (index.checked_add(1), size) {
            (Some(next), Some(size)) if index >= 0 && next > size => {
                let remedy = format!("OPTIONS gives the size {size}, which allows indices from 0 to {}", size - 1);
                Err(self.invalid_entry(entry, &index.to_string(), column, &remedy))
            }
            (Some(next), _) if index >= 0 => Ok(next),
            _ => Err(self.invalid_entry(entry, &index.to_string(), column, "indices are integers from 0")),
        }
    }

    fn invalid_entry(&self, entry: u64, value: &str, column: usize, remedy: &str) -> DataFusionError {
        let column = self.schema.field(column).name();
        let reason = format!("row {entry} of the query has {value} in column '{column}'; {remedy}");
        Error::UnwritableFile { path: self.path.clone(), reason }.into()
    }

    fn header(&self, matrix: &WrittenMatrix) -> String {
        let (rows, columns) = (self.shape.0.unwrap_or(matrix.rows), self.shape.1.unwrap_or(matrix.columns));
        let field = self.field.keyword();
        format!("%%MatrixMarket matrix coordinate {field} general\n{rows} {columns} {}\n", matrix.entries)
    }

    /// Uploads the header and the body.
    async fn upload(&self, matrix: &WrittenMatrix, body: &dyn SpillFile, store: &dyn ObjectStore) -> Result<()> {
        let upload = store.put_multipart_opts(&self.location, PutMultipartOptions::default()).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        upload.write(self.header(matrix).as_bytes());
        // A stream of an empty file may fail.
        if matrix.entries > 0 {
            let mut chunks = body.read_stream()?;
            while let Some(chunk) = chunks.next().await.transpose()? {
                upload.wait_for_capacity(PARTS_IN_FLIGHT).await?;
                upload.write(&chunk);
            }
        }
        upload.finish().await?;
        Ok(())
    }
}

/// Casts a column to a type that holds all of its values, or fails.
fn widen<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<PrimitiveArray<T>> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, &T::DATA_TYPE, &options)?.as_primitive::<T>().clone())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::super::format::MatrixMarketFormatFactory;
    use crate::user_message;

    use super::*;

    /// The text of the file that `COPY` writes.
    async fn copy(query: &str, options: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.mtx");
        let mut builder = SessionStateBuilder::new().with_default_features();
        builder.file_formats().get_or_insert_default().push(Arc::new(MatrixMarketFormatFactory));
        let context = SessionContext::new_with_state(builder.build());
        let sql = format!("COPY ({query}) TO '{}' {options}", path.display());
        let copied = async { context.sql(&sql).await?.collect().await }.await;
        copied.map_err(|error| user_message(&error).replace(&path.display().to_string(), "m.mtx"))?;
        Ok(fs::read_to_string(path).unwrap())
    }

    #[tokio::test]
    async fn every_field_is_written() {
        let entries = "SELECT * FROM (VALUES (0, 1, 1.5), (2, 0, -0.002), (2, 0, 1e300)) AS t (row, col, value)";
        for (query, options, text) in [
            (entries, "", "real general\n3 2 3\n1 2 1.5\n3 1 -0.002\n3 1 1e300\n"),
            (entries, "OPTIONS ('rows' '4', 'cols' '2')", "real general\n4 2 3\n1 2 1.5\n3 1 -0.002\n3 1 1e300\n"),
            ("SELECT 4 AS a, 2 AS b", "", "pattern general\n5 3 1\n5 3\n"),
            ("SELECT CAST(7 AS INT) AS value, 0 AS row, 1 AS col", "", "integer general\n1 2 1\n1 2 7\n"),
            (
                "SELECT 0 AS i, 0 AS j, CAST(18446744073709551615 AS BIGINT UNSIGNED) AS v",
                "",
                "unsigned-integer general\n1 1 1\n1 1 18446744073709551615\n",
            ),
            ("SELECT 0 AS i, 0 AS j, CAST('NaN' AS DOUBLE) AS v", "", "real general\n1 1 1\n1 1 NaN\n"),
            ("SELECT 0 AS i, 0 AS j, CAST('-inf' AS REAL) AS v", "", "real general\n1 1 1\n1 1 -inf\n"),
            ("SELECT 0 AS row, 0 AS col WHERE false", "OPTIONS ('rows' '3', 'cols' '9')", "pattern general\n3 9 0\n"),
            ("SELECT 0 AS row, 0 AS col WHERE false", "", "pattern general\n0 0 0\n"),
        ] {
            let text = format!("%%MatrixMarket matrix coordinate {text}");
            assert_eq!(copy(query, options).await, Ok(text), "{query}");
        }
    }

    #[tokio::test]
    async fn other_entries_are_rejected() {
        for (query, options, reason) in [
            (
                "SELECT * FROM (VALUES (0, 0), (-1, 0)) AS t (row, col)",
                "",
                "row 2 of the query has -1 in column 'row'; indices are integers from 0",
            ),
            (
                "SELECT 0 AS row, CAST(NULL AS BIGINT) AS col",
                "",
                "row 1 of the query has NULL in column 'col'; indices are integers from 0",
            ),
            (
                "SELECT 9223372036854775807 AS i, 0 AS j",
                "",
                "row 1 of the query has 9223372036854775807 in column 'i'; indices are integers from 0",
            ),
            (
                "SELECT 0 AS row, 0 AS col, CAST(NULL AS DOUBLE) AS value",
                "",
                "row 1 of the query has NULL in column 'value'; replace it, as with coalesce",
            ),
            (
                "SELECT 0 AS row, 2 AS col",
                "OPTIONS ('cols' '2')",
                "row 1 of the query has 2 in column 'col'; OPTIONS gives the size 2, which allows indices from 0 to 1",
            ),
            (
                "SELECT 0 AS row",
                "",
                "an entry has the columns row, col and value, or row and col; the query has 1 columns",
            ),
            (
                "SELECT 0 AS i, 0 AS j",
                "PARTITIONED BY (i)",
                "a matrix is one file; name it, as in 'x.mtx', without PARTITIONED BY",
            ),
        ] {
            let sentence = format!("file 'm.mtx' cannot be written: {reason}");
            assert_eq!(copy(query, options).await, Err(sentence), "{query}");
        }
        for (query, options, sentence) in [
            (
                "SELECT 0.5 AS row, 0 AS col",
                "",
                "column 'row' of type Float64 cannot be written to a Matrix Market file; rows and columns are integers \
                 from 0, such as CAST(… AS BIGINT)",
            ),
            (
                "SELECT 0 AS row, 0 AS col",
                "OPTIONS ('depth' '3')",
                "Matrix Market files have no option 'depth'; the options are rows and cols",
            ),
            (
                "SELECT 0 AS row, 0 AS col",
                "OPTIONS ('rows' '-3')",
                "option 'rows' is '-3'; expected the number of rows, from 0",
            ),
        ] {
            assert_eq!(copy(query, options).await, Err(sentence.to_owned()), "{query}");
        }
    }
}
