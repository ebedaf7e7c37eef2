//! [`GroupInterner`]: incremental dictionary encoding of the group columns of a streamed operand.

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::physical_plan::aggregates::group_values::GroupValues;

use super::group_dictionary::{create_group_values, emit_all};
use super::ids::checked_id;
use super::integer_code::{IntegerCode, dense_range, fits_int64};
use super::kernels::NULL_ID;

/// Assigns ids to groups batch by batch, in the order of their first occurrence, with NULL as a group.
///
/// Unlike [`GroupDictionary`](super::group_dictionary::GroupDictionary) and
/// [`KeyDictionary`](super::key_dictionary::KeyDictionary), it grows with each batch and cannot know the range of
/// values beforehand.
pub(super) enum GroupInterner {
    /// Integers in a narrow range: `ids[value - low]` is the id of a value, [`NULL_ID`] if it has none yet. `null_id`
    /// is the id of NULL, and `values` are the groups by id.
    Dense { low: i64, ids: Vec<u32>, null_id: u32, values: Vec<Option<i64>>, fields: Vec<FieldRef> },
    /// Everything else. `batch_ids` is a buffer for the ids of a batch.
    Hashed { values: Box<dyn GroupValues>, fields: Vec<FieldRef>, batch_ids: Vec<usize> },
}

impl GroupInterner {
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self> {
        let fields = fields.to_vec();
        match fields.as_slice() {
            [field] if fits_int64(field.data_type()) => {
                Ok(Self::Dense { low: 0, ids: Vec::new(), null_id: NULL_ID, values: Vec::new(), fields })
            }
            _ => Ok(Self::Hashed { values: create_group_values(&fields)?, fields, batch_ids: Vec::new() }),
        }
    }

