//! [`GrowingGroups`]: numbers for groups that are met one batch after the other.

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::physical_plan::aggregates::group_values::GroupValues;

use super::group_dictionary::{emit, group_values};
use super::ids::number;
use super::kernels::NONE;
use super::key_dictionary::{bounds, each_integer, is_integer, span};

/// Groups that are met one batch after the other.
pub(super) enum GrowingGroups {
    /// Whole numbers close together: `numbers[value - low]` is the number of a value.
    Range { low: i64, numbers: Vec<u32>, null: u32, values: Vec<Option<i64>>, fields: Vec<FieldRef> },
    /// Everything else.
    Values { values: Box<dyn GroupValues>, fields: Vec<FieldRef>, found: Vec<usize> },
}

impl GrowingGroups {
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self> {
        let fields = fields.to_vec();
        match fields.as_slice() {
            [field] if is_integer(field.data_type()) => {
                Ok(Self::Range { low: 0, numbers: Vec::new(), null: NONE, values: Vec::new(), fields })
            }
            _ => Ok(Self::Values { values: group_values(&fields)?, fields, found: Vec::new() }),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Range { values, .. } => values.len(),
            Self::Values { values, .. } => values.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Range { numbers, values, .. } => {
                numbers.capacity() * size_of::<u32>() + values.capacity() * size_of::<Option<i64>>()
            }
            Self::Values { values, .. } => values.size(),
        }
    }

    /// The numbers of a batch of rows, new ones for new groups.
    pub(super) fn intern(&mut self, arrays: &[ArrayRef], rows: &mut Vec<u32>) -> Result<()> {
        rows.clear();
        if let Self::Range { .. } = self {
            if self.widen(&arrays[0])? {
                return self.intern_integers(&arrays[0], rows);
            }
            self.hash()?;
        }
        let Self::Values { values, found, .. } = self else {
            return internal_err!("SparseMatMul: groups are hashed here");
        };
        values.intern(arrays, found)?;
        for &found in found.iter() {
            rows.push(number(found, "groups")?);
        }
        Ok(())
    }

    /// Makes room for the values of an array. False when they are too far apart for that.
    fn widen(&mut self, array: &ArrayRef) -> Result<bool> {
        let Self::Range { low, numbers, values, .. } = self else {
            return Ok(false);
        };
        let Some((lowest, highest)) = bounds(std::slice::from_ref(array))? else {
            return Ok(true);
        };
        let (low_now, high_now) = match numbers.len() {
            0 => (lowest, lowest),
            some => (*low, low.saturating_add(some as i64 - 1)),
        };
        if !numbers.is_empty() && low_now <= lowest && highest <= high_now {
            return Ok(true);
        }
        let (new_low, new_high) = (lowest.min(low_now), highest.max(high_now));
        let Some(needed) = span(new_low, new_high, 2 * (values.len() + array.len())) else {
            return Ok(false);
        };
        // Twice the room, on the side that grows, so that growing costs little.
        let room = needed.max(2 * numbers.len()) - needed;
        let (below, above) = if new_low < low_now { (room, 0) } else { (0, room) };
        let (Some(new_low), Some(_)) = (new_low.checked_sub(below as i64), new_high.checked_add(above as i64)) else {
            return Ok(false);
        };
        let mut wider = vec![NONE; needed + below + above];
        let at = (low_now - new_low) as usize;
        wider[at..at + numbers.len()].copy_from_slice(numbers);
        (*low, *numbers) = (new_low, wider);
        Ok(true)
    }

    fn intern_integers(&mut self, array: &ArrayRef, rows: &mut Vec<u32>) -> Result<()> {
        let Self::Range { low, numbers, null, values, .. } = self else {
            return internal_err!("SparseMatMul: groups are whole numbers here");
        };
        let mut is_full = false;
        rows.reserve(array.len());
        // Tables are often in the order of their rows.
        let mut last = None;
        each_integer(array, |value| {
            if let Some((known, number)) = last
                && known == value
            {
                rows.push(number);
                return;
            }
            let number = match value {
                Some(value) => &mut numbers[value.wrapping_sub(*low) as usize],
                None => &mut *null,
            };
            if *number == NONE {
                is_full |= values.len() >= NONE as usize;
                *number = values.len() as u32;
                values.push(value);
            }
            last = Some((value, *number));
            rows.push(*number);
        })?;
        number(if is_full { NONE as usize } else { 0 }, "groups").map(|_| ())
    }

    /// Goes over to hashing; every group keeps its number.
    fn hash(&mut self) -> Result<()> {
        let Self::Range { values, fields, .. } = self else {
            return Ok(());
        };
        let known = cast(&Int64Array::from(std::mem::take(values)), fields[0].data_type())?;
        let (mut hashed, mut found) = (group_values(fields)?, Vec::new());
        hashed.intern(&[known], &mut found)?;
        *self = Self::Values { values: hashed, fields: std::mem::take(fields), found };
        Ok(())
    }

    /// All groups in the order of their numbers, a column each.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Range { values, fields, .. } => Ok(vec![cast(&Int64Array::from(values), fields[0].data_type())?]),
            Self::Values { mut values, fields, .. } => emit(values.as_mut(), &fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::common::ScalarValue;

    fn integers_of(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn field(data_type: DataType) -> [FieldRef; 1] {
        [Arc::new(Field::new("g", data_type, true))]
    }

    /// Every group that a number stands for is the value that it was given for.
    fn shown(columns: &[ArrayRef], row: u32) -> String {
        ScalarValue::try_from_array(&columns[0], row as usize).unwrap().to_string()
    }

    #[test]
    fn growing_groups_keep_their_numbers() {
        let batches = [
            integers_of(&[Some(1000), Some(1001), None]),
            integers_of(&[Some(990), Some(2000)]),
            integers_of(&[None]),
            // Too far away: hashed from here on.
            integers_of(&[Some(i64::MAX), Some(1000), Some(i64::MIN), None]),
        ];
        let mut groups = GrowingGroups::new(&field(DataType::Int64)).unwrap();
        let (mut numbers, mut all) = (Vec::new(), Vec::new());
        for batch in &batches {
            groups.intern(std::slice::from_ref(batch), &mut numbers).unwrap();
            all.extend(
                numbers
                    .iter()
                    .enumerate()
                    .map(|(row, number)| (ScalarValue::try_from_array(batch, row).unwrap().to_string(), *number)),
            );
        }
        assert!(matches!(groups, GrowingGroups::Values { .. }));
        assert_eq!(groups.count(), 7);
        let columns = groups.finish().unwrap();
        for (value, number) in all {
            assert_eq!(shown(&columns, number), value);
        }
    }

    #[test]
    fn the_ends_of_64_bits_are_groups_too() {
        for start in [i64::MIN, i64::MAX - 100] {
            let mut groups = GrowingGroups::new(&field(DataType::Int64)).unwrap();
            let mut numbers = Vec::new();
            for (at, step) in [0, 50, 10, 100].into_iter().enumerate() {
                groups.intern(&[integers_of(&[Some(start + step)])], &mut numbers).unwrap();
                assert_eq!(numbers, [at as u32]);
            }
            let expected = [0, 50, 10, 100].map(|step| Some(start + step));
            assert_eq!(&groups.finish().unwrap()[0], &integers_of(&expected));
        }
    }
}
