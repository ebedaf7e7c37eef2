//! [`MatrixMarketSource`]: the data source that scans a matrix.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source::DataSource;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, RecordOutput};
use datafusion::physical_plan::projection::{all_alias_free_columns, new_projections_for_columns};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use super::entries::CooBatch;
use super::header::Field;
use super::reader::Reader;
use super::table::MatrixMarketTable;

/// A scan with projection and limit, the source of a `DataSourceExec`.
///
/// One partition, in the order of the file. Lines after the limit are not read.
#[derive(Debug, Clone)]
pub(super) struct MatrixMarketSource {
    matrix: Arc<MatrixMarketTable>,
    /// Indices of the projected columns.
    projection: Vec<usize>,
    /// The projected schema.
    schema: SchemaRef,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl MatrixMarketSource {
    pub(super) fn try_new(matrix: MatrixMarketTable, projection: Vec<usize>, fetch: Option<usize>) -> Result<Self> {
        let schema = Arc::new(matrix.columns().project(&projection)?);
        Ok(Self { matrix: Arc::new(matrix), projection, schema, fetch, metrics: ExecutionPlanMetricsSet::new() })
    }

    fn record_batch(&self, batch: CooBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let values: ArrayRef = match self.matrix.header().field {
            Field::Real => Arc::new(Float64Array::from(batch.reals)),
            Field::Integer | Field::Pattern => Arc::new(Int64Array::from(batch.integers)),
            Field::UnsignedInteger => Arc::new(UInt64Array::from(batch.unsigned)),
        };
        let all: [ArrayRef; 3] =
            [Arc::new(Int64Array::from(batch.rows)), Arc::new(Int64Array::from(batch.columns)), values];
        let columns = self.projection.iter().map(|column| Arc::clone(&all[*column])).collect();
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl DataSource for MatrixMarketSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = BatchStream {
            source: self.clone(),
            reader: None,
            batch_rows: context.session_config().batch_size(),
            remaining: self.fetch.unwrap_or(usize::MAX),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::try_unfold(batches, |mut batches| async move {
            let batch = batches.next().await;
            batch.map(|batch| batch.map(|batch| (batch, batches)))
        });
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))))
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.matrix.location();
        if let DisplayFormatType::TreeRender = format {
            return writeln!(f, "format=mtx\nfile={file}");
        }
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "file={file}, projection=[{}]", columns.join(", "))?;
        if let Some(fetch) = self.fetch {
            write!(f, ", limit={fetch}")?;
        }
        f.write_str(", file_type=mtx")
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(1)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(Arc::clone(&self.schema))
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::Cooperative
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(self.matrix.statistics_for(&self.schema).with_fetch(self.fetch, 0, 1)?))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self { fetch, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    /// Accepts projections that only select and reorder columns.
    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let expressions: Vec<_> = projection.iter().cloned().collect();
        if !all_alias_free_columns(&expressions) {
            return Ok(None);
        }
        let projection = new_projections_for_columns(&expressions, &self.projection);
        let schema = Arc::new(self.matrix.columns().project(&projection)?);
        Ok(Some(Arc::new(Self { projection, schema, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}

/// The state of a running scan.
struct BatchStream {
    source: MatrixMarketSource,
    /// `None` until the first batch is polled.
    reader: Option<Reader>,
    batch_rows: usize,
    /// Remaining rows of the limit.
    remaining: usize,
    metrics: BaselineMetrics,
}

impl BatchStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let matrix = &self.source.matrix;
        let invalid_file = |reason| matrix.invalid_file(reason);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let time = self.metrics.elapsed_compute().clone();
                let reader = Reader::open(matrix.bytes(true), time).await.map_err(invalid_file)?;
                // Not every store has entity tags that tell versions of an object apart.
                if reader.header() != matrix.header() {
                    return Err(matrix.invalid_file("it changed after the query was planned".to_owned()).into());
                }
                none.insert(reader)
            }
        };
        let projection = [0, 1, 2].map(|column| self.source.projection.contains(&column));
        let mut batch = CooBatch::new(reader.header(), self.batch_rows.min(self.remaining), projection);
        reader.fill(&mut batch).await.map_err(invalid_file)?;
        if batch.len() == 0 {
            self.remaining = 0;
            return Ok(None);
        }
        let batch = self.source.record_batch(batch)?;
        // A line may yield two rows where the limit leaves one.
        let batch = batch.slice(0, batch.num_rows().min(self.remaining));
        self.remaining -= batch.num_rows();
        Ok(Some(batch.record_output(&self.metrics)))
    }
}
