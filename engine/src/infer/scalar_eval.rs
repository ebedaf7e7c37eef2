//! [`evaluate_scalar`]: evaluates a call as a scalar function, if it was not lifted into an `Infer` node.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::Time;

use super::call::InferCall;
use super::compute::ImagePipeline;
use super::context::InferContext;
use super::fetch::{fetch_blocking, names_files};
use super::function::InferFunction;
use super::image_rows::{EncodedImage, ImageColumns};
use super::metrics::ComputeTimes;
use super::output::{InferOutput, OutputSpec};
use super::output_columns::{RowPrediction, output_array};
use crate::error::Error;
use crate::options::OcelliOptions;

/// Evaluates a call on this thread, in batches of `ocelli.infer_batch_rows` rows.
///
/// # Errors
/// Those of the model, and the first invalid image unless its output is NULL or an error struct.
pub(crate) fn evaluate_scalar(
    images: &ArrayRef,
    function: InferFunction,
    call: &InferCall,
    options: &OcelliOptions,
    context: &InferContext,
) -> Result<ArrayRef> {
    let model = context.models.get(call.model.as_deref().unwrap_or(&options.model))?;
    let value = OutputSpec::new(call, options, &model)?;
    let output = InferOutput { name: function.name().to_owned(), value: value.clone() };
    let pipeline = ImagePipeline::new(context, Arc::clone(&model), options, std::slice::from_ref(&output))?;
    let times = ComputeTimes { decode: Time::new(), model: Time::new(), queue: Time::new() };
    let schema = Arc::new(Schema::new(vec![Field::new("image", images.data_type().clone(), true)]));
    let input = RecordBatch::try_new(schema, vec![Arc::clone(images)])?;
    let batch_rows = options.infer_batch_rows.max(1);
    let mut arrays = vec![new_empty_array(&value.data_type)];
    for offset in (0..input.num_rows()).step_by(batch_rows) {
        let rows = input.slice(offset, batch_rows.min(input.num_rows() - offset));
        let (rows, columns) = match (names_files(images.data_type()), &context.runtime) {
            (false, _) => (rows, ImageColumns { image: 0, fetch_error: None, guard: None, tensor_bytes: 0 }),
            (true, Some(runtime)) => {
                let columns = ImageColumns { image: 1, fetch_error: Some(2), guard: None, tensor_bytes: 0 };
                (fetch_blocking(&rows, runtime, &context.workers)?, columns)
            }
            (true, None) => return Err(Error::UriOutsideSession { function: function.name() }.into()),
        };
        let images = columns.images(&rows)?;
        let present: Vec<EncodedImage> = (0..rows.num_rows()).filter_map(|row| images.get(row)).collect();
        let predictions = pipeline.run(&present, &times, &|| false)?;
        let mut next = 0;
        let mut row_predictions = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if images.get(row).is_none() {
                row_predictions.push(None);
                continue;
            }
            if let (true, Some(Err(source))) = (value.fails_query(), predictions.images.get(next)) {
                let image = match input.column(0).data_type().is_string() {
                    true => format!("'{}'", array_value_to_string(input.column(0), offset + row)?),
                    false => format!("in row {} of its batch", offset + row + 1),
                };
                return Err(Error::InvalidImage { image, function: value.task.name(), source: source.clone() }.into());
            }
            row_predictions.push(Some(RowPrediction { predictions: &predictions, image: next }));
            next += 1;
        }
        arrays.push(output_array(&value, &row_predictions, &pipeline)?);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}
