//! [`IntegerCode`]: keys and groups as 64-bit integers.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::kernels::NULL_ID;

/// How the values of a column are represented by integers: equal ones exactly for values that DataFusion's joins and
/// aggregations treat as equal. For floats, -0.0 equals 0.0, and a NaN equals the NaNs with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntegerCode {
    /// Integers, by their value.
    Integer,
    /// Floats that are integers, by their value. Other floats have no code.
    IntegralFloat,
    /// Floats, by their bits.
    FloatBits,
}

/// Whether all values of the type are integers that a cast to 64 bits preserves, in order.
pub(super) fn fits_int64(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32};
    matches!(data_type, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Date32 | Date64 | Timestamp(..))
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

/// The integer that a float is. -0.0 is 0.
fn integral(value: f64) -> Option<i64> {
    // The cast saturates: 2^63 becomes `i64::MAX`, the integer of no other float. NaN becomes 0 and is not equal to it.
    let integer = value as i64;
    (integer as f64 == value).then_some(integer)
}

impl IntegerCode {
    /// The code for the values of a column, `None` for types without one.
    pub(super) fn new(column: &[ArrayRef], data_type: &DataType) -> Option<Self> {
        let is_integral = |array: &ArrayRef| match data_type {
            DataType::Float32 => {
                array.as_primitive::<Float32Type>().iter().flatten().all(|value| integral(value.into()).is_some())
            }
            _ => array.as_primitive::<Float64Type>().iter().flatten().all(|value| integral(value).is_some()),
        };
        match data_type {
            data_type if fits_int64(data_type) => Some(Self::Integer),
            DataType::Float32 | DataType::Float64 if column.iter().all(is_integral) => Some(Self::IntegralFloat),
            DataType::Float32 | DataType::Float64 => Some(Self::FloatBits),
            _ => None,
        }
    }

    /// The codes of an array of the type that the code was created for, NULL for values without one.
    pub(super) fn encode(self, array: &ArrayRef) -> Result<Int64Array> {
        Ok(match (self, array.data_type()) {
            (Self::Integer, _) => cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            (Self::IntegralFloat, DataType::Float32) => {
                array.as_primitive::<Float32Type>().unary_opt::<_, Int64Type>(|value| integral(value.into()))
            }
            (Self::IntegralFloat, DataType::Float64) => {
                array.as_primitive::<Float64Type>().unary_opt::<_, Int64Type>(integral)
            }
            (Self::FloatBits, DataType::Float32) => {
                let bits = |value: f32| if value == 0.0 { 0 } else { i64::from(value.to_bits()) };
                array.as_primitive::<Float32Type>().unary::<_, Int64Type>(bits)
            }
            (Self::FloatBits, DataType::Float64) => {
                let bits = |value: f64| if value == 0.0 { 0 } else { value.to_bits() as i64 };
                array.as_primitive::<Float64Type>().unary::<_, Int64Type>(bits)
            }
            (_, other) => return internal_err!("SparseMatMul: {other} is not floating-point"),
        })
    }

    /// Visits the codes of an array, `None` for values without one.
    pub(super) fn for_each(self, array: &ArrayRef, mut visit: impl FnMut(Option<i64>)) -> Result<()> {
        let integers = self.encode(array)?;
        match integers.nulls() {
            None => integers.values().iter().for_each(|value| visit(Some(*value))),
            Some(_) => integers.iter().for_each(visit),
        }
        Ok(())
    }

    /// The minimum and maximum code of a column, `None` when there is none.
    pub(super) fn bounds(self, column: &[ArrayRef]) -> Result<Option<(i64, i64)>> {
        let mut bounds: Option<(i64, i64)> = None;
        for array in column {
            let integers = self.encode(array)?;
            if let (Some(low), Some(high)) = (min(&integers), max(&integers)) {
                bounds = Some(bounds.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
            }
        }
        Ok(bounds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::arrow::array::{Float32Array, Float64Array, StringArray};

    const FLOATS: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_0001),
        9_223_372_036_854_775_808.0,
        -9_223_372_036_854_775_808.0,
        9_223_372_036_854_774_784.0,
        5e-324,
    ];

    fn float64_array(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    /// Equality of floats in DataFusion's joins: that of the bits, after -0.0 was replaced.
    fn reference_equal(left: f64, right: f64) -> bool {
        let bits = |value: f64| if value.to_bits() == (-0.0_f64).to_bits() { 0 } else { value.to_bits() };
        bits(left) == bits(right)
    }

    #[test]
    fn codes_are_equal_exactly_if_floats_are() {
        let (floats, singles) = (float64_array(&FLOATS), FLOATS.map(|value| value as f32));
        let single_array: ArrayRef = Arc::new(Float32Array::from(singles.to_vec()));
        for code in [IntegerCode::FloatBits, IntegerCode::IntegralFloat] {
            let codes = code.encode(&floats).unwrap();
            let single_codes = code.encode(&single_array).unwrap();
            for (at, left) in FLOATS.into_iter().enumerate() {
                let has_code = code == IntegerCode::FloatBits || (left.trunc() == left && left.abs() < 1e19);
                assert_eq!(codes.iter().nth(at).unwrap().is_some(), has_code, "{left}");
                for (other, right) in FLOATS.into_iter().enumerate() {
                    let equal = |codes: &Int64Array| {
                        codes.iter().nth(at).unwrap().is_some_and(|code| codes.iter().nth(other).unwrap() == Some(code))
                    };
                    assert_eq!(equal(&codes), has_code && reference_equal(left, right), "{left} = {right}");
                    let (left, right) = (singles[at], singles[other]);
                    let has_code = code == IntegerCode::FloatBits || (left.trunc() == left && left.abs() < 1e19);
                    let expected = has_code && (left == right || left.to_bits() == right.to_bits());
                    assert_eq!(equal(&single_codes), expected, "{left} = {right}");
                }
            }
        }
    }

    #[test]
    fn columns_of_integral_floats_have_their_values_as_codes() {
        let with_null: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(-7.0)]));
        let column = [float64_array(&[3.0, -0.0]), with_null];
        let code = IntegerCode::new(&column, &DataType::Float64).unwrap();
        assert_eq!((code, code.bounds(&column).unwrap()), (IntegerCode::IntegralFloat, Some((-7, 3))));
        // Other floats that are looked up have no code.
        let codes = code.encode(&float64_array(&[2.5, f64::NAN, 4.0])).unwrap();
        assert_eq!(codes, Int64Array::from(vec![None, None, Some(4)]));
        for other in [0.5, f64::NAN, f64::INFINITY, 1e19] {
            assert_eq!(
                IntegerCode::new(&[float64_array(&[1.0, other])], &DataType::Float64),
                Some(IntegerCode::FloatBits)
            );
        }
    }

    #[test]
    fn strings_have_no_codes() {
        let strings: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert_eq!(IntegerCode::new(&[Arc::clone(&strings)], &DataType::Utf8), None);
        assert!(IntegerCode::FloatBits.encode(&strings).is_err());
    }
}
