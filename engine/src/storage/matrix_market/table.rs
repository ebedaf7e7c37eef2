//! [`MatrixMarketTable`]: the table; [`MatrixMarketSource`] reads it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field as Column, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::Time;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::byte_stream::{ByteStream, max_uncompressed_bytes};
use super::header::{Field, Header};
use super::reader::Reader;
use super::scan::MatrixMarketSource;
use crate::error::Error;
use crate::storage::object_store_message;

/// The entries of a Matrix Market file, one per row: zero-based `row` and `col`, and `value`, an Int64, UInt64 or Float64.
#[derive(Debug)]
pub(crate) struct MatrixMarketTable {
    /// As written in the query.
    uri: String,
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    header: Header,
    schema: SchemaRef,
}

impl MatrixMarketTable {
    /// Whether a file name has the extension `.mtx` or `.mtx.gz`.
    pub(crate) fn has_extension(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name.ends_with(".mtx") || name.ends_with(".mtx.gz")
    }

    /// Reads the header of the file that the query names as `uri`.
    ///
    /// # Errors
    /// [`Error::UnreadableTable`] when it cannot be read, is not a Matrix Market file, or is an unsupported type of matrix.
    pub(crate) async fn open(uri: &str, store: Arc<dyn ObjectStore>, path: &Path) -> Result<Self, Error> {
        let invalid_file = |reason| Error::UnreadableTable { path: uri.to_owned(), reason };
        let object = store.head(path).await.map_err(|error| invalid_file(object_store_message(&error)))?;
        let reader = Reader::open(ByteStream::new(Arc::clone(&store), &object, false), Time::new())
            .await
            .map_err(invalid_file)?;
        let header = *reader.header();
        // The entry count enters plan statistics, so it is checked against the file size: an entry line has at least one byte and a
        // line end.
        if header.lines.unsigned_abs() > max_uncompressed_bytes(&object) {
            let (lines, size) = (header.lines, object.size);
            return Err(invalid_file(format!(
                "the header announces {lines} entries, more than its {size} bytes can hold"
            )));
        }
        let value = match header.field {
            Field::Real => DataType::Float64,
            Field::Integer | Field::Pattern => DataType::Int64,
            Field::UnsignedInteger => DataType::UInt64,
        };
        let columns = [("row", DataType::Int64), ("col", DataType::Int64), ("value", value)];
        let columns = columns.map(|(name, data_type)| Column::new(name, data_type, false));
        Ok(Self { uri: uri.to_owned(), store, object, header, schema: Arc::new(Schema::new(Vec::from(columns))) })
    }

