//! Conversion between Arrow columns and the input and output tensors of a graph.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, StructArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields};

use crate::backend::{Tensor, cast_to_input};
use crate::onnx::{Dim, TensorInfo};

/// Converts a column to the tensor `[rows, …]` of an input.
///
/// Nested lists map to the axes after the first. A flat list is reshaped if it has as many elements as these axes together; at most one
/// of them may be dynamic.
///
/// # Errors
/// When the shape does not match the input, or a list or an element is NULL.
pub(super) fn column_to_tensor(info: &TensorInfo, column: &ArrayRef) -> Result<Tensor, String> {
    let rows = column.len();
    let (mut values, mut lengths) = (Arc::clone(column), Vec::new());
    while is_list(values.data_type()) {
        let items = flatten_lists(info, &values)?;
        lengths.push(items.len() / values.len().max(1));
        values = items;
    }
    if values.null_count() > 0 {
        return Err(null_in_list(info));
    }
    let axes = info.dims.get(1..).unwrap_or_default();
    let matches = |length: &usize, dim: &Dim| !matches!(dim, Dim::Fixed(fixed) if fixed != length);
    let length: usize = lengths.iter().product();
    let fixed: usize = axes.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { 1 }).product();
    let num_dynamic = axes.iter().filter(|dim| !matches!(dim, Dim::Fixed(_))).count();
    let dims: Vec<usize> =
        if lengths.len() == axes.len() && lengths.iter().zip(axes).all(|(length, dim)| matches(length, dim)) {
            lengths
        } else if lengths.len() <= 1
            && num_dynamic <= 1
            && length.is_multiple_of(fixed)
            && (num_dynamic == 1 || length == fixed)
        {
            let dynamic = length / fixed;
            axes.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { dynamic }).collect()
        } else {
            let got = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            let got = if got.is_empty() { "1".to_owned() } else { got };
            return Err(format!("its input is {info}, got {got} values per row"));
        };
    Ok(Tensor { shape: [vec![rows], dims].concat(), values: cast_to_element_type(info, &values)? })
}

fn null_in_list(info: &TensorInfo) -> String {
    format!("there is a NULL in a list for input '{}'", info.name)
}

/// Concatenates the items of lists of equal length.
fn flatten_lists(info: &TensorInfo, lists: &ArrayRef) -> Result<ArrayRef, String> {
    if lists.null_count() > 0 {
        return Err(null_in_list(info));
    }
    if let Some(lists) = lists.as_fixed_size_list_opt() {
        return Ok(lists.values().slice(lists.value_offset(0) as usize, lists.len() * lists.value_length() as usize));
    }
    let (DataType::List(item) | DataType::LargeList(item)) = lists.data_type() else {
        return Err(format!("it does not support values of type {}", lists.data_type()));
    };
    let lists = cast(lists, &DataType::List(Arc::clone(item))).map_err(|error| error.to_string())?;
    let lists = lists.as_list::<i32>();
    let lengths: Vec<usize> = lists.offsets().lengths().collect();
    if let Some(other) = lengths.iter().find(|length| **length != lengths[0]) {
        return Err(format!("the lists of a batch must have equal lengths, got {} and {other}", lengths[0]));
    }
    let first = lists.value_offsets().first().copied().unwrap_or(0) as usize;
    Ok(lists.values().slice(first, lengths.iter().sum()))
}

/// Interleaves numeric columns into the tensor `[rows, columns]`.
pub(super) fn stack_columns(info: &TensorInfo, columns: &[ArrayRef]) -> Result<Tensor, String> {
    let columns: Vec<ArrayRef> =
        columns.iter().map(|column| cast_to_element_type(info, column)).collect::<Result<_, _>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    let indices: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let values = interleave(&columns, &indices).map_err(|error| error.to_string())?;
    Ok(Tensor { shape: vec![rows, columns.len()], values })
}

fn cast_to_element_type(info: &TensorInfo, values: &ArrayRef) -> Result<ArrayRef, String> {
    let data_type = info.element_type.data_type().unwrap_or(DataType::Float32);
    cast_to_input(values, &data_type).map_err(|_| format!("its input is {info}, got a value that cannot be converted"))
}

