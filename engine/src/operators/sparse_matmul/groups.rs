//! [`Groups`]: numbers for the values by which a table's rows are grouped, and back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, UInt32Array, new_empty_array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::keys::{bounds, each_integer, is_integer, span};
use crate::kernels::sparse_matmul::NONE;

/// The groups of one table, by their numbers.
#[derive(Debug)]
pub(super) enum Groups {
    /// Whole numbers close together: a number is the distance from the lowest, the last one is NULL's.
    Range { low: i64, span: usize, data_type: DataType },
    /// Everything else: the number is a row of these, `[columns]`.
    Values(Vec<ArrayRef>, usize),
}

impl Groups {
    /// Numbers for the groups of `[columns][batches]`, and the number of each row.
    ///
    /// No columns are one group.
    pub(super) fn new(columns: &[Vec<ArrayRef>], fields: &[FieldRef], rows: usize) -> Result<(Self, Vec<u32>)> {
        if fields.is_empty() {
            return Ok((Self::Values(Vec::new(), 1), vec![0; rows]));
        }
        let mut numbers = Vec::with_capacity(rows);
        if let ([column], [field]) = (columns, fields)
            && is_integer(field.data_type())
            && let Some((low, high)) = bounds(column)?
            && let Some(span) = span(low, high, rows)
        {
            let (null, data_type) = (span as u32, field.data_type().clone());
            for array in column {
                let number = |value: i64| value.wrapping_sub(low) as u32;
                each_integer(array, |value| numbers.push(value.map_or(null, number)))?;
            }
            return Ok((Self::Range { low, span, data_type }, numbers));
        }
        let mut values = group_values(fields)?;
        let mut found = Vec::new();
        for batch in 0..columns[0].len() {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(&column[batch])).collect();
            values.intern(&arrays, &mut found)?;
            for number in &found {
                numbers.push(small(*number)?);
            }
        }
        let count = values.len();
        Ok((Self::Values(emit(values.as_mut(), fields)?, count), numbers))
    }

    /// How many numbers there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Range { span, .. } => span + 1,
            Self::Values(_, count) => *count,
        }
    }

    /// The groups of these numbers, a column each.
    pub(super) fn take(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Range { low, span, data_type } => {
                let null = *span as u32;
                let values: Vec<i64> = numbers.iter().map(|&number| low.wrapping_add(i64::from(number))).collect();
                let nulls = numbers.contains(&null).then(|| numbers.iter().map(|&number| number != null).collect());
                let array = Int64Array::new(values.into(), nulls.map(NullBuffer::new));
                // NULL's distance may be beyond what a narrow type holds; the cast does not look at it.
                Ok(vec![cast(&array, data_type)?])
            }
            Self::Values(columns, _) => {
                let numbers = UInt32Array::from(numbers.to_vec());
                columns.iter().map(|column| Ok(take(column, &numbers, None)?)).collect()
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Range { .. } => 0,
            Self::Values(columns, _) => columns.iter().map(|column| column.get_array_memory_size()).sum(),
        }
    }
}

fn small(number: usize) -> Result<u32> {
    match u32::try_from(number) {
        Ok(number) if number < NONE => Ok(number),
        _ => Err(super::too_many("groups")),
    }
}

/// DataFusion's own table of groups, so that equal means what it means in GROUP BY.
fn group_values(fields: &[FieldRef]) -> Result<Box<dyn GroupValues>> {
    new_group_values(Arc::new(Schema::new(fields.to_vec())), &GroupOrdering::None)
}

/// All groups, with the types that they came in.
fn emit(values: &mut dyn GroupValues, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
    // Some tables of groups panic when there are none.
    if values.is_empty() {
        return Ok(fields.iter().map(|field| new_empty_array(field.data_type())).collect());
    }
    let columns = values.emit(EmitTo::All)?;
    columns.iter().zip(fields).map(|(column, field)| Ok(cast(column, field.data_type())?)).collect()
}

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
            return super::not_reached("groups are hashed here");
        };
        values.intern(arrays, found)?;
        for &number in found.iter() {
            rows.push(small(number)?);
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
        if numbers.is_empty() {
            *low = lowest;
        }
        let high = *low + numbers.len() as i64 - 1;
        if *low <= lowest && highest <= high {
            return Ok(true);
        }
        let (new_low, new_high) = (lowest.min(*low), highest.max(high));
        let Some(needed) = span(new_low, new_high, 2 * (values.len() + array.len())) else {
            return Ok(false);
        };
        // Twice the room, on the side that grows, so that growing costs little.
        let room = needed.max(2 * numbers.len()) - needed;
        let (below, above) = if new_low < *low { (room, 0) } else { (0, room) };
        let Some(new_low) = new_low.checked_sub(below as i64) else {
            return Ok(false);
        };
        let mut wider = vec![NONE; needed + below + above];
        let at = (*low - new_low) as usize;
        wider[at..at + numbers.len()].copy_from_slice(numbers);
        (*low, *numbers) = (new_low, wider);
        Ok(true)
    }

    fn intern_integers(&mut self, array: &ArrayRef, rows: &mut Vec<u32>) -> Result<()> {
        let Self::Range { low, numbers, null, values, .. } = self else {
            return super::not_reached("groups are whole numbers here");
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
        if is_full { Err(super::too_many("groups")) } else { Ok(()) }
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
    use super::*;
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::Field;
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
    fn numbers_lead_back_to_the_groups() {
        let far = i64::MAX - 1;
        for values in [vec![Some(5), None, Some(-3), Some(5)], vec![Some(far), Some(-far), None], vec![None], vec![]] {
            let column = vec![integers_of(&values), integers_of(&values)];
            let rows = 2 * values.len();
            let (groups, numbers) = Groups::new(&[column], &field(DataType::Int64), rows).unwrap();
            assert!(numbers.iter().all(|number| (*number as usize) < groups.count()));
            let taken = groups.take(&numbers).unwrap();
            let expected: Vec<Option<i64>> = values.iter().chain(&values).copied().collect();
            assert_eq!(&taken[0], &integers_of(&expected));
        }
    }

    #[test]
    fn a_narrow_type_has_a_null_beyond_its_largest_value() {
        let column = vec![cast(&integers_of(&[Some(127), Some(-128), None]), &DataType::Int8).unwrap()];
        let (groups, numbers) = Groups::new(std::slice::from_ref(&column), &field(DataType::Int8), 3).unwrap();
        assert_eq!(groups.take(&numbers).unwrap(), column);
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
    fn texts_are_groups_too() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "b"]));
        let (groups, numbers) = Groups::new(&[vec![Arc::clone(&column)]], &field(DataType::Utf8), 3).unwrap();
        assert_eq!((groups.count(), &groups.take(&numbers).unwrap()[0]), (2, &column));
    }

    #[test]
    fn no_columns_are_one_group() {
        let (groups, numbers) = Groups::new(&[], &[], 2).unwrap();
        assert_eq!((groups.count(), numbers), (1, vec![0, 0]));
        assert!(groups.take(&[0]).unwrap().is_empty());
    }
}