    /// The number of rows and columns of the matrix.
    pub(crate) fn shape(&self) -> (i64, i64) {
        (self.header.rows, self.header.columns)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn columns(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn location(&self) -> &Path {
        &self.object.location
    }

    pub(super) fn bytes(&self, prefetch: bool) -> ByteStream {
        ByteStream::new(Arc::clone(&self.store), &self.object, prefetch)
    }

    pub(super) fn invalid_file(&self, reason: String) -> Error {
        Error::UnreadableTable { path: self.uri.clone(), reason }
    }

    /// Statistics from the header, for a projection.
    pub(super) fn statistics_for(&self, columns: &Schema) -> Statistics {
        let (entries, is_exact) = self.header.entries();
        let rows = match usize::try_from(entries) {
            Ok(rows) if is_exact => Precision::Exact(rows),
            Ok(rows) => Precision::Inexact(rows),
            Err(_) => Precision::Absent,
        };
        let mut statistics = Statistics::new_unknown(columns).with_num_rows(rows);
        for (column, field) in statistics.column_statistics.iter_mut().zip(columns.fields()) {
            column.null_count = Precision::Exact(0);
            let size = match field.name().as_str() {
                "row" => self.header.rows,
                "col" => self.header.columns,
                _ => 0,
            };
            // Bounds: not every index has an entry.
            if size > 0 {
                column.min_value = Precision::Inexact(ScalarValue::Int64(Some(0)));
                column.max_value = Precision::Inexact(ScalarValue::Int64(Some(size - 1)));
            }
        }
        statistics.calculate_total_byte_size(columns);
        statistics
    }
}

#[async_trait]
impl TableProvider for MatrixMarketTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_for(&self.schema))
    }

    /// Reads the header again: the table may have been planned long before, for a view.
    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let now = Self::open(&self.uri, Arc::clone(&self.store), &self.object.location).await?;
        if now.schema != self.schema {
            let [was, is] = [self, &now].map(|matrix| matrix.columns().field(2).data_type().clone());
            return Err(self
                .invalid_file(format!("its values were {was} when the query was planned, and are {is} now"))
                .into());
        }
        let projection = projection.cloned().unwrap_or_else(|| vec![0, 1, 2]);
        Ok(DataSourceExec::from_data_source(MatrixMarketSource::try_new(now, projection, limit)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::compute::concat_batches;
    use datafusion::arrow::datatypes::{Float64Type, Int64Type};
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use object_store::memory::InMemory;

    use super::*;
    use crate::user_message;

    const GENERAL: &str = "%%MatrixMarket matrix coordinate real general\n3 3 4\n1 1 1\n2 2 2\n3 3 3\n1 3 4\n";
    const SYMMETRIC: &str = "%%MatrixMarket matrix coordinate real symmetric\n3 3 3\n2 1 1\n3 1 2\n3 2 3\n";

    async fn put(store: &InMemory, name: &str, bytes: &[u8]) {
        store.put(&Path::from(name), bytes.to_vec().into()).await.unwrap();
    }

    async fn open(store: &Arc<InMemory>, name: &str) -> Result<MatrixMarketTable, String> {
        let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
        MatrixMarketTable::open(name, store, &Path::from(name)).await.map_err(|error| error.to_string())
    }

    /// A session with the text as table `m`.
    async fn session(store: &Arc<InMemory>, text: &str, batch_rows: usize) -> SessionContext {
        put(store, "m.mtx", text.as_bytes()).await;
        let matrix = open(store, "m.mtx").await.unwrap();
        let context = SessionContext::new_with_config(SessionConfig::new().with_batch_size(batch_rows));
        context.register_table("m", Arc::new(matrix)).unwrap();
        context
    }

    /// The rows as strings, and the sizes of their batches.
    async fn rows(context: &SessionContext, sql: &str) -> Result<(Vec<String>, Vec<usize>), String> {
        let batches = async { context.sql(sql).await?.collect().await }.await.map_err(|error| user_message(&error))?;
        let sizes = batches.iter().map(|batch| batch.num_rows()).collect();
        let Some(first) = batches.first() else { return Ok((Vec::new(), sizes)) };
        let all = concat_batches(&first.schema(), &batches).unwrap();
        let cell = |column: usize, row: usize| match all.column(column).data_type() {
            DataType::Float64 => all.column(column).as_primitive::<Float64Type>().value(row).to_string(),
            _ => all.column(column).as_primitive::<Int64Type>().value(row).to_string(),
        };
        let row = |row| (0..all.num_columns()).map(|column| cell(column, row)).collect::<Vec<_>>().join(" ");
        Ok(((0..all.num_rows()).map(row).collect(), sizes))
    }

    #[tokio::test]
    async fn files_are_read_as_scipy_reads_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/matrix_market");
        let expected = fs::read_to_string(format!("{folder}/expected.csv")).unwrap();
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !MatrixMarketTable::has_extension(&name) {
                continue;
            }
            files += 1;
            let store = Arc::new(InMemory::new());
            put(&store, &name, &fs::read(format!("{folder}/{name}")).unwrap()).await;
            let context = SessionContext::new_with_config(SessionConfig::new().with_batch_size(3));
            context.register_table("m", Arc::new(open(&store, &name).await.unwrap())).unwrap();
            let (found, _) = rows(&context, "SELECT row, col, CAST(value AS DOUBLE) FROM m").await.unwrap();
            let mut found: Vec<Vec<f64>> = found.iter().map(|row| parse_floats(row.split(' '))).collect();
            found.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let expected = expected.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let expected =
                expected.filter(|cells| cells[0] == name).map(|cells| parse_floats(cells[1..].iter().copied()));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(files, 14);
    }

    fn parse_floats<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<f64> {
        cells.map(|cell| cell.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn batches_projections_and_limits() {
        let store = Arc::new(InMemory::new());
        let general = session(&store, GENERAL, 3).await;
        for (sql, lines, sizes) in [
            ("SELECT * FROM m", &["0 0 1", "1 1 2", "2 2 3", "0 2 4"][..], &[3, 1][..]),
            ("SELECT value, row FROM m", &["1 0", "2 1", "3 2", "4 0"], &[3, 1]),
            ("SELECT col FROM m LIMIT 2", &["0", "1"], &[2]),
            ("SELECT row FROM m LIMIT 9", &["0", "1", "2", "0"], &[3, 1]),
            ("SELECT count(*), count(col) FROM m", &["4 4"], &[1]),
            ("SELECT count(*) FROM (SELECT * FROM m LIMIT 3)", &["3"], &[1]),
        ] {
            let expected = (lines.iter().map(ToString::to_string).collect(), sizes.to_vec());
            assert_eq!(rows(&general, sql).await, Ok(expected), "{sql}");
        }
        let symmetric = session(&store, SYMMETRIC, 4).await;
        for (sql, lines, sizes) in [
            ("SELECT row, col FROM m", &["1 0", "0 1", "2 0", "0 2", "2 1", "1 2"][..], &[4, 2][..]),
            ("SELECT row, col FROM m LIMIT 1", &["1 0"], &[1]),
            ("SELECT row FROM m LIMIT 3", &["1", "0", "2"], &[2, 1]),
            ("SELECT count(*) FROM m", &["6"], &[1]),
        ] {
            let expected = (lines.iter().map(ToString::to_string).collect(), sizes.to_vec());
            assert_eq!(rows(&symmetric, sql).await, Ok(expected), "{sql}");
        }
    }

    #[tokio::test]
    async fn statistics_have_the_shape() {
        let store = Arc::new(InMemory::new());
        put(&store, "m.mtx", GENERAL.replace("3 3 4", "3 9 4").as_bytes()).await;
        put(&store, "empty.mtx", b"%%MatrixMarket matrix coordinate real general\n0 3 0\n").await;
        let matrix = open(&store, "m.mtx").await.unwrap();
        assert_eq!(matrix.shape(), (3, 9));
        let maxima = |matrix: &MatrixMarketTable| {
            let statistics = matrix.statistics().unwrap();
            let maxima = statistics.column_statistics.iter().map(|column| column.max_value.clone());
            maxima.collect::<Vec<_>>()
        };
        let inexact = |max| Precision::Inexact(ScalarValue::Int64(Some(max)));
        assert_eq!(maxima(&matrix), [inexact(2), inexact(8), Precision::Absent]);
        let empty = open(&store, "empty.mtx").await.unwrap();
        assert_eq!(maxima(&empty), [Precision::Absent, inexact(2), Precision::Absent]);
    }

    #[tokio::test]
    async fn a_file_may_change_between_queries_but_not_during_one() {
        let store = Arc::new(InMemory::new());
        let context = session(&store, GENERAL, 8192).await;
        let plan = context.sql("SELECT row FROM m").await.unwrap().create_physical_plan().await.unwrap();
        put(&store, "m.mtx", SYMMETRIC.as_bytes()).await;
        let error = collect(plan, context.task_ctx()).await.unwrap_err();
        assert_eq!(user_message(&error), "file 'm.mtx' cannot be read as a table: it changed while it was read");
        assert_eq!(rows(&context, "SELECT count(*) FROM m").await.unwrap().0, ["6"]);
        put(&store, "m.mtx", SYMMETRIC.replace("real", "integer").as_bytes()).await;
        assert_eq!(
            rows(&context, "SELECT count(*) FROM m").await.unwrap_err(),
            "file 'm.mtx' cannot be read as a table: its values were Float64 when the query was planned, and are Int64 now"
        );
    }

    #[tokio::test]
    async fn other_files_are_rejected() {
        let store = Arc::new(InMemory::new());
        assert_eq!(
            open(&store, "m.mtx").await.unwrap_err(),
            "file 'm.mtx' cannot be read as a table: there is no such file"
        );
        for (name, bytes, reason) in [
            ("m.mtx", &b""[..], "the file is empty"),
            ("m.mtx.GZ", b"%%MatrixMarket", "it cannot be decompressed: invalid gzip header"),
            (
                "m.mtx",
                b"%%MatrixMarket matrix coordinate real general\n1 1 9000000000000000000\n1 1 1\n",
                "the header announces 9000000000000000000 entries, more than its 76 bytes can hold",
            ),
        ] {
            put(&store, name, bytes).await;
            let sentence = format!("file '{name}' cannot be read as a table: {reason}");
            assert_eq!(open(&store, name).await.unwrap_err(), sentence);
        }
    }

    #[tokio::test]
    async fn comments_may_be_longer_than_the_first_chunk() {
        let store = Arc::new(InMemory::new());
        let text = GENERAL.replacen('\n', &format!("\n{}", "% much to say\n".repeat(50_000)), 1);
        let context = session(&store, &text, 8192).await;
        assert_eq!(rows(&context, "SELECT row FROM m").await.unwrap().0, ["0", "1", "2", "0"]);
    }
}
