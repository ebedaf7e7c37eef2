//! [`Scan`]: what a query reads of a matrix.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};
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

use super::entries::Block;
use super::header::Field;
use super::reader::Reader;
use super::table::MatrixMarket;

/// Some columns of the entries, and no more than so many: the source of a `DataSourceExec`.
///
/// One partition, in the order of the file. Lines behind the last entry that is wanted are not looked at.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    matrix: Arc<MatrixMarket>,
    /// Numbers of columns.
    projection: Vec<usize>,
    /// Of those columns.
    schema: SchemaRef,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl Scan {
    pub(super) fn try_new(matrix: MatrixMarket, projection: Vec<usize>, fetch: Option<usize>) -> Result<Self> {
        let schema = Arc::new(matrix.columns().project(&projection)?);
        Ok(Self { matrix: Arc::new(matrix), projection, schema, fetch, metrics: ExecutionPlanMetricsSet::new() })
    }

    fn batch(&self, block: Block) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(block.len()));
        let values: ArrayRef = match self.matrix.header().field {
            Field::Real => Arc::new(Float64Array::from(block.reals)),
            Field::Integer | Field::Pattern => Arc::new(Int64Array::from(block.integers)),
        };
        let all: [ArrayRef; 3] =
            [Arc::new(Int64Array::from(block.rows)), Arc::new(Int64Array::from(block.columns)), values];
        let columns = self.projection.iter().map(|column| Arc::clone(&all[*column])).collect();
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl DataSource for Scan {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = Batches {
            scan: self.clone(),
            reader: None,
            batch_rows: context.session_config().batch_size(),
            left: self.fetch.unwrap_or(usize::MAX),
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
        Ok(Arc::new(self.matrix.statistics_of(&self.schema).with_fetch(self.fetch, 0, 1)?))
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

    /// Columns alone are left out or put in another order here; whatever computes or renames stays above.
    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let wanted: Vec<_> = projection.iter().cloned().collect();
        if !all_alias_free_columns(&wanted) {
            return Ok(None);
        }
        let projection = new_projections_for_columns(&wanted, &self.projection);
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

/// A scan that runs.
struct Batches {
    scan: Scan,
    /// None until the first batch is asked for.
    reader: Option<Reader>,
    batch_rows: usize,
    /// Rows that are still wanted.
    left: usize,
    metrics: BaselineMetrics,
}

impl Batches {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.left == 0 {
            return Ok(None);
        }
        let matrix = &self.scan.matrix;
        let refuse = |reason| matrix.refuse(reason);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let time = self.metrics.elapsed_compute().clone();
                let reader = Reader::open(matrix.text(true), time).await.map_err(refuse)?;
                // Where a store does not tell one version of an object from another.
                if reader.header() != matrix.header() {
                    return Err(matrix.refuse("it has changed since the query was planned".to_owned()).into());
                }
                none.insert(reader)
            }
        };
        let wanted = [0, 1, 2].map(|column| self.scan.projection.contains(&column));
        let mut block = Block::new(reader.header(), self.batch_rows.min(self.left), wanted);
        reader.fill(&mut block).await.map_err(refuse)?;
        if block.len() == 0 {
            self.left = 0;
            return Ok(None);
        }
        let batch = self.scan.batch(block)?;
        // A line may give two rows where one is wanted.
        let batch = batch.slice(0, batch.num_rows().min(self.left));
        self.left -= batch.num_rows();
        Ok(Some(batch.record_output(&self.metrics)))
    }
}