    pub(super) fn num_groups(&self) -> usize {
        match self {
            Self::Dense { values, .. } => values.len(),
            Self::Hashed { values, .. } => values.len(),
        }
    }

    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Dense { ids, values, .. } => {
                ids.capacity() * size_of::<u32>() + values.capacity() * size_of::<Option<i64>>()
            }
            Self::Hashed { values, .. } => values.size(),
        }
    }

    /// Replaces `group_ids` by the id of each row of a batch. New groups get new ids.
    pub(super) fn intern(&mut self, arrays: &[ArrayRef], group_ids: &mut Vec<u32>) -> Result<()> {
        group_ids.clear();
        if let Self::Dense { .. } = self {
            if self.grow_dense_range(&arrays[0])? {
                return self.intern_dense(&arrays[0], group_ids);
            }
            self.switch_to_hash()?;
        }
        let Self::Hashed { values, batch_ids, .. } = self else {
            return internal_err!("SparseMatMul: the groups are not hashed");
        };
        values.intern(arrays, batch_ids)?;
        for &id in batch_ids.iter() {
            group_ids.push(checked_id(id, "groups")?);
        }
        Ok(())
    }

    /// Extends `ids` to the values of an array. Returns false if their range is too wide for it.
    fn grow_dense_range(&mut self, array: &ArrayRef) -> Result<bool> {
        let Self::Dense { low, ids, values, .. } = self else {
            return Ok(false);
        };
        let Some((lowest, highest)) = IntegerCode::Integer.bounds(std::slice::from_ref(array))? else {
            return Ok(true);
        };
        let (current_low, current_high) = match ids.len() {
            0 => (lowest, lowest),
            len => (*low, low.saturating_add(len as i64 - 1)),
        };
        if !ids.is_empty() && current_low <= lowest && highest <= current_high {
            return Ok(true);
        }
        let (new_low, new_high) = (lowest.min(current_low), highest.max(current_high));
        let Some(needed) = dense_range(new_low, new_high, 2 * (values.len() + array.len())) else {
            return Ok(false);
        };
        // At least double the array, on the side that grows, so that the cost of growing is amortized.
        let spare = needed.max(2 * ids.len()) - needed;
        let (below, above) = if new_low < current_low { (spare, 0) } else { (0, spare) };
        let (Some(new_low), Some(_)) = (new_low.checked_sub(below as i64), new_high.checked_add(above as i64)) else {
            return Ok(false);
        };
        let mut new_ids = vec![NULL_ID; needed + below + above];
        let offset = (current_low - new_low) as usize;
        new_ids[offset..offset + ids.len()].copy_from_slice(ids);
        (*low, *ids) = (new_low, new_ids);
        Ok(true)
    }

    fn intern_dense(&mut self, array: &ArrayRef, group_ids: &mut Vec<u32>) -> Result<()> {
        let Self::Dense { low, ids, null_id, values, .. } = self else {
            return internal_err!("SparseMatMul: the groups are hashed");
        };
        let mut is_full = false;
        group_ids.reserve(array.len());
        // Tables are often sorted by group: reuse the id of the previous row.
        let mut previous = None;
        IntegerCode::Integer.for_each(array, |value| {
            if let Some((previous, id)) = previous
                && previous == value
            {
                group_ids.push(id);
                return;
            }
            let id = match value {
                Some(value) => &mut ids[value.wrapping_sub(*low) as usize],
                None => &mut *null_id,
            };
            if *id == NULL_ID {
                is_full |= values.len() >= NULL_ID as usize;
                *id = values.len() as u32;
                values.push(value);
            }
            previous = Some((value, *id));
            group_ids.push(*id);
        })?;
        checked_id(if is_full { NULL_ID as usize } else { 0 }, "groups").map(|_| ())
    }

    /// Switches from the dense range to hashing. Every group keeps its id.
    fn switch_to_hash(&mut self) -> Result<()> {
        let Self::Dense { values, fields, .. } = self else {
            return Ok(());
        };
        let interned = cast(&Int64Array::from(std::mem::take(values)), fields[0].data_type())?;
        let (mut hashed, mut batch_ids) = (create_group_values(fields)?, Vec::new());
        hashed.intern(&[interned], &mut batch_ids)?;
        *self = Self::Hashed { values: hashed, fields: std::mem::take(fields), batch_ids };
        Ok(())
    }

    /// All groups in the order of their ids, one array for each column.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Dense { values, fields, .. } => Ok(vec![cast(&Int64Array::from(values), fields[0].data_type())?]),
            Self::Hashed { mut values, fields, .. } => emit_all(values.as_mut(), &fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::common::ScalarValue;

    fn int64_array(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn field(data_type: DataType) -> [FieldRef; 1] {
        [Arc::new(Field::new("g", data_type, true))]
    }

    fn display_value(array: &ArrayRef, row: usize) -> String {
        ScalarValue::try_from_array(array, row).unwrap().to_string()
    }

    #[test]
    fn groups_keep_their_ids_when_the_interner_grows() {
        let batches = [
            int64_array(&[Some(1000), Some(1001), None]),
            int64_array(&[Some(990), Some(2000)]),
            int64_array(&[None]),
            // The range gets too wide: hashed from here on.
            int64_array(&[Some(i64::MAX), Some(1000), Some(i64::MIN), None]),
        ];
        let mut groups = GroupInterner::new(&field(DataType::Int64)).unwrap();
        let (mut group_ids, mut interned) = (Vec::new(), Vec::new());
        for batch in &batches {
            groups.intern(std::slice::from_ref(batch), &mut group_ids).unwrap();
            interned.extend(group_ids.iter().enumerate().map(|(row, id)| (display_value(batch, row), *id)));
        }
        assert!(matches!(groups, GroupInterner::Hashed { .. }));
        assert_eq!(groups.num_groups(), 7);
        let columns = groups.finish().unwrap();
        for (value, id) in interned {
            assert_eq!(display_value(&columns[0], id as usize), value);
        }
    }

    #[test]
    fn extreme_64_bit_values_are_interned() {
        for start in [i64::MIN, i64::MAX - 100] {
            let mut groups = GroupInterner::new(&field(DataType::Int64)).unwrap();
            let mut group_ids = Vec::new();
            for (id, step) in [0, 50, 10, 100].into_iter().enumerate() {
                groups.intern(&[int64_array(&[Some(start + step)])], &mut group_ids).unwrap();
                assert_eq!(group_ids, [id as u32]);
            }
            let expected = [0, 50, 10, 100].map(|step| Some(start + step));
            assert_eq!(&groups.finish().unwrap()[0], &int64_array(&expected));
        }
    }
}
