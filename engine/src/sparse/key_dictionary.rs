//! [`Keys`]: numbers for the values on which two tables are joined.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

use super::ids::number;
use super::kernels::NONE;

/// A number for each value of the key columns of one table, which the other table's values are looked up in.
///
/// A row is hashed once, whatever number of rows it meets.
#[derive(Debug)]
pub(super) enum Keys {
    /// Whole numbers close together: the number is the distance from the lowest.
    Range { low: i64, span: usize },
    /// Any other whole numbers.
    Integers(HashMap<i64, u32>),
    /// Everything else, several columns too, as the bytes that Arrow compares rows by.
    Rows { converter: RowConverter, numbers: HashMap<Box<[u8]>, u32> },
}

/// The lowest and highest of whole numbers, when there are any.
pub(super) fn bounds(column: &[ArrayRef]) -> Result<Option<(i64, i64)>> {
    let mut bounds: Option<(i64, i64)> = None;
    for array in column {
        let integers = integers(array)?;
        let integers = integers.as_primitive::<Int64Type>();
        if let (Some(low), Some(high)) = (min(integers), max(integers)) {
            bounds = Some(bounds.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
        }
    }
    Ok(bounds)
}

/// How many numbers there are between two bounds, when an array of so many is worth it for so many rows.
pub(super) fn span(low: i64, high: i64, rows: usize) -> Option<usize> {
    /// Numbers that fit into the cache anyway.
    const FEW: usize = 1 << 16;
    /// Numbers a row; an array of them is no larger than the rows themselves.
    const SPARSE: usize = 4;
    let span = usize::try_from(high.checked_sub(low)?).ok()?.checked_add(1)?;
    (span <= FEW.max(rows.saturating_mul(SPARSE)) && span < NONE as usize).then_some(span)
}

/// Whether values of the type are whole numbers of at most 64 bits, read by [`integers`].
pub(super) fn is_integer(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32};
    matches!(data_type, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Date32 | Date64 | Timestamp(..))
}

/// The same numbers with 64 bits.
pub(super) fn integers(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &DataType::Int64)?)
}

impl Keys {
    /// Numbers for all values of the key columns, `[columns][batches]`.
    pub(super) fn new(columns: &[Vec<ArrayRef>], types: &[DataType]) -> Result<Self> {
        if let ([column], [data_type]) = (columns, types)
            && is_integer(data_type)
        {
            let rows = column.iter().map(|array| array.len()).sum();
            let Some((low, high)) = bounds(column)? else {
                return Ok(Self::Range { low: 0, span: 0 });
            };
            if let Some(span) = span(low, high, rows) {
                return Ok(Self::Range { low, span });
            }
            let mut numbers = HashMap::with_capacity(rows);
            for array in column {
                for value in integers(array)?.as_primitive::<Int64Type>().iter().flatten() {
                    let next = number(numbers.len(), "different keys")?;
                    numbers.entry(value).or_insert(next);
                }
            }
            return Ok(Self::Integers(numbers));
        }
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let mut numbers = HashMap::new();
        for batch in 0..columns.first().map_or(0, Vec::len) {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(&column[batch])).collect();
            let rows = converter.convert_columns(&arrays)?;
            let nulls = Nulls::of(&arrays);
            for (at, row) in rows.iter().enumerate() {
                if !nulls.is_null(at) && !numbers.contains_key(row.as_ref()) {
                    let next = number(numbers.len(), "different keys")?;
                    numbers.insert(row.as_ref().into(), next);
                }
            }
        }
        Ok(Self::Rows { converter, numbers })
    }

    /// How many numbers there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Range { span, .. } => *span,
            Self::Integers(numbers) => numbers.len(),
            Self::Rows { numbers, .. } => numbers.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Range { .. } => 0,
            // Hash tables are at least half full, with a byte beside each place.
            Self::Integers(numbers) => numbers.capacity() * (size_of::<(i64, u32)>() + 1),
            Self::Rows { numbers, .. } => {
                let keys: usize = numbers.keys().map(|key| key.len()).sum();
                keys + numbers.capacity() * (size_of::<(Box<[u8]>, u32)>() + 1)
            }
        }
    }

    /// Appends the numbers of a batch of keys; [`NONE`] for a NULL, which equals nothing, and for what the other table lacks.
    pub(super) fn find(&self, arrays: &[ArrayRef], numbers: &mut Vec<u32>) -> Result<()> {
        match self {
            Self::Range { low, span } => {
                let distance = |value: i64| match value.wrapping_sub(*low) as u64 {
                    distance if distance < *span as u64 => distance as u32,
                    _ => NONE,
                };
                let integers = integers(&arrays[0])?;
                let integers = integers.as_primitive::<Int64Type>();
                match integers.null_count() {
                    // The loop without questions is the one that the compiler makes wide.
                    0 => numbers.extend(integers.values().iter().map(|&value| distance(value))),
                    _ => numbers.extend(integers.iter().map(|value| value.map_or(NONE, distance))),
                }
                Ok(())
            }
            Self::Integers(known) => each_integer(&arrays[0], |value| {
                numbers.push(value.and_then(|value| known.get(&value).copied()).unwrap_or(NONE));
            }),
            Self::Rows { converter, numbers: known } => {
                let rows = converter.convert_columns(arrays)?;
                let nulls = Nulls::of(arrays);
                for (at, row) in rows.iter().enumerate() {
                    let found = if nulls.is_null(at) { None } else { known.get(row.as_ref()).copied() };
                    numbers.push(found.unwrap_or(NONE));
                }
                Ok(())
            }
        }
    }
}

/// Which rows have a NULL in some column, also where it is in the values of a dictionary.
struct Nulls(Vec<NullBuffer>);

impl Nulls {
    fn of(arrays: &[ArrayRef]) -> Self {
        Self(arrays.iter().filter_map(|array| array.logical_nulls()).collect())
    }

    fn is_null(&self, row: usize) -> bool {
        self.0.iter().any(|nulls| nulls.is_null(row))
    }
}

/// The numbers of a column of [`integers`], None for a NULL.
pub(super) fn each_integer(array: &ArrayRef, mut visit: impl FnMut(Option<i64>)) -> Result<()> {
    let integers = integers(array)?;
    let integers = integers.as_primitive::<Int64Type>();
    if integers.null_count() == 0 {
        integers.values().iter().for_each(|value| visit(Some(*value)));
    } else {
        integers.iter().for_each(visit);
    }
    Ok(())
}
