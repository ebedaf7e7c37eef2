//! [`evaluate`]: a call that no operator computes, as a scalar function.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::Time;

use super::call::InferCall;
use super::compute::Compute;
use super::context::Engine;
use super::fetch::fetch_now;
use super::function::InferFunction;
use super::image_rows::{Columns, Image};
use super::metrics::ComputeTimes;
use super::output::{InferOutput, OutputSpec};
use super::output_columns::{Row, column};
use crate::error::Error;
use crate::options::OcelliOptions;

/// A call where it stands, without an operator: on this thread, until it is done.
///
/// # Errors
/// Those of the model, and the first bad image unless that is NULL or data.
pub(crate) fn evaluate(
    images: &ArrayRef,
    function: InferFunction,
    call: &InferCall,
    options: &OcelliOptions,
    engine: &Engine,
) -> Result<ArrayRef> {
    let model = engine.models.get(call.model.as_deref().unwrap_or(&options.model))?;
    let value = OutputSpec::new(call, options, &model)?;
    let output = InferOutput { name: function.name().to_owned(), value: value.clone() };
    let compute = Compute::new(engine, Arc::clone(&model), options, std::slice::from_ref(&output))?;
    let times = ComputeTimes { decode: Time::new(), model: Time::new(), queue: Time::new() };
    let schema = Arc::new(Schema::new(vec![Field::new("image", images.data_type().clone(), true)]));
    let all = RecordBatch::try_new(schema, vec![Arc::clone(images)])?;
    let size = options.infer_batch_rows.max(1);
    let mut parts = vec![new_empty_array(&value.data_type)];
    for first in (0..all.num_rows()).step_by(size) {
        let rows = all.slice(first, size.min(all.num_rows() - first));
        let (rows, columns) = match (images.data_type().is_string(), &engine.runtime) {
            (false, _) => (rows, Columns { image: 0, unreadable: None, guard: None, tensor: 0 }),
            (true, Some(runtime)) => {
                let columns = Columns { image: 1, unreadable: Some(2), guard: None, tensor: 0 };
                (fetch_now(&rows, runtime, &engine.workers)?, columns)
            }
            (true, None) => return Err(Error::UriOutsideSession { function: function.name() }.into()),
        };
        let images = columns.images(&rows)?;
        let present: Vec<Image> = (0..rows.num_rows()).filter_map(|row| images.get(row)).collect();
        let findings = compute.run(&present, &times, &|| false)?;
        let mut next = 0;
        let mut found = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if images.get(row).is_none() {
                found.push(None);
                continue;
            }
            if let (true, Some(Err(source))) = (value.fails_query(), findings.images.get(next)) {
                let place = match all.column(0).data_type().is_string() {
                    true => format!("'{}'", array_value_to_string(all.column(0), first + row)?),
                    false => format!("in row {} of its batch", first + row + 1),
                };
                return Err(
                    Error::InvalidImage { image: place, function: value.task.name(), source: source.clone() }.into()
                );
            }
            found.push(Some(Row { findings: &findings, image: next }));
            next += 1;
        }
        parts.push(column(&value, &found, &compute)?);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(concat(&parts)?)
}
