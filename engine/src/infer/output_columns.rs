//! [`column`]: from what a model said of some rows to the column of one output.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, ListArray, StringArray, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::call::{Task, result_struct_fields, topk_struct_fields};
use super::compute::{Compute, Findings};
use super::kernels::{argmax, largest, scale_to_unit_length, softmax};
use super::output::OutputSpec;
use crate::error::Error;
use crate::model::Vision;

/// Where to look for what came of a row's image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) findings: &'a Findings,
    /// Its number among the images of the findings.
    pub(super) image: usize,
}

impl<'a> Row<'a> {
    /// `[classes]`, none for a bad image.
    fn scores(self, vision: &Vision) -> Option<&'a [f32]> {
        Some(slice(&self.findings.tensors.scores, self.position()?, vision.labels.len()))
    }

    /// `[length]`, none for a bad image.
    fn embedding(self, length: usize) -> Option<&'a [f32]> {
        Some(slice(&self.findings.tensors.embeddings, self.position()?, length))
    }

    fn position(self) -> Option<usize> {
        self.findings.images.get(self.image)?.as_ref().ok().copied()
    }

    /// Why the image is bad.
    fn error(self) -> Option<String> {
        Some(self.findings.images.get(self.image)?.as_ref().err()?.to_string())
    }
}

fn slice(tensor: &[f32], position: usize, length: usize) -> &[f32] {
    &tensor[position * length..][..length]
}

/// The column of an output; rows without an image have none of its values.
///
/// # Errors
/// When the model gave no number for an image.
pub(super) fn column(value: &OutputSpec, rows: &[Option<Row>], compute: &Compute) -> Result<ArrayRef> {
    let values = match value.task {
        Task::Classify => labels(rows, compute)?,
        Task::ClassifyTopk { k } => top_labels(rows, k, compute)?,
        Task::Embed { normalize } => embeddings(rows, normalize, compute)?,
    };
    if !value.errors_as_struct {
        return Ok(values);
    }
    let errors: StringArray = rows.iter().map(|row| row.and_then(Row::error)).collect();
    let present = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    let fields = result_struct_fields(values.data_type().clone());
    Ok(Arc::new(StructArray::try_new(fields, vec![values, Arc::new(errors)], Some(present))?))
}

fn labels(rows: &[Option<Row>], compute: &Compute) -> Result<ArrayRef> {
    let label = |row: &Option<Row>| match row.and_then(|row| row.scores(&compute.vision)) {
        None => Ok(None),
        Some(scores) => best(scores, compute).map(Some),
    };
    let labels: StringArray = rows.iter().map(label).collect::<Result<Vec<_>>>()?.into();
    Ok(Arc::new(labels))
}

fn best<'a>(scores: &[f32], compute: &'a Compute) -> Result<&'a str> {
    let Some(best) = argmax(scores) else {
        let reason = "it gave no number for an image".to_owned();
        let (backend, model) = (compute.backend.kind.name(), compute.model.name().to_owned());
        return Err(Error::Backend { backend, model, reason }.into());
    };
    Ok(&compute.vision.labels[best])
}

fn top_labels(rows: &[Option<Row>], k: usize, compute: &Compute) -> Result<ArrayRef> {
    let (mut labels, mut scores, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        let Some(logits) = row.and_then(|row| row.scores(&compute.vision)) else {
            lengths.push(0);
            continue;
        };
        best(logits, compute)?;
        let mut shares = logits.to_vec();
        if !compute.vision.is_softmaxed {
            softmax(&mut shares);
        }
        let top = largest(&shares, k);
        lengths.push(top.len());
        labels.extend(top.iter().map(|&class| compute.vision.labels[class].as_str()));
        scores.extend(top.iter().map(|&class| shares[class]));
    }
    let present = NullBuffer::from_iter(rows.iter().map(|row| row.is_some_and(|row| row.position().is_some())));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(labels)), Arc::new(Float32Array::from(scores))];
    let classes = StructArray::try_new(topk_struct_fields(), columns, None)?;
    let field = Arc::new(Field::new_list_field(classes.data_type().clone(), false));
    let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(classes), Some(present))?;
    Ok(Arc::new(lists))
}

fn embeddings(rows: &[Option<Row>], normalize: bool, compute: &Compute) -> Result<ArrayRef> {
    let length = compute.model.embedding()?.length;
    let Ok(list_size) = i32::try_from(length) else {
        return internal_err!("an embedding of {length} numbers");
    };
    let mut values = vec![0.0; rows.len() * length];
    let mut present = Vec::with_capacity(rows.len());
    for (row, vector) in rows.iter().zip(values.chunks_exact_mut(length)) {
        let embedding = row.and_then(|row| row.embedding(length));
        present.push(embedding.is_some());
        if let Some(embedding) = embedding {
            vector.copy_from_slice(embedding);
            if normalize {
                scale_to_unit_length(vector);
            }
        }
    }
    let field = Arc::new(Field::new_list_field(DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(field, list_size, values, Some(NullBuffer::from(present)))?))
}
