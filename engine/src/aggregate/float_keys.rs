//! [`to_keys`] and [`from_keys`]: floats as integers of the same order.
//!
//! The order is IEEE 754 totalOrder with one NaN, above all numbers: `-inf < -1 < -0 < +0 < 1 < inf < NaN`. NaNs of any sign and payload
//! become this one: `inf - inf` has the sign bit on x86 processors, and totalOrder would place it below all numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::internal_err;
use datafusion::error::Result;

/// The type of the keys of a float type.
pub(super) fn key_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Float16 => Some(DataType::Int16),
        DataType::Float32 => Some(DataType::Int32),
        DataType::Float64 => Some(DataType::Int64),
        _ => None,
    }
}

macro_rules! float_keys {
    ($one_nan:ident, $to_key:ident, $from_key:ident, $float:ty, $signed:ty, $unsigned:ty) => {
        fn $one_nan(value: $float) -> $float {
            if value.is_nan() { <$float>::NAN } else { value }
        }

        fn $to_key(value: $float) -> $signed {
            let bits = $one_nan(value).to_bits() as $signed;
            // Negative floats are ordered by magnitude: flip it.
            bits ^ (((bits >> (<$signed>::BITS - 1)) as $unsigned) >> 1) as $signed
        }

        fn $from_key(key: $signed) -> $float {
            let bits = key ^ (((key >> (<$signed>::BITS - 1)) as $unsigned) >> 1) as $signed;
            <$float>::from_bits(bits as $unsigned)
        }
    };
}

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

float_keys!(one_nan_f16, key_of_f16, f16_of_key, F16, i16, u16);
float_keys!(one_nan_f32, key_of_f32, f32_of_key, f32, i32, u32);
float_keys!(one_nan_f64, key_of_f64, f64_of_key, f64, i64, u64);

/// The keys of floats. NULLs stay NULL.
pub(super) fn to_keys(floats: &ArrayRef) -> Result<ArrayRef> {
    let keys: ArrayRef = match floats.data_type() {
        DataType::Float16 => Arc::new(floats.as_primitive::<Float16Type>().unary::<_, Int16Type>(key_of_f16)),
        DataType::Float32 => Arc::new(floats.as_primitive::<Float32Type>().unary::<_, Int32Type>(key_of_f32)),
        DataType::Float64 => Arc::new(floats.as_primitive::<Float64Type>().unary::<_, Int64Type>(key_of_f64)),
        other => return internal_err!("{other} is not a float"),
    };
    Ok(keys)
}

/// The floats with one NaN, as their keys have it.
pub(super) fn with_one_nan(floats: &ArrayRef) -> Result<ArrayRef> {
    let floats: ArrayRef = match floats.data_type() {
        DataType::Float16 => Arc::new(floats.as_primitive::<Float16Type>().unary::<_, Float16Type>(one_nan_f16)),
        DataType::Float32 => Arc::new(floats.as_primitive::<Float32Type>().unary::<_, Float32Type>(one_nan_f32)),
        DataType::Float64 => Arc::new(floats.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_nan_f64)),
        other => return internal_err!("{other} is not a float"),
    };
    Ok(floats)
}

/// The floats of keys.
pub(super) fn from_keys(keys: &ArrayRef) -> Result<ArrayRef> {
    let floats: ArrayRef = match keys.data_type() {
        DataType::Int16 => Arc::new(keys.as_primitive::<Int16Type>().unary::<_, Float16Type>(f16_of_key)),
        DataType::Int32 => Arc::new(keys.as_primitive::<Int32Type>().unary::<_, Float32Type>(f32_of_key)),
        DataType::Int64 => Arc::new(keys.as_primitive::<Int64Type>().unary::<_, Float64Type>(f64_of_key)),
        other => return internal_err!("{other} is not the type of a key of floats"),
    };
    Ok(floats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_the_floats() {
        let tiny = f64::from_bits(1);
        let ascending =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -tiny, -0.0, 0.0, tiny, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        assert!(ascending.map(key_of_f64).is_sorted_by(|a, b| a < b));
        assert!(ascending.map(|value| key_of_f32(value as f32)).is_sorted());
        for value in ascending {
            assert_eq!(f64_of_key(key_of_f64(value)).to_bits(), value.to_bits(), "{value}");
            let value = value as f32;
            assert_eq!(f32_of_key(key_of_f32(value)).to_bits(), value.to_bits(), "{value}");
        }
        for bits in 0..=u16::MAX {
            let value = F16::from_bits(bits);
            let back = f16_of_key(key_of_f16(value));
            assert!(back.to_bits() == bits || (value.is_nan() && back.to_bits() == F16::NAN.to_bits()), "{bits:#x}");
        }
    }

    #[test]
    fn there_is_one_nan() {
        for nan in [-f64::NAN, f64::from_bits(u64::MAX), f64::from_bits(0x7FF0_0000_0000_0001)] {
            assert_eq!(key_of_f64(nan), key_of_f64(f64::NAN));
        }
    }
}
