//! [`output_array`]: builds the Arrow array of an output from the predictions for its rows.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, ListArray, StringArray, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::call::{MinScore, Task, label_struct_fields, result_struct_fields};
use super::compute::{ImagePipeline, Predictions};
use super::kernels::{argmax, indices_at_least, l2_normalize, sigmoid, softmax, top_k_indices};
use super::output::OutputSpec;
use crate::error::Error;
use crate::model::{Activation, ImageTask};

/// The prediction for the image of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPrediction<'a> {
    pub(super) predictions: &'a Predictions,
    /// The index of the image in the predictions.
    pub(super) image: usize,
}

impl<'a> RowPrediction<'a> {
    /// The outputs of the model before the activation, `[classes]`. `None` for an invalid image.
    fn outputs(self, image_task: &ImageTask) -> Option<&'a [f32]> {
        Some(slice_row(&self.predictions.outputs.scores, self.tensor_row()?, image_task.labels.len()))
    }

    /// The embedding, `[length]`. `None` for an invalid image.
    fn embedding(self, length: usize) -> Option<&'a [f32]> {
        Some(slice_row(&self.predictions.outputs.embeddings, self.tensor_row()?, length))
    }

    /// The row of the image in the output tensors. `None` for an invalid image.
    fn tensor_row(self) -> Option<usize> {
        self.predictions.images.get(self.image)?.as_ref().ok().copied()
    }

    /// The reason why the image is invalid. `None` for a valid image.
    fn error(self) -> Option<String> {
        Some(self.predictions.images.get(self.image)?.as_ref().err()?.to_string())
    }
}

/// Row `row` of a tensor `[rows, length]`.
fn slice_row(tensor: &[f32], row: usize, length: usize) -> &[f32] {
    &tensor[row * length..][..length]
}

/// The array of an output, with NULL for rows without an image.
///
/// # Errors
/// When all scores of an image are NaN.
pub(super) fn output_array(
    value: &OutputSpec,
    rows: &[Option<RowPrediction>],
    pipeline: &ImagePipeline,
) -> Result<ArrayRef> {
    let values = match value.task {
        Task::Classify => labels(rows, pipeline)?,
        Task::ClassifyLabels { min_score: MinScore(min) } => {
            scored_labels(rows, pipeline, |outputs, scores| indices_at_least(outputs, scores, min))?
        }
        Task::ClassifyTopk { k } => scored_labels(rows, pipeline, |outputs, _| top_k_indices(outputs, k))?,
        Task::Embed { normalize } => embeddings(rows, normalize, pipeline)?,
    };
    if !value.errors_as_struct {
        return Ok(values);
    }
    let errors: StringArray = rows.iter().map(|row| row.and_then(RowPrediction::error)).collect();
    let present = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    let fields = result_struct_fields(values.data_type().clone());
    Ok(Arc::new(StructArray::try_new(fields, vec![values, Arc::new(errors)], Some(present))?))
}

fn labels(rows: &[Option<RowPrediction>], pipeline: &ImagePipeline) -> Result<ArrayRef> {
    let label = |row: &Option<RowPrediction>| match row.and_then(|row| row.outputs(&pipeline.image_task)) {
        None => Ok(None),
        Some(outputs) => top1_label(outputs, pipeline).map(Some),
    };
    let labels: StringArray = rows.iter().map(label).collect::<Result<Vec<_>>>()?.into();
    Ok(Arc::new(labels))
}

fn top1_label<'a>(outputs: &[f32], pipeline: &'a ImagePipeline) -> Result<&'a str> {
    let Some(best) = argmax(outputs) else {
        let reason = "all scores of an image are NaN".to_owned();
        let (backend, model) = (pipeline.backend.kind.name(), pipeline.model.name().to_owned());
        return Err(Error::Backend { backend, model, reason }.into());
    };
    Ok(&pipeline.image_task.labels[best])
}

/// Lists of labels with their scores. `select` returns the classes of a list, from the outputs of the model and the scores.
fn scored_labels(
    rows: &[Option<RowPrediction>],
    pipeline: &ImagePipeline,
    select: impl Fn(&[f32], &[f32]) -> Vec<usize>,
) -> Result<ArrayRef> {
    let (mut labels, mut listed, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        let Some(outputs) = row.and_then(|row| row.outputs(&pipeline.image_task)) else {
            lengths.push(0);
            continue;
        };
        // Fails if all scores are NaN.
        top1_label(outputs, pipeline)?;
        let mut scores = outputs.to_vec();
        match pipeline.image_task.activation {
            Activation::None => {}
            Activation::Sigmoid => sigmoid(&mut scores),
            Activation::Softmax => softmax(&mut scores),
        }
        let classes = select(outputs, &scores);
        lengths.push(classes.len());
        labels.extend(classes.iter().map(|&class| pipeline.image_task.labels[class].as_str()));
        listed.extend(classes.iter().map(|&class| scores[class]));
    }
    let present = NullBuffer::from_iter(rows.iter().map(|row| row.is_some_and(|row| row.tensor_row().is_some())));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(labels)), Arc::new(Float32Array::from(listed))];
    let classes = StructArray::try_new(label_struct_fields(), columns, None)?;
    let field = Arc::new(Field::new_list_field(classes.data_type().clone(), false));
    let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(classes), Some(present))?;
    Ok(Arc::new(lists))
}

fn embeddings(rows: &[Option<RowPrediction>], normalize: bool, pipeline: &ImagePipeline) -> Result<ArrayRef> {
    let length = pipeline.model.embedding()?.length;
    let Ok(list_size) = i32::try_from(length) else {
        return internal_err!("an embedding has {length} elements");
    };
    let mut values = vec![0.0; rows.len() * length];
    let mut present = Vec::with_capacity(rows.len());
    for (row, vector) in rows.iter().zip(values.chunks_exact_mut(length)) {
        let embedding = row.and_then(|row| row.embedding(length));
        present.push(embedding.is_some());
        if let Some(embedding) = embedding {
            vector.copy_from_slice(embedding);
            if normalize {
                l2_normalize(vector);
            }
        }
    }
    let field = Arc::new(Field::new_list_field(DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(field, list_size, values, Some(NullBuffer::from(present)))?))
}
