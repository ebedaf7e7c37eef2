//! [`FileTable`]: a list of files in one format, as a table.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Statistics, not_impl_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::listing::{ListingTable, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::hive_partitions::HivePartitions;

/// A table of files that were listed when the query was planned. DataFusion's `ListingTable` lists a folder, and cannot express every glob
/// pattern.
#[derive(Debug)]
pub(super) struct FileTable {
    store: ObjectStoreUrl,
    files: Vec<PartitionedFile>,
    format: Arc<dyn FileFormat>,
    schema: TableSchema,
    /// The columns of the table with the types of a file, where they differ.
    own_schemas: HashMap<Path, SchemaRef>,
    /// The folder, which `INSERT INTO` adds files to; `None` for a file and for a pattern.
    folder: Option<Arc<ListingTable>>,
}

impl FileTable {
    pub(super) fn new(
        store: ObjectStoreUrl,
        files: Vec<ObjectMeta>,
        format: Arc<dyn FileFormat>,
        file_schema: SchemaRef,
        own_schemas: HashMap<Path, SchemaRef>,
        partitions: HivePartitions,
        folder: Option<Arc<ListingTable>>,
    ) -> Self {
        let files = files.into_iter().zip(partitions.values).map(|(file, values)| {
            let file = PartitionedFile::new_from_meta(file);
            file.with_partition_values(values)
        });
        let files = files.collect();
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(partitions.columns).build();
        Self { store, files, format, schema, own_schemas, folder }
    }

    /// Whether a filter reads partition columns only, so that it selects files.
    fn is_partition_filter(&self, filter: &Expr) -> bool {
        let names: Vec<&str> = self.schema.table_partition_cols().iter().map(|column| column.name().as_str()).collect();
        !names.is_empty() && expr_applicable_for_cols(&names, filter)
    }

    /// The files that the filters on partition columns select.
    fn selected_files(&self, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let filters: Vec<Expr> = filters.iter().filter(|filter| self.is_partition_filter(filter)).cloned().collect();
        let columns = self.schema.table_partition_cols().iter().cloned().collect();
        let columns = DFSchema::from_unqualified_fields(columns, Default::default())?;
        let files = self.files.iter().map(|file| filter_partitioned_file(file.clone(), &filters, &columns));
        files.filter_map(Result::transpose).collect()
    }

    /// Adds the statistics of each file, up to the first files that have `limit` rows.
    async fn with_statistics(
        &self,
        state: &dyn Session,
        files: Vec<PartitionedFile>,
        limit: Option<usize>,
    ) -> Result<(Vec<PartitionedFile>, Statistics)> {
        let unknown = Statistics::new_unknown(self.schema.table_schema());
        let options = &state.config_options().execution;
        if !options.collect_statistics {
            return Ok((files, unknown));
        }
        let store = state.runtime_env().object_store(&self.store)?;
        let count = files.len();
        let with_statistics = |file: PartitionedFile| {
            let (store, own) = (&store, self.own_schemas.get(&file.object_meta.location));
            let schema = Arc::clone(own.unwrap_or(self.schema.file_schema()));
            async move {
                let metadata = self.format.infer_stats_and_ordering(state, store, schema, &file.object_meta).await?;
                let (statistics, ordering) = match own {
                    Some(own) => (without_bounds(metadata.statistics, own, self.schema.file_schema()), None),
                    None => (metadata.statistics, metadata.ordering),
                };
                let file = file.with_statistics(Arc::new(statistics)).with_ordering(ordering);
                Ok::<_, datafusion::error::DataFusionError>(file)
            }
        };
        let mut inferred = stream::iter(files).map(with_statistics).buffered(options.meta_fetch_concurrency.get());
        let (mut files, mut rows) = (Vec::with_capacity(count), Precision::Exact(0));
        while let Some(file) = inferred.try_next().await? {
            let file_rows = file.statistics.as_ref().map_or(Precision::Absent, |statistics| statistics.num_rows);
            rows = rows.add(&file_rows);
            files.push(file);
            if let (Some(limit), Precision::Exact(rows)) = (limit, rows)
                && rows >= limit
            {
                break;
            }
        }
        let known: Vec<&Statistics> = files.iter().filter_map(|file| file.statistics.as_deref()).collect();
        let all = match known.len() == files.len() && !files.is_empty() {
            true => Statistics::try_merge_iter(known, self.schema.table_schema())?,
            false => unknown,
        };
        let is_complete = files.len() == count;
        Ok((files, if is_complete { all } else { all.to_inexact() }))
    }
}

/// The statistics of a file without the bounds of columns that have another type in the table.
fn without_bounds(mut statistics: Statistics, own: &Schema, table: &Schema) -> Statistics {
    for (column, (own, table)) in statistics.column_statistics.iter_mut().zip(own.fields().iter().zip(table.fields())) {
        if own.data_type() != table.data_type() {
            *column = ColumnStatistics { null_count: column.null_count, ..ColumnStatistics::new_unknown() };
        }
    }
    statistics
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_partition_filter(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.selected_files(filters)?;
        // Other filters are evaluated after the scan, which then needs more rows than the limit.
        let file_limit = limit.filter(|_| filters.iter().all(|filter| self.is_partition_filter(filter)));
        let (files, statistics) = self.with_statistics(state, files, file_limit).await?;
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema().project(projection)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // The order that the files declare, if they have one in common.
        let ordering = files[0]
            .ordering
            .clone()
            .filter(|ordering| files.iter().all(|file| file.ordering.as_ref() == Some(ordering)));
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let source = self.format.file_source(self.schema.clone());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(ordering.into_iter().collect())
            .build();
        self.format.create_physical_plan(state, config).await
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.folder {
            Some(folder) => folder.insert_into(state, input, insert_op).await,
            None => not_impl_err!(
                "INSERT INTO a file, a pattern, or one partition; insert into the folder of all .parquet, .csv, .json or .arrow files, or write a file \
                 with COPY"
            ),
        }
    }
}