/// The rows `first..first + rows` of a tensor, padded to the fixed batch size of the graph.
pub(super) fn slice_padded(tensor: &Tensor, first: usize, rows: usize, batch: usize) -> Result<Tensor, String> {
    let row_length = tensor.values.len() / tensor.shape[0];
    let mut shape = tensor.shape.clone();
    shape[0] = batch;
    let mut values = tensor.values.slice(first * row_length, rows * row_length);
    if rows < batch {
        // The outputs of padding rows are dropped. Repeating the rows gives values that are valid for the model.
        let indices = (0..batch * row_length).map(|index| (index % (rows * row_length)) as u32);
        values = take(&values, &UInt32Array::from_iter_values(indices), None).map_err(|error| error.to_string())?;
    }
    Ok(Tensor { shape, values })
}

/// Converts an output to an array with one value per row, without the padding rows. Axes after the first become nested lists.
pub(super) fn unpad_to_array(output: Tensor, info: &TensorInfo, rows: usize, batch: usize) -> Result<ArrayRef, String> {
    let to_message = |error: datafusion::arrow::error::ArrowError| error.to_string();
    if output.shape.is_empty() {
        return Err(format!(
            "its output '{}' is one value for all rows; its first dimension must be the rows",
            info.name
        ));
    }
    if output.shape.first() != Some(&batch) || output.shape.len() != info.dims.len() {
        return Err(format!("its output is {info}, but the backend returned {:?} for {batch} rows", output.shape));
    }
    let row_length = output.values.len() / batch.max(1);
    let mut values = output.values.slice(0, rows * row_length);
    let axes = info.dims.get(1..).unwrap_or_default();
    if row_length == 1 && axes.len() < 2 && axes.iter().all(|dim| *dim == Dim::Fixed(1)) {
        return Ok(values);
    }
    for (axis, dim) in axes.iter().enumerate().rev() {
        let length = output.shape[axis + 1];
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        // The number of lists cannot be derived from `values`: an axis can have length 0.
        let count = rows * output.shape[1..=axis].iter().product::<usize>();
        values = match dim {
            Dim::Fixed(fixed) if *fixed != length => {
                return Err(format!("its output is {info}, but the backend returned {:?}", output.shape));
            }
            Dim::Fixed(_) => {
                let length = i32::try_from(length).map_err(|_| "a list is too long".to_owned())?;
                Arc::new(FixedSizeListArray::try_new(item, length, values, None).map_err(to_message)?)
            }
            _ => {
                let offsets = OffsetBuffer::from_repeated_length(length, count);
                Arc::new(ListArray::try_new(item, offsets, values, None).map_err(to_message)?)
            }
        };
    }
    Ok(values)
}

/// The fields of the scores per label.
pub(super) fn label_fields(labels: &[String]) -> Fields {
    labels.iter().map(|label| Field::new(label, DataType::Float32, true)).collect()
}

