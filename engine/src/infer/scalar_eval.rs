//! [`evaluate_scalar`]: evaluates a call that was not lifted into an operator.

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
use super::fetch::fetch_blocking;
use super::function::InferFunction;
use super::image_rows::{EncodedImage, ImageColumns};
use super::metrics::ComputeTimes;
use super::output::{InferOutput, OutputSpec};
use super::output_columns::{RowPrediction, output_array};
use crate::error::Error;
use crate::options::OcelliOptions;

/// Evaluates a call on this thread.
///
/// # Errors
/// Those of the model, and the first invalid image unless it gives NULL or is returned as data.
pub(crate) fn evaluate_scalar(
    images: &ArrayRef,
    function: InferFunction,
    call: &InferCall,
    options: &OcelliOptions,
    engine: &InferContext,
) -> Result<ArrayRef> {
    let model = engine.models.get(call.model.as_deref().unwrap_or(&options.model))?;
    let value = OutputSpec::new(call, options, &model)?;
    let output = InferOutput { name: function.name().to_owned(), value: value.clone() };
    let compute = ImagePipeline::new(engine, Arc::clone(&model), options, std::slice::from_ref(&output))?;
    let times = ComputeTimes { decode: Time::new(), model: Time::new(), queue: Time::new() };
    let schema = Arc::new(Schema::new(vec![Field::new("image", images.data_type().clone(), true)]));
    let all = RecordBatch::try_new(schema, vec![Arc::clone(images)])?;
    let size = options.infer_batch_rows.max(1);
    let mut arrays = vec![new_empty_array(&value.data_type)];
    for first in (0..all.num_rows()).step_by(size) {
        let rows = all.slice(first, size.min(all.num_rows() - first));
        let (rows, columns) = match (images.data_type().is_string(), &engine.runtime) {
            (false, _) => (rows, ImageColumns { image: 0, fetch_error: None, guard: None, tensor: 0 }),
            (true, Some(runtime)) => {
                let columns = ImageColumns { image: 1, fetch_error: Some(2), guard: None, tensor: 0 };
                (fetch_blocking(&rows, runtime, &engine.workers)?, columns)
            }
            (true, None) => return Err(Error::UriOutsideSession { function: function.name() }.into()),
        };
        let images = columns.images(&rows)?;
        let present: Vec<EncodedImage> = (0..rows.num_rows()).filter_map(|row| images.get(row)).collect();
        let predictions = compute.run(&present, &times, &|| false)?;
        let mut next = 0;
        let mut predicted = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if images.get(row).is_none() {
                predicted.push(None);
                continue;
            }
            if let (true, Some(Err(source))) = (value.fails_query(), predictions.images.get(next)) {
                let image = match all.column(0).data_type().is_string() {
                    true => format!("'{}'", array_value_to_string(all.column(0), first + row)?),
                    false => format!("in row {} of its batch", first + row + 1),
                };
                return Err(Error::InvalidImage { image, function: value.task.name(), source: source.clone() }.into());
            }
            predicted.push(Some(RowPrediction { predictions: &predictions, image: next }));
            next += 1;
        }
        arrays.push(output_array(&value, &predicted, &compute)?);
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}
