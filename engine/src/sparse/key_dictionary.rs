//! [`KeyDictionary`]: dictionary encoding of join keys.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

use super::ids::checked_id;
use super::kernels::NULL_ID;

/// Dictionary encoding of the key columns: an id for each distinct key of one operand, in which the keys of the other
/// operand are looked up. Each row is hashed once, independent of how many rows it matches.
///
/// Unlike [`GroupDictionary`](super::group_dictionary::GroupDictionary) and
/// [`GroupInterner`](super::group_interner::GroupInterner), it gives NULL no id, because a NULL key matches nothing,
/// and never decodes an id.
#[derive(Debug)]
pub(super) enum KeyDictionary {
    /// Integers in a narrow range: the id is the offset from `low`.
    Dense { low: i64, len: usize },
    /// Other integers.
    Int64(HashMap<i64, u32>),
    /// Other types and several columns, in Arrow's row format.
    Rows { converter: RowConverter, ids: HashMap<Box<[u8]>, u32> },
}

/// The minimum and maximum of integers, `None` when all are NULL.
pub(super) fn bounds(column: &[ArrayRef]) -> Result<Option<(i64, i64)>> {
    let mut bounds: Option<(i64, i64)> = None;
    for array in column {
        let integers = to_int64(array)?;
        let integers = integers.as_primitive::<Int64Type>();
        if let (Some(low), Some(high)) = (min(integers), max(integers)) {
            bounds = Some(bounds.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
        }
    }
    Ok(bounds)
}

/// The number of integers in `low..=high`, if `rows` rows justify an array with a slot for each of them.
pub(super) fn dense_range(low: i64, high: i64, rows: usize) -> Option<usize> {
    /// Slots that fit into the cache, whatever the number of rows.
    const MAX_CACHED_SLOTS: usize = 1 << 16;
    /// The array is then no larger than the rows themselves.
    const MAX_SLOTS_PER_ROW: usize = 4;
    let len = usize::try_from(high.checked_sub(low)?).ok()?.checked_add(1)?;
    (len <= MAX_CACHED_SLOTS.max(rows.saturating_mul(MAX_SLOTS_PER_ROW)) && len < NULL_ID as usize).then_some(len)
}

/// Whether all values of the type are integers that [`to_int64`] preserves, in order.
pub(super) fn fits_int64(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32};
    matches!(data_type, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Date32 | Date64 | Timestamp(..))
}

/// Casts a column to 64-bit integers. Its type has to be one that [`fits_int64`].
pub(super) fn to_int64(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &DataType::Int64)?)
}

impl KeyDictionary {
    /// Assigns ids to all keys of `[columns][batches]`.
    ///
    /// # Errors
    /// When there are more keys than ids, or Arrow cannot convert a column.
    pub(super) fn new(columns: &[Vec<ArrayRef>], types: &[DataType]) -> Result<Self> {
        if let ([column], [data_type]) = (columns, types)
            && fits_int64(data_type)
        {
            let rows = column.iter().map(|array| array.len()).sum();
            let Some((low, high)) = bounds(column)? else {
                return Ok(Self::Dense { low: 0, len: 0 });
            };
            if let Some(len) = dense_range(low, high, rows) {
                return Ok(Self::Dense { low, len });
            }
            let mut ids = HashMap::with_capacity(rows);
            for array in column {
                for value in to_int64(array)?.as_primitive::<Int64Type>().iter().flatten() {
                    let next = checked_id(ids.len(), "different keys")?;
                    ids.entry(value).or_insert(next);
                }
            }
            return Ok(Self::Int64(ids));
        }
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let mut ids = HashMap::new();
        for batch in 0..columns.first().map_or(0, Vec::len) {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(&column[batch])).collect();
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
            Self::Int64(ids) => ids.len(),
            Self::Rows { ids, .. } => ids.len(),
        }
    }

    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Dense { .. } => 0,
            // Per bucket, an entry and a control byte.
            Self::Int64(ids) => ids.capacity() * (size_of::<(i64, u32)>() + 1),
            Self::Rows { ids, .. } => {
                let keys: usize = ids.keys().map(|key| key.len()).sum();
                keys + ids.capacity() * (size_of::<(Box<[u8]>, u32)>() + 1)
            }
        }
    }

    /// Appends the ids of a batch of keys, [`NULL_ID`] for NULL and for keys that are not in the dictionary.
    pub(super) fn encode(&self, arrays: &[ArrayRef], key_ids: &mut Vec<u32>) -> Result<()> {
        match self {
            Self::Dense { low, len } => {
                let offset = |value: i64| match value.wrapping_sub(*low) as u64 {
                    offset if offset < *len as u64 => offset as u32,
                    _ => NULL_ID,
                };
                let integers = to_int64(&arrays[0])?;
                let integers = integers.as_primitive::<Int64Type>();
                match integers.null_count() {
                    // The compiler vectorizes the loop without a NULL check.
                    0 => key_ids.extend(integers.values().iter().map(|&value| offset(value))),
                    _ => key_ids.extend(integers.iter().map(|value| value.map_or(NULL_ID, offset))),
                }
                Ok(())
            }
            Self::Int64(ids) => for_each_int64(&arrays[0], |value| {
                key_ids.push(value.and_then(|value| ids.get(&value).copied()).unwrap_or(NULL_ID));
            }),
            Self::Rows { converter, ids } => {
                let rows = converter.convert_columns(arrays)?;
                let nulls = AnyNull::new(arrays);
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
struct AnyNull(Vec<NullBuffer>);

impl AnyNull {
    fn new(arrays: &[ArrayRef]) -> Self {
        Self(arrays.iter().filter_map(|array| array.logical_nulls()).collect())
    }

    fn is_null(&self, row: usize) -> bool {
        self.0.iter().any(|nulls| nulls.is_null(row))
    }
}

/// Visits the values of a column of a type that [`fits_int64`], `None` for NULL.
pub(super) fn for_each_int64(array: &ArrayRef, mut visit: impl FnMut(Option<i64>)) -> Result<()> {
    let integers = to_int64(array)?;
    let integers = integers.as_primitive::<Int64Type>();
    if integers.null_count() == 0 {
        integers.values().iter().for_each(|value| visit(Some(*value)));
    } else {
        integers.iter().for_each(visit);
    }
    Ok(())
}
