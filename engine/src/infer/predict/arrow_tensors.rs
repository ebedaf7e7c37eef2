//! From columns to the tensors of a graph's inputs, and from its outputs back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::backend::Tensor;
use crate::onnx::{Dim, TensorInfo};

/// A column as the values of an input: `[rows, …]`.
///
/// Lists in lists are the axes behind the first; a list of as many values as these have together is, too.
///
/// # Errors
/// One sentence when the values have another shape than the input.
pub(super) fn tensor(info: &TensorInfo, column: &ArrayRef) -> Result<Tensor, String> {
    let rows = column.len();
    let (mut values, mut lengths) = (Arc::clone(column), Vec::new());
    while is_list(values.data_type()) {
        let items = flattened(info, &values)?;
        lengths.push(items.len() / values.len().max(1));
        values = items;
    }
    if values.null_count() > 0 {
        return Err(format!("there is a NULL in a list for input '{}'", info.name));
    }
    let rest = info.dims.get(1..).unwrap_or_default();
    let fits = |length: &usize, dim: &Dim| !matches!(dim, Dim::Fixed(fixed) if fixed != length);
    let length: usize = lengths.iter().product();
    let fixed: usize = rest.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { 1 }).product();
    let open = rest.iter().filter(|dim| !matches!(dim, Dim::Fixed(_))).count();
    let dims: Vec<usize> =
        if lengths.len() == rest.len() && lengths.iter().zip(rest).all(|(length, dim)| fits(length, dim)) {
            lengths
        } else if lengths.len() <= 1 && open <= 1 && length.is_multiple_of(fixed) && (open == 1 || length == fixed) {
            let open = length / fixed;
            rest.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { open }).collect()
        } else {
            let got = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            let got = if got.is_empty() { "1".to_owned() } else { got };
            return Err(format!("its input is {info}, got {got} values in a row"));
        };
    Ok(Tensor { shape: [vec![rows], dims].concat(), values: as_element(info, &values)? })
}

/// The items of lists that are all of one length.
fn flattened(info: &TensorInfo, lists: &ArrayRef) -> Result<ArrayRef, String> {
    if lists.null_count() > 0 {
        return Err(format!("there is a NULL in a list for input '{}'", info.name));
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
        return Err(format!("the lists of a batch have {} values and {other}; they must be equally long", lengths[0]));
    }
    let first = lists.value_offsets().first().copied().unwrap_or(0) as usize;
    Ok(lists.values().slice(first, lengths.iter().sum()))
}

/// Columns of numbers, one beside the other.
pub(super) fn beside(info: &TensorInfo, columns: &[ArrayRef]) -> Result<Tensor, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let columns: Vec<ArrayRef> = columns.iter().map(|column| as_element(info, column)).collect::<Result<_, _>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    let places: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    Ok(Tensor { shape: vec![rows, columns.len()], values: interleave(&columns, &places).map_err(words)? })
}

fn as_element(info: &TensorInfo, values: &ArrayRef) -> Result<ArrayRef, String> {
    let wanted = info.element_type.data_type().unwrap_or(DataType::Float32);
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, &wanted, &strict)
        .map_err(|_| format!("its input is {info}, got a number that does not fit"))
}

/// Some rows of a tensor, filled up to the batch size that the graph wants.
pub(super) fn part(tensor: &Tensor, first: usize, rows: usize, batch: usize) -> Result<Tensor, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let all = tensor.shape[0];
    let length = tensor.values.len() / all;
    let mut shape = tensor.shape.clone();
    shape[0] = batch;
    let mut values = tensor.values.slice(first * length, rows * length);
    if rows < batch {
        // Any values do, so the first ones come again.
        let indices = UInt32Array::from_iter_values((0..batch * length).map(|at| (at % (rows * length)) as u32));
        values = take(&values, &indices, None).map_err(words)?;
    }
    Ok(Tensor { shape, values })
}