/// Converts the scores `[batch, labels]` to one struct per row, without the padding rows.
pub(super) fn unpad_to_struct(
    output: &Tensor,
    info: &TensorInfo,
    labels: &Fields,
    rows: usize,
    batch: usize,
) -> Result<ArrayRef, String> {
    let to_message = |error: datafusion::arrow::error::ArrowError| error.to_string();
    if output.shape != [batch, labels.len()] {
        return Err(format!("its output is {info}, but the backend returned {:?} for {batch} rows", output.shape));
    }
    let scores = cast(&output.values, &DataType::Float32).map_err(to_message)?;
    let columns = (0..labels.len()).map(|label| {
        let indices = (0..rows).map(|row| (row * labels.len() + label) as u32);
        take(&scores, &UInt32Array::from_iter_values(indices), None).map_err(to_message)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, String>>()?;
    Ok(Arc::new(StructArray::try_new(labels.clone(), columns, None).map_err(to_message)?))
}

pub(super) fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float32Array, Int64Array};
    use datafusion::arrow::datatypes::{Float32Type, Int32Type};

    use super::*;
    use crate::onnx::ElementType;

    fn info(dims: &[Dim]) -> TensorInfo {
        TensorInfo { name: "x".to_owned(), element_type: ElementType::F32, dims: [&[Dim::Unknown], dims].concat() }
    }

    fn lists(rows: &[&[i32]]) -> ArrayRef {
        let rows = rows.iter().map(|row| Some(row.iter().copied().map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows))
    }

    fn shape(dims: &[Dim], column: &ArrayRef) -> Result<Vec<usize>, String> {
        column_to_tensor(&info(dims), column).map(|tensor| tensor.shape)
    }

    #[test]
    fn scalars_and_flat_lists_are_reshaped_to_the_input() {
        let scalars: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        assert_eq!(shape(&[], &scalars), Ok(vec![2]));
        assert_eq!(shape(&[Dim::Fixed(1)], &scalars), Ok(vec![2, 1]));
        let six = lists(&[&[1, 2, 3, 4, 5, 6]]);
        assert_eq!(shape(&[Dim::Fixed(2), Dim::Fixed(3)], &six), Ok(vec![1, 2, 3]));
        assert_eq!(shape(&[Dim::Fixed(2), Dim::Unknown], &six), Ok(vec![1, 2, 3]));
        assert_eq!(
            shape(&[Dim::Fixed(4)], &six),
            Err("its input is x float32 [?, 4], got 6 values per row".to_owned())
        );
        assert!(shape(&[Dim::Unknown, Dim::Unknown], &six).is_err(), "two axes are dynamic");
    }

    #[test]
    fn nested_lists_are_axes() {
        let item = Arc::new(Field::new_list_field(
            DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))),
            true,
        ));
        let nested = |inner: ArrayRef, length: usize| -> ArrayRef {
            let offsets = OffsetBuffer::from_repeated_length(length, inner.len() / length);
            Arc::new(ListArray::new(Arc::clone(&item), offsets, inner, None))
        };
        let column = nested(lists(&[&[1, 2], &[3, 4], &[5, 6]]), 3);
        assert_eq!(shape(&[Dim::Fixed(3), Dim::Fixed(2)], &column), Ok(vec![1, 3, 2]));
        assert_eq!(shape(&[Dim::Unknown, Dim::Named("n".to_owned())], &column), Ok(vec![1, 3, 2]));
        let error = shape(&[Dim::Fixed(2), Dim::Fixed(3)], &column).unwrap_err();
        assert_eq!(error, "its input is x float32 [?, 2, 3], got 3 x 2 values per row");
        let null = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
        assert_eq!(
            shape(&[Dim::Unknown, Dim::Unknown], &nested(Arc::new(null), 2)).unwrap_err(),
            "there is a NULL in a list for input 'x'"
        );
    }

    #[test]
    fn batches_are_padded_and_unpadded() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let padded = slice_padded(&Tensor { shape: vec![3, 2], values }, 1, 2, 4).unwrap();
        assert_eq!(
            (padded.shape.clone(), padded.values.as_primitive::<Float32Type>().values().to_vec()),
            (vec![4, 2], vec![3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 5.0, 6.0])
        );
        let array = unpad_to_array(padded, &info(&[Dim::Fixed(2)]), 2, 4).unwrap();
        assert_eq!((array.len(), array.as_fixed_size_list().value_length()), (2, 2));
    }

    #[test]
    fn scores_per_label_are_a_struct() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![0.25, 0.75, 1.0, 0.0, 0.5, 0.5]));
        let (output, labels) = (Tensor { shape: vec![3, 2], values }, ["no".to_owned(), "yes".to_owned()]);
        let (labels, first) = (label_fields(&labels), label_fields(&labels[..1]));
        let array = unpad_to_struct(&output, &info(&[Dim::Fixed(2)]), &labels, 2, 3).unwrap();
        let yes = array.as_struct().column_by_name("yes").unwrap();
        assert_eq!(yes.as_primitive::<Float32Type>().values().to_vec(), [0.75, 0.0]);
        let error = unpad_to_struct(&output, &info(&[Dim::Fixed(3)]), &first, 3, 3).unwrap_err();
        assert_eq!(error, "its output is x float32 [?, 3], but the backend returned [3, 2] for 3 rows");
    }

    #[test]
    fn axes_can_be_empty() {
        let empty = Tensor { shape: vec![3, 0, 4], values: Arc::new(Float32Array::from(Vec::<f32>::new())) };
        let array = unpad_to_array(empty, &info(&[Dim::Unknown, Dim::Fixed(4)]), 3, 3).unwrap();
        assert_eq!((array.len(), array.as_list::<i32>().value(2).len()), (3, 0));
    }
}
