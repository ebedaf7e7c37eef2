//! [`MatrixMarket`]: the table; [`Scan`] reads it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field as Column, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::Time;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::parse::{Field, Header};
use super::reader::Reader;
use super::scan::Scan;
use super::text::{Text, max_text};
use crate::error::Error;
use crate::location::reason;

/// The entries of a Matrix Market file, a row each: `row` and `col` from 0, and `value`, an integer or a real number.
#[derive(Debug)]
pub(crate) struct MatrixMarket {
    /// As the query has it.
    uri: String,
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    header: Header,
    schema: SchemaRef,
}

impl MatrixMarket {
    /// Whether a file of this name is meant to be one.
    pub(crate) fn has_name(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name.ends_with(".mtx") || name.ends_with(".mtx.gz")
    }

    /// Reads the header of the file; the query has it as `uri`.
    ///
    /// # Errors
    /// [`Error::NotATable`] when it cannot be read, is another kind of file, or of matrix.
    pub(crate) async fn open(uri: &str, store: Arc<dyn ObjectStore>, path: &Path) -> Result<Self, Error> {
        let refuse = |reason| Error::NotATable { path: uri.to_owned(), reason };
        let object = store.head(path).await.map_err(|error| refuse(reason(&error)))?;
        let reader = Reader::open(Text::new(Arc::clone(&store), &object, false), Time::new()).await.map_err(refuse)?;
        let header = *reader.header();
        // What plans are made from, so it is not believed blindly. An entry takes two bytes at least.
        if header.lines.unsigned_abs() > max_text(&object) {
            let (lines, size) = (header.lines, object.size);
            return Err(refuse(format!("the header promises {lines} entries, more than fit into its {size} bytes")));
        }
        let value = match header.field {
            Field::Real => DataType::Float64,
            Field::Integer | Field::Pattern => DataType::Int64,
        };
        let columns = [("row", DataType::Int64), ("col", DataType::Int64), ("value", value)];
        let columns = columns.map(|(name, data_type)| Column::new(name, data_type, false));
        Ok(Self { uri: uri.to_owned(), store, object, header, schema: Arc::new(Schema::new(columns.to_vec())) })
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

    pub(super) fn text(&self, is_ahead: bool) -> Text {
        Text::new(Arc::clone(&self.store), &self.object, is_ahead)
    }

    pub(super) fn refuse(&self, reason: String) -> Error {
        Error::NotATable { path: self.uri.clone(), reason }
    }

    /// What the header says of all rows, with those columns.
    pub(super) fn statistics_of(&self, columns: &Schema) -> Statistics {
        let (entries, is_exact) = self.header.entries();
        let rows = match usize::try_from(entries) {
            Ok(rows) if is_exact => Precision::Exact(rows),
            Ok(rows) => Precision::Inexact(rows),
            Err(_) => Precision::Absent,
        };
        let mut statistics = Statistics::new_unknown(columns).with_num_rows(rows);
        for column in &mut statistics.column_statistics {
            column.null_count = Precision::Exact(0);
        }
        statistics.calculate_total_byte_size(columns);
        statistics
    }
}

#[async_trait]
impl TableProvider for MatrixMarket {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_of(&self.schema))
    }

    /// Looks at the file again: a view may be as old as it likes.
    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let now = Self::open(&self.uri, Arc::clone(&self.store), &self.object.location).await?;
        if now.schema != self.schema {
            let [was, is] = [&self.schema, &now.schema].map(|schema| schema.field(2).data_type().clone());
            return Err(self
                .refuse(format!("its values have changed from {was} to {is} since the query was made"))
                .into());
        }
        let projection = projection.cloned().unwrap_or_else(|| vec![0, 1, 2]);
        Ok(DataSourceExec::from_data_source(Scan::try_new(now, projection, limit)?))
    }
}
