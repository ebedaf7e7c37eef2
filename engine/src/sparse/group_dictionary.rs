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
use super::integer_code::{IntegerCode, dense_range};
use super::kernels::NULL_ID;
use super::key_dictionary::AnyNull;

/// Dictionary encoding of the group columns of an operand, with NULL as a group.
///
/// Unlike [`KeyDictionary`](super::key_dictionary::KeyDictionary), it decodes ids; unlike
/// [`GroupInterner`](super::group_interner::GroupInterner), it is built from all rows at once, so that dense ids need
/// no table.
#[derive(Debug)]
pub(super) enum GroupDictionary {
    /// Integers, and floats that are integers, in a narrow range: the id is the offset from `low`, and `len` is the id of NULL.
    Dense { low: i64, len: usize, data_type: DataType },
    /// Everything else: the id is a row of these arrays, one for each column. The second field is their length.
    Values(Vec<ArrayRef>, usize),
}

/// A dictionary, with the ids of what it was built from.
#[derive(Debug)]
pub(super) struct EncodedGroups {
    pub(super) groups: GroupDictionary,
    /// The id of each row of the operand.
    pub(super) ids: Vec<u32>,
    /// The id of each row of the mask, [`NULL_ID`] for groups that the operand does not have.
    pub(super) mask_ids: Vec<u32>,
}

