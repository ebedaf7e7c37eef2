//! [`limit_image_batch_size`] limits the size of batches with images in bytes.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::infer::InferExec;

/// The target size of a batch in bytes. Two or three batches are in memory at a time.
const TARGET_BATCH_BYTES: usize = 8 << 20;
/// Rows per batch if the statistics do not give the size of a row.
const DEFAULT_IMAGE_BATCH_ROWS: usize = 256;

/// Reduces the batch size of scans and filters below an `InferExec` to [`TARGET_BATCH_BYTES`].
///
/// DataFusion's batch size counts rows: 8192 rows of metadata are half a megabyte, 8192 photographs are several gigabytes.
pub(crate) fn limit_image_batch_size(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|plan| {
        let Some(infer) = plan.downcast_ref::<InferExec>() else {
            return Ok(Transformed::no(plan));
        };
        let rows = target_batch_rows(infer);
        let input = Arc::clone(plan.children()[0]).transform_up(|node| limit_node_batch_size(node, rows))?;
        if !input.transformed {
            return Ok(Transformed::no(plan));
        }
        #[expect(deprecated, reason = "the replacement takes options whose defaults do the same")]
        Ok(Transformed::yes(plan.with_new_children(vec![input.data])?))
    })
    .map(|plan| plan.data)
}

/// The number of rows in [`TARGET_BATCH_BYTES`], by the statistics of the scans.
fn target_batch_rows(infer: &InferExec) -> usize {
    let leaves = leaves(infer.children()[0]);
    let widths = leaves.iter().filter(|leaf| has_images(&leaf.schema())).map(|leaf| {
        let statistics = StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok()?;
        let (rows, bytes) = (statistics.num_rows.get_value()?, statistics.total_byte_size.get_value()?);
        (*rows > 0).then(|| bytes / rows)
    });
    match widths.collect::<Option<Vec<usize>>>().and_then(|widths| widths.into_iter().max()) {
        Some(width) => (TARGET_BATCH_BYTES / width.max(1)).max(1),
        None => DEFAULT_IMAGE_BATCH_ROWS,
    }
}

fn leaves(plan: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    match plan.children() {
        children if children.is_empty() => vec![plan],
        children => children.into_iter().flat_map(leaves).collect(),
    }
}

fn has_images(schema: &Schema) -> bool {
    let is_binary =
        |data_type: &DataType| matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    schema.fields().iter().any(|field| is_binary(field.data_type()))
}

fn limit_node_batch_size(node: Arc<dyn ExecutionPlan>, rows: usize) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if !has_images(&node.schema()) {
        return Ok(Transformed::no(node));
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>()
        && filter.batch_size() > rows
    {
        return Ok(Transformed::yes(Arc::new(filter.with_batch_size(rows)?)));
    }
    if let Some(scan) = node.downcast_ref::<DataSourceExec>()
        && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
        && config.batch_size.is_none_or(|size| size > rows)
    {
        let config = FileScanConfigBuilder::from(config.clone()).with_batch_size(Some(rows)).build();
        return Ok(Transformed::yes(DataSourceExec::from_data_source(config)));
    }
    Ok(Transformed::no(node))
}