/// What came of the rows, without what filled the batch up: one value a row, in lists where there are more axes.
pub(super) fn keep(result: Tensor, info: &TensorInfo, rows: usize, batch: usize) -> Result<ArrayRef, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    if result.shape.first() != Some(&batch) || result.shape.len() != info.dims.len() {
        return Err(format!("its output is {info}, and it gave {:?} for {batch} rows", result.shape));
    }
    let length = result.values.len() / batch.max(1);
    let mut values = result.values.slice(0, rows * length);
    let rest = info.dims.get(1..).unwrap_or_default();
    if length == 1 && rest.len() < 2 && rest.iter().all(|dim| *dim == Dim::Fixed(1)) {
        return Ok(values);
    }
    for (axis, dim) in rest.iter().enumerate().rev() {
        let length = result.shape[axis + 1];
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        // Not from the values: an axis may have none.
        let count = rows * result.shape[1..=axis].iter().product::<usize>();
        values = match dim {
            Dim::Fixed(fixed) if *fixed != length => {
                return Err(format!("its output is {info}, and it gave {:?}", result.shape));
            }
            Dim::Fixed(_) => {
                let length = i32::try_from(length).map_err(|_| "a list is too long".to_owned())?;
                Arc::new(FixedSizeListArray::try_new(item, length, values, None).map_err(words)?)
            }
            _ => {
                let offsets = OffsetBuffer::from_repeated_length(length, count);
                Arc::new(ListArray::try_new(item, offsets, values, None).map_err(words)?)
            }
        };
    }
    Ok(values)
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
        tensor(&info(dims), column).map(|tensor| tensor.shape)
    }

    #[test]
    fn numbers_and_flat_lists_take_the_shape_of_the_input() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        assert_eq!(shape(&[], &numbers), Ok(vec![2]));
        assert_eq!(shape(&[Dim::Fixed(1)], &numbers), Ok(vec![2, 1]));
        let six = lists(&[&[1, 2, 3, 4, 5, 6]]);
        assert_eq!(shape(&[Dim::Fixed(2), Dim::Fixed(3)], &six), Ok(vec![1, 2, 3]));
        assert_eq!(shape(&[Dim::Fixed(2), Dim::Unknown], &six), Ok(vec![1, 2, 3]));
        assert_eq!(
            shape(&[Dim::Fixed(4)], &six),
            Err("its input is x float32 [?, 4], got 6 values in a row".to_owned())
        );
        assert!(shape(&[Dim::Unknown, Dim::Unknown], &six).is_err(), "two lengths are open");
    }

    #[test]
    fn lists_in_lists_are_axes() {
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
        let refused = shape(&[Dim::Fixed(2), Dim::Fixed(3)], &column).unwrap_err();
        assert_eq!(refused, "its input is x float32 [?, 2, 3], got 3 x 2 values in a row");
        let null = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
        assert_eq!(
            shape(&[Dim::Unknown, Dim::Unknown], &nested(Arc::new(null), 2)).unwrap_err(),
            "there is a NULL in a list for input 'x'"
        );
    }

    #[test]
    fn batches_are_filled_up_and_cut_off() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let two = part(&Tensor { shape: vec![3, 2], values }, 1, 2, 4).unwrap();
        assert_eq!(
            (two.shape.clone(), two.values.as_primitive::<Float32Type>().values().to_vec()),
            (vec![4, 2], vec![3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 5.0, 6.0])
        );
        let kept = keep(two, &info(&[Dim::Fixed(2)]), 2, 4).unwrap();
        assert_eq!((kept.len(), kept.as_fixed_size_list().value_length()), (2, 2));
    }

    #[test]
    fn an_axis_may_have_nothing_on_it() {
        let nothing = Tensor { shape: vec![3, 0, 4], values: Arc::new(Float32Array::from(Vec::<f32>::new())) };
        let kept = keep(nothing, &info(&[Dim::Unknown, Dim::Fixed(4)]), 3, 3).unwrap();
        assert_eq!((kept.len(), kept.as_list::<i32>().value(2).len()), (3, 0));
    }
}
