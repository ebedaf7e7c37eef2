//! [`GroupDictionary`]: dictionary encoding of the group columns of an operand in memory.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, UInt32Array, new_empty_array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::ids::checked_id;
use super::key_dictionary::{bounds, dense_range, fits_int64, for_each_int64};

/// Dictionary encoding of the group columns of an operand, with NULL as a group.
///
/// Unlike [`KeyDictionary`](super::key_dictionary::KeyDictionary), it decodes ids; unlike
/// [`GroupInterner`](super::group_interner::GroupInterner), it is built from all rows at once, so that dense ids need
/// no table.
#[derive(Debug)]
pub(super) enum GroupDictionary {
    /// Integers in a narrow range: the id is the offset from `low`, and `len` is the id of NULL.
    Dense { low: i64, len: usize, data_type: DataType },
    /// Everything else: the id is a row of these arrays, one for each column. The second field is their length.
    Values(Vec<ArrayRef>, usize),
}

impl GroupDictionary {
    /// Assigns ids to the groups of `[columns][batches]`, and returns the id of each of the `rows` rows.
    ///
    /// No columns are one group.
    ///
    /// # Errors
    /// When there are more groups than ids, or DataFusion cannot group by a column.
    pub(super) fn new(columns: &[Vec<ArrayRef>], fields: &[FieldRef], rows: usize) -> Result<(Self, Vec<u32>)> {
        if fields.is_empty() {
            return Ok((Self::Values(Vec::new(), 1), vec![0; rows]));
        }
        let mut group_ids = Vec::with_capacity(rows);
        if let ([column], [field]) = (columns, fields)
            && fits_int64(field.data_type())
            && let Some((low, high)) = bounds(column)?
            && let Some(len) = dense_range(low, high, rows)
        {
            let (null_id, data_type) = (len as u32, field.data_type().clone());
            for array in column {
                let offset = |value: i64| value.wrapping_sub(low) as u32;
                for_each_int64(array, |value| group_ids.push(value.map_or(null_id, offset)))?;
            }
            return Ok((Self::Dense { low, len, data_type }, group_ids));
        }
        let mut values = create_group_values(fields)?;
        let mut batch_ids = Vec::new();
        for batch in 0..columns[0].len() {
            let arrays: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(&column[batch])).collect();
            values.intern(&arrays, &mut batch_ids)?;
            for &id in &batch_ids {
                group_ids.push(checked_id(id, "groups")?);
            }
        }
        let count = values.len();
        Ok((Self::Values(emit_all(values.as_mut(), fields)?, count), group_ids))
    }

    /// The end of the range of ids. Dense ids need not all occur.
    pub(super) fn num_ids(&self) -> usize {
        match self {
            Self::Dense { len, .. } => len + 1,
            Self::Values(_, count) => *count,
        }
    }

    /// The groups of these ids, one array for each column.
    pub(super) fn decode(&self, group_ids: &[u32]) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Dense { low, len, data_type } => {
                let null_id = *len as u32;
                let values: Vec<i64> = group_ids.iter().map(|&id| low.wrapping_add(i64::from(id))).collect();
                let validity =
                    group_ids.contains(&null_id).then(|| group_ids.iter().map(|&id| id != null_id).collect());
                let array = Int64Array::new(values.into(), validity.map(NullBuffer::new));
                // The value of NULL may exceed a narrow type. The cast ignores it.
                Ok(vec![cast(&array, data_type)?])
            }
            Self::Values(columns, _) => {
                let indices = UInt32Array::from(group_ids.to_vec());
                columns.iter().map(|column| Ok(take(column, &indices, None)?)).collect()
            }
        }
    }

    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Dense { .. } => 0,
            Self::Values(columns, _) => columns.iter().map(|column| column.get_array_memory_size()).sum(),
        }
    }
}

/// DataFusion's own group table, so that values are equal exactly if they are in GROUP BY.
pub(super) fn create_group_values(fields: &[FieldRef]) -> Result<Box<dyn GroupValues>> {
    new_group_values(Arc::new(Schema::new(fields.to_vec())), &GroupOrdering::None)
}

/// Emits all groups in the types of `fields`.
pub(super) fn emit_all(values: &mut dyn GroupValues, fields: &[FieldRef]) -> Result<Vec<ArrayRef>> {
    // Some implementations of `GroupValues` panic when there are none.
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

    fn int64_array(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn field(data_type: DataType) -> [FieldRef; 1] {
        [Arc::new(Field::new("g", data_type, true))]
    }

    #[test]
    fn ids_decode_to_their_groups() {
        let far = i64::MAX - 1;
        for values in [vec![Some(5), None, Some(-3), Some(5)], vec![Some(far), Some(-far), None], vec![None], vec![]] {
            let column = vec![int64_array(&values), int64_array(&values)];
            let rows = 2 * values.len();
            let (groups, group_ids) = GroupDictionary::new(&[column], &field(DataType::Int64), rows).unwrap();
            assert!(group_ids.iter().all(|id| (*id as usize) < groups.num_ids()));
            let decoded = groups.decode(&group_ids).unwrap();
            let expected: Vec<Option<i64>> = values.iter().chain(&values).copied().collect();
            assert_eq!(&decoded[0], &int64_array(&expected));
        }
    }

    #[test]
    fn null_of_a_narrow_type_decodes_although_its_offset_exceeds_the_type() {
        let column = vec![cast(&int64_array(&[Some(127), Some(-128), None]), &DataType::Int8).unwrap()];
        let (groups, group_ids) =
            GroupDictionary::new(std::slice::from_ref(&column), &field(DataType::Int8), 3).unwrap();
        assert_eq!(groups.decode(&group_ids).unwrap(), column);
    }

    #[test]
    fn strings_are_encoded() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "b"]));
        let (groups, group_ids) =
            GroupDictionary::new(&[vec![Arc::clone(&column)]], &field(DataType::Utf8), 3).unwrap();
        assert_eq!((groups.num_ids(), &groups.decode(&group_ids).unwrap()[0]), (2, &column));
    }

    #[test]
    fn no_columns_are_one_group() {
        let (groups, group_ids) = GroupDictionary::new(&[], &[], 2).unwrap();
        assert_eq!((groups.num_ids(), group_ids), (1, vec![0, 0]));
        assert!(groups.decode(&[0]).unwrap().is_empty());
    }
}
