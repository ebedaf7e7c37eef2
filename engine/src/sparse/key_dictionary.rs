//! [`KeyDictionary`]: dictionary encoding of join keys.

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::utils::normalize_float_zero;
use datafusion::error::Result;

use super::ids::checked_id;
use super::integer_code::{IntegerCode, dense_range};
use super::kernels::NULL_ID;

/// Dictionary encoding of the key columns: an id for each distinct key of one operand, in which the keys of the other
/// operand are looked up. Each row is hashed once, independent of how many rows it matches.
///
/// Unlike [`GroupDictionary`](super::group_dictionary::GroupDictionary) and
/// [`GroupInterner`](super::group_interner::GroupInterner), it gives NULL no id, because a NULL key matches nothing,
/// and never decodes an id.
#[derive(Debug)]
pub(super) enum KeyDictionary {
    /// Integers, and floats that are integers, in a narrow range: the id is the offset from `low`.
    Dense { code: IntegerCode, low: i64, len: usize },
    /// Other integers and floats.
    Int64 { code: IntegerCode, ids: HashMap<i64, u32> },
    /// Other types and several columns, in Arrow's row format, with -0.0 as 0.0.
    Rows { converter: RowConverter, ids: HashMap<Box<[u8]>, u32> },
}

impl KeyDictionary {
    /// Assigns ids to all keys of `[columns][batches]`.
    ///
    /// # Errors
    /// When there are more keys than ids, or Arrow cannot convert a column.
    pub(super) fn new(columns: &[Vec<ArrayRef>], types: &[DataType]) -> Result<Self> {
        if let ([column], [data_type]) = (columns, types)
            && let Some(code) = IntegerCode::new(column, data_type)
        {
            let rows = column.iter().map(|array| array.len()).sum();
            if code != IntegerCode::FloatBits {
                let Some((low, high)) = code.bounds(column)? else {
                    return Ok(Self::Dense { code, low: 0, len: 0 });
                };
                if let Some(len) = dense_range(low, high, rows) {
                    return Ok(Self::Dense { code, low, len });
                }
            }
            let mut ids = HashMap::with_capacity(rows);
            for array in column {
                for value in code.encode(array)?.iter().flatten() {
                    let next = checked_id(ids.len(), "different keys")?;
                    ids.entry(value).or_insert(next);
                }
            }
            return Ok(Self::Int64 { code, ids });
        }
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let mut ids = HashMap::new();
        for batch in 0..columns.first().map_or(0, Vec::len) {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| normalize_float_zero(&column[batch])).collect();
            let rows = converter.convert_columns(&arrays)?;
            let nulls = AnyNull::new(&arrays);
            for (at, row) in rows.iter().enumerate() {
                if !nulls.is_null(at) && !ids.contains_key(row.as_ref()) {
                    let next = checked_id(ids.len(), "different keys")?;
                    ids.insert(row.as_ref().into(), next);
                }
            }
        }
        Ok(Self::Rows { converter, ids })
    }

    /// The end of the range of ids. Dense ids need not all occur.
    pub(super) fn num_ids(&self) -> usize {
        match self {
            Self::Dense { len, .. } => *len,
            Self::Int64 { ids, .. } => ids.len(),
            Self::Rows { ids, .. } => ids.len(),
        }
    }

    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Dense { .. } => 0,
            // Per bucket, an entry and a control byte.
            Self::Int64 { ids, .. } => ids.capacity() * (size_of::<(i64, u32)>() + 1),
            Self::Rows { ids, .. } => {
                let keys: usize = ids.keys().map(|key| key.len()).sum();
                keys + ids.capacity() * (size_of::<(Box<[u8]>, u32)>() + 1)
            }
        }
    }

    /// Appends the ids of a batch of keys, [`NULL_ID`] for NULL and for keys that are not in the dictionary.
    pub(super) fn encode(&self, arrays: &[ArrayRef], key_ids: &mut Vec<u32>) -> Result<()> {
        match self {
            Self::Dense { code, low, len } => {
                let offset = |value: i64| match value.wrapping_sub(*low) as u64 {
                    offset if offset < *len as u64 => offset as u32,
                    _ => NULL_ID,
                };
                let integers = code.encode(&arrays[0])?;
                match integers.null_count() {
                    // The compiler vectorizes the loop without a NULL check.
                    0 => key_ids.extend(integers.values().iter().map(|&value| offset(value))),
                    _ => key_ids.extend(integers.iter().map(|value| value.map_or(NULL_ID, offset))),
                }
                Ok(())
            }
            Self::Int64 { code, ids } => code.for_each(&arrays[0], |value| {
                key_ids.push(value.and_then(|value| ids.get(&value).copied()).unwrap_or(NULL_ID));
            }),
            Self::Rows { converter, ids } => {
                let arrays: Vec<ArrayRef> = arrays.iter().map(normalize_float_zero).collect();
                let rows = converter.convert_columns(&arrays)?;
                let nulls = AnyNull::new(&arrays);
                for (at, row) in rows.iter().enumerate() {
                    let id = if nulls.is_null(at) { None } else { ids.get(row.as_ref()).copied() };
                    key_ids.push(id.unwrap_or(NULL_ID));
                }
                Ok(())
            }
        }
    }
}

