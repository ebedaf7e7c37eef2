//! [`AbbreviateLists`]: long vectors in tables, as `[0.12, 0.03, … 64 values]`.

use std::fmt::Write;
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{
    ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult,
};

/// Longer lists are abbreviated.
const MAX_VALUES: usize = 8;

/// The number of values in front of the ellipsis.
const VALUES_SHOWN: usize = 2;

/// Abbreviates lists of floats and lists of numbers of a fixed size: embeddings and tensors. Other lists, such as labels, are complete.
#[derive(Debug)]
pub(super) struct AbbreviateLists;

impl ArrayFormatterFactory for AbbreviateLists {
    fn create_array_formatter<'formatter>(
        &self,
        array: &'formatter dyn Array,
        options: &FormatOptions<'formatter>,
        _field: Option<&'formatter Field>,
    ) -> Result<Option<ArrayFormatter<'formatter>>, ArrowError> {
        let values: &'formatter ArrayRef = match array.data_type() {
            DataType::List(field) if field.data_type().is_floating() => array.as_list::<i32>().values(),
            DataType::LargeList(field) if field.data_type().is_floating() => array.as_list::<i64>().values(),
            DataType::FixedSizeList(field, _) if field.data_type().is_numeric() => array.as_fixed_size_list().values(),
            _ => return Ok(None),
        };
        let values = ArrayFormatter::try_new(values.as_ref(), options)?;
        let lists = Lists { array, values, null: options.null() };
        Ok(Some(ArrayFormatter::new(Box::new(lists), options.safe())))
    }
}

struct Lists<'a> {
    array: &'a dyn Array,
    values: ArrayFormatter<'a>,
    null: &'a str,
}

impl Lists<'_> {
    /// The values of a row.
    fn range(&self, row: usize) -> Range<usize> {
        match self.array.data_type() {
            DataType::List(_) => {
                let offsets = self.array.as_list::<i32>().value_offsets();
                offsets[row] as usize..offsets[row + 1] as usize
            }
            DataType::LargeList(_) => {
                let offsets = self.array.as_list::<i64>().value_offsets();
                offsets[row] as usize..offsets[row + 1] as usize
            }
            _ => {
                let length = self.array.as_fixed_size_list().value_length() as usize;
                row * length..(row + 1) * length
            }
        }
    }
}

impl DisplayIndex for Lists<'_> {
    fn write(&self, row: usize, out: &mut dyn Write) -> FormatResult {
        if self.array.is_null(row) {
            out.write_str(self.null)?;
            return Ok(());
        }
        let range = self.range(row);
        let is_long = range.len() > MAX_VALUES;
        let shown = if is_long { VALUES_SHOWN } else { range.len() };
        out.write_char('[')?;
        for (position, value) in range.clone().take(shown).enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(out, "{separator}{}", self.values.value(value))?;
        }
        if is_long {
            write!(out, ", … {} values", range.len())?;
        }
        out.write_char(']')?;
        Ok(())
    }
}
