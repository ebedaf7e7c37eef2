//! [`JsonIntegers`]: how JSON represents numbers that readers with 64-bit floats, such as jq and JavaScript, would round.

use clap::ValueEnum;
use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::NullableEncoder;
use datafusion::arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// The representation of integers beyond 2^53, and of decimals of more than 15 digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum JsonIntegers {
    /// Numbers
    #[default]
    Number,
    /// Strings; smaller numbers of the same column stay numbers
    Text,
}

/// The largest integer up to which all integers are 64-bit floats.
const MAX_EXACT_INTEGER: u128 = 1 << 53;

/// Decimals of this many digits survive the conversion to a 64-bit float and back.
const MAX_EXACT_DIGITS: usize = 15;

/// Writes [`JsonIntegers::Text`], at any depth of nesting.
#[derive(Debug)]
pub(super) struct LargeNumbersAsText;

impl EncoderFactory for LargeNumbersAsText {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let is_wide = matches!(
            array.data_type(),
            DataType::Int64
                | DataType::UInt64
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..)
        );
        if !is_wide {
            return Ok(None);
        }
        let numbers = Numbers(ArrayFormatter::try_new(array, &FormatOptions::new())?);
        Ok(Some(NullableEncoder::new(Box::new(numbers), array.nulls().cloned())))
    }
}

struct Numbers<'a>(ArrayFormatter<'a>);

impl Encoder for Numbers<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let number = self.0.value(row).to_string();
        if is_exact(&number) {
            out.extend_from_slice(number.as_bytes());
        } else {
            out.push(b'"');
            out.extend_from_slice(number.as_bytes());
            out.push(b'"');
        }
    }
}

/// Whether a decimal number is not changed by a reader with 64-bit floats.
fn is_exact(number: &str) -> bool {
    let magnitude = number.trim_start_matches('-');
    let digits = magnitude.trim_start_matches(['0', '.']).chars().filter(char::is_ascii_digit).count();
    digits <= MAX_EXACT_DIGITS || magnitude.parse::<u128>().is_ok_and(|integer| integer <= MAX_EXACT_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_survive_64_bit_floats() {
        for (number, expected) in [
            ("0", true),
            ("-9007199254740992", true),
            ("9007199254740993", false),
            ("18446744073709551615", false),
            ("-9223372036854775808", false),
            ("0.000000000000000000123456789012345", true),
            ("1234567890.123456", false),
            ("99999999999999999999999999999999999999999999999", false),
        ] {
            assert_eq!(is_exact(number), expected, "{number}");
        }
        // An exact integer is printed by a float as it was.
        for number in ["-9007199254740992", "9007199254740993"] {
            let read: f64 = number.parse().unwrap();
            assert_eq!(format!("{read:.0}") == number, is_exact(number), "{number}");
        }
    }
}