/// Which rows have a NULL in any column, including NULLs in the values of a dictionary array.
pub(super) struct AnyNull(Vec<NullBuffer>);

impl AnyNull {
    pub(super) fn new(arrays: &[ArrayRef]) -> Self {
        Self(arrays.iter().filter_map(|array| array.logical_nulls()).collect())
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.0.iter().any(|nulls| nulls.is_null(row))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::arrow::array::{Float64Array, Int64Array};

    fn float64_array(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    /// Whether two keys match in DataFusion's joins: the bits are equal, after -0.0 was replaced.
    fn reference_match(left: Option<f64>, right: Option<f64>) -> bool {
        let bits = |value: f64| if value == 0.0 { 0 } else { value.to_bits() };
        matches!((left, right), (Some(left), Some(right)) if bits(left) == bits(right))
    }

    #[test]
    fn floats_match_as_in_a_join() {
        let probe = [Some(0.0), Some(-0.0), Some(2.0), Some(0.5), Some(f64::NAN), Some(1e18), None, Some(3.0)];
        for keys in [
            vec![Some(2.0), None, Some(-0.0), Some(3.0)],
            vec![Some(1e18), Some(-1e18), Some(0.0)],
            vec![Some(0.5), Some(f64::NAN), Some(-0.0), Some(0.5)],
            vec![None],
            vec![],
        ] {
            // One column, and two columns of which one is constant.
            for columns in [1, 2] {
                let column = |values: &[Option<f64>]| -> Vec<ArrayRef> {
                    let constant: ArrayRef = Arc::new(Int64Array::from(vec![7; values.len()]));
                    [float64_array(values), constant].into_iter().take(columns).collect()
                };
                let types = [DataType::Float64, DataType::Int64];
                let batches: Vec<Vec<ArrayRef>> = column(&keys).into_iter().map(|array| vec![array]).collect();
                let dictionary = KeyDictionary::new(&batches, &types[..columns]).unwrap();
                let (mut key_ids, mut probe_ids) = (Vec::new(), Vec::new());
                dictionary.encode(&column(&keys), &mut key_ids).unwrap();
                dictionary.encode(&column(&probe), &mut probe_ids).unwrap();
                for (left, left_id) in keys.iter().zip(&key_ids) {
                    assert!(*left_id == NULL_ID || (*left_id as usize) < dictionary.num_ids());
                    for (right, right_id) in probe.iter().zip(&probe_ids) {
                        let is_match = *left_id != NULL_ID && left_id == right_id;
                        assert_eq!(is_match, reference_match(*left, *right), "{left:?} = {right:?}, {columns} columns");
                    }
                }
            }
        }
    }
}