impl GroupDictionary {
    /// Assigns ids to the groups of `[columns][batches]` of `rows` rows. No columns are one group.
    ///
    /// The columns of `mask`, of the same types, are looked up. A NULL of the mask is equal to no group, as in a join;
    /// there is no mask if it is empty.
    ///
    /// # Errors
    /// When there are more groups than ids, or DataFusion cannot group by a column.
    pub(super) fn encode(
        columns: &[Vec<ArrayRef>],
        fields: &[FieldRef],
        rows: usize,
        mask: &[Vec<ArrayRef>],
    ) -> Result<EncodedGroups> {
        if fields.is_empty() {
            let groups = Self::Values(Vec::new(), 1);
            return Ok(EncodedGroups { groups, ids: vec![0; rows], mask_ids: Vec::new() });
        }
        if let ([column], [field]) = (columns, fields)
            && let Some(code) = IntegerCode::new(column, field.data_type())
            && code != IntegerCode::FloatBits
            && let Some((low, high)) = code.bounds(column)?
            && let Some(len) = dense_range(low, high, rows)
        {
            let offset = |value: i64| value.wrapping_sub(low) as u64;
            let null_id = len as u32;
            let mut ids = Vec::with_capacity(rows);
            for array in column {
                code.for_each(array, |value| ids.push(value.map_or(null_id, |value| offset(value) as u32)))?;
            }
            let mut mask_ids = Vec::new();
            for array in mask.iter().flatten() {
                code.for_each(array, |value| {
                    let offset = value.map(offset).filter(|offset| *offset < len as u64);
                    mask_ids.push(offset.map_or(NULL_ID, |offset| offset as u32));
                })?;
            }
            let groups = Self::Dense { low, len, data_type: field.data_type().clone() };
            return Ok(EncodedGroups { groups, ids, mask_ids });
        }
        let mut values = create_group_values(fields)?;
        let mut ids = Vec::with_capacity(rows);
        let mut batch_ids = Vec::new();
        for arrays in batches(columns) {
            values.intern(&arrays, &mut batch_ids)?;
            for &id in &batch_ids {
                ids.push(checked_id(id, "groups")?);
            }
        }
        let count = values.len();
        let mut mask_ids = Vec::new();
        for arrays in batches(mask) {
            values.intern(&arrays, &mut batch_ids)?;
            let nulls = AnyNull::new(&arrays);
            let is_known = |row: usize, id: usize| id < count && !nulls.is_null(row);
            let known =
                batch_ids.iter().enumerate().map(|(row, &id)| if is_known(row, id) { id as u32 } else { NULL_ID });
            mask_ids.extend(known);
        }
        // The groups that only the mask has come last.
        let columns = emit_all(values.as_mut(), fields)?.into_iter().map(|column| column.slice(0, count));
        Ok(EncodedGroups { groups: Self::Values(columns.collect(), count), ids, mask_ids })
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

/// The arrays of each batch of `[columns][batches]`.
fn batches(columns: &[Vec<ArrayRef>]) -> impl Iterator<Item = Vec<ArrayRef>> {
    let count = columns.first().map_or(0, Vec::len);
    (0..count).map(move |batch| columns.iter().map(|column| Arc::clone(&column[batch])).collect())
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
    use datafusion::arrow::array::{Float64Array, StringArray};
    use datafusion::arrow::datatypes::Field;

    fn int64_array(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn field(data_type: DataType) -> [FieldRef; 1] {
        [Arc::new(Field::new("g", data_type, true))]
    }

    /// The dictionary without a mask, and the ids of the rows.
    fn encode(columns: &[Vec<ArrayRef>], fields: &[FieldRef], rows: usize) -> (GroupDictionary, Vec<u32>) {
        let EncodedGroups { groups, ids, mask_ids } = GroupDictionary::encode(columns, fields, rows, &[]).unwrap();
        assert!(mask_ids.is_empty());
        (groups, ids)
    }

    #[test]
    fn ids_decode_to_their_groups() {
        let far = i64::MAX - 1;
        for values in [vec![Some(5), None, Some(-3), Some(5)], vec![Some(far), Some(-far), None], vec![None], vec![]] {
            let column = vec![int64_array(&values), int64_array(&values)];
            let rows = 2 * values.len();
            let (groups, ids) = encode(&[column], &field(DataType::Int64), rows);
            assert!(ids.iter().all(|id| (*id as usize) < groups.num_ids()));
            let decoded = groups.decode(&ids).unwrap();
            let expected: Vec<Option<i64>> = values.iter().chain(&values).copied().collect();
            assert_eq!(&decoded[0], &int64_array(&expected));
        }
    }

    #[test]
    fn null_of_a_narrow_type_decodes_although_its_offset_exceeds_the_type() {
        let column = vec![cast(&int64_array(&[Some(127), Some(-128), None]), &DataType::Int8).unwrap()];
        let (groups, ids) = encode(std::slice::from_ref(&column), &field(DataType::Int8), 3);
        assert_eq!(groups.decode(&ids).unwrap(), column);
    }

    #[test]
    fn strings_are_encoded() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "b"]));
        let (groups, ids) = encode(&[vec![Arc::clone(&column)]], &field(DataType::Utf8), 3);
        assert_eq!((groups.num_ids(), &groups.decode(&ids).unwrap()[0]), (2, &column));
    }

    #[test]
    fn no_columns_are_one_group() {
        let (groups, ids) = encode(&[], &[], 2);
        assert_eq!((groups.num_ids(), ids), (1, vec![0, 0]));
        assert!(groups.decode(&[0]).unwrap().is_empty());
    }

    fn float64_array(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[test]
    fn floats_decode_to_the_groups_of_an_aggregation() {
        let integral = vec![Some(-0.0), Some(3.0), None, Some(0.0), Some(-2.0)];
        for (values, is_dense) in [
            (integral.clone(), true),
            (integral.iter().copied().chain([Some(0.5)]).collect(), false),
            (integral.iter().copied().chain([Some(f64::NAN)]).collect(), false),
            (vec![Some(1e18), Some(-0.0), Some(1e18)], false),
        ] {
            let (groups, ids) = encode(&[vec![float64_array(&values)]], &field(DataType::Float64), values.len());
            assert_eq!(matches!(groups, GroupDictionary::Dense { .. }), is_dense);
            // Equality of arrays is that of bits: -0.0 must have become 0.0.
            let expected: Vec<Option<f64>> = values.iter().map(|value| value.map(|value| value + 0.0)).collect();
            assert_eq!(&groups.decode(&ids).unwrap()[0], &float64_array(&expected), "{values:?}");
        }
    }

    /// The rows of the operand that each row of the mask is equal to, by linear search.
    fn reference_matches<T: PartialEq>(operand: &[Option<T>], mask: &[Option<T>]) -> Vec<Vec<bool>> {
        let is_match = |key: &Option<T>, group: &Option<T>| key.is_some() && key == group;
        mask.iter().map(|key| operand.iter().map(|group| is_match(key, group)).collect()).collect()
    }

    fn matches(columns: &[Vec<ArrayRef>], fields: &[FieldRef], mask: &[Vec<ArrayRef>]) -> Vec<Vec<bool>> {
        let rows = columns[0].iter().map(|array| array.len()).sum();
        let EncodedGroups { groups, ids, mask_ids } = GroupDictionary::encode(columns, fields, rows, mask).unwrap();
        assert!(mask_ids.iter().all(|id| *id == NULL_ID || (*id as usize) < groups.num_ids()));
        // The mask adds no groups.
        assert_eq!(groups.decode(&ids).unwrap(), {
            let (groups, ids) = encode(columns, fields, rows);
            groups.decode(&ids).unwrap()
        });
        mask_ids.iter().map(|key| ids.iter().map(|group| *key != NULL_ID && key == group).collect()).collect()
    }

    #[test]
    fn masks_are_looked_up_as_in_a_join() {
        let far = i64::MAX - 1;
        let mask = vec![Some(5), None, Some(-4), Some(far), Some(i64::MIN), Some(6), Some(5), Some(-3)];
        for operand in [vec![Some(5), None, Some(-3), Some(5)], vec![Some(far), Some(-far), None], vec![None], vec![]] {
            let columns = [vec![int64_array(&operand)]];
            let expected = reference_matches(&operand, &mask);
            // In two batches.
            let batches = [vec![int64_array(&mask[..3]), int64_array(&mask[3..])]];
            assert_eq!(matches(&columns, &field(DataType::Int64), &batches), expected, "{operand:?}");
        }
        let mask = [Some(0.0), None, Some(2.5), Some(3.0), Some(-0.0)];
        for operand in [vec![Some(-0.0), Some(3.0), None], vec![Some(2.5), Some(0.0), None]] {
            let columns = [vec![float64_array(&operand)]];
            let expected = reference_matches(&operand, &mask);
            assert_eq!(matches(&columns, &field(DataType::Float64), &[vec![float64_array(&mask)]]), expected);
        }
    }

    #[test]
    fn masks_of_several_columns_are_looked_up() {
        let (left, right) = ([Some(1), Some(1), None, Some(2)], [Some(7), None, Some(7), Some(8)]);
        let (left_mask, right_mask) =
            ([Some(1), Some(1), None, Some(2), Some(9)], [Some(8), Some(7), Some(7), None, Some(9)]);
        let fields: Vec<FieldRef> = [field(DataType::Int64), field(DataType::Int64)].concat();
        let columns = [vec![int64_array(&left)], vec![int64_array(&right)]];
        let mask = [vec![int64_array(&left_mask)], vec![int64_array(&right_mask)]];
        let pairs = |left: &[Option<i64>], right: &[Option<i64>]| -> Vec<Option<(i64, i64)>> {
            left.iter().zip(right).map(|(left, right)| left.zip(*right)).collect()
        };
        let expected = reference_matches(&pairs(&left, &right), &pairs(&left_mask, &right_mask));
        assert_eq!(matches(&columns, &fields, &mask), expected);
    }
}
