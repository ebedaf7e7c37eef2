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

use super::ids::number;
use super::key_dictionary::{bounds, each_integer, is_integer, span};

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
                let distance = |value: i64| value.wrapping_sub(low) as u32;
                each_integer(array, |value| numbers.push(value.map_or(null, distance)))?;
            }
            return Ok((Self::Range { low, span, data_type }, numbers));
        }
        let mut values = group_values(fields)?;
        let mut found = Vec::new();
        for batch in 0..columns[0].len() {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(&column[batch])).collect();
            values.intern(&arrays, &mut found)?;
            for &found in &found {
                numbers.push(number(found, "groups")?);
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

/// DataFusion's own table of groups, so that equal means what it means in GROUP BY.
pub(super) fn group_values(fields: &[FieldRef]) -> Result<Box<dyn GroupValues>> {
    new_group_values(Arc::new(Schema::new(fields.to_vec())), &GroupOrdering::None)
}

/// All groups, with the types that they came in.
pub(super) fn emit(values: &mut dyn GroupValues, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
    // Some tables of groups panic when there are none.
    if values.is_empty() {
        return Ok(fields.iter().map(|field| new_empty_array(field.data_type())).collect());
    }
    let columns = values.emit(EmitTo::All)?;
    columns.iter().zip(fields).map(|(column, field)| Ok(cast(column, field.data_type())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::Field;

    fn integers_of(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn field(data_type: DataType) -> [FieldRef; 1] {
        [Arc::new(Field::new("g", data_type, true))]
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
