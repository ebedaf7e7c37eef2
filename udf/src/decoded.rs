//! [`Decoded`]: pixels as a column, `STRUCT<width, height, channels, data>`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, StructArray, UInt32Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, UInt32Type};
use datafusion::common::exec_err;
use datafusion::error::Result;

use crate::image::Rgb;
use crate::image_column::{ImageColumn, is_image_type};

/// The type of a column of pixels: `data` holds `[height, width, channels]`, rows from the top, eight bits each, in the order
/// red, green, blue.
pub(crate) fn decoded_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::UInt32, false);
    let data = Field::new("data", DataType::BinaryView, false);
    Fields::from(vec![number("width"), number("height"), number("channels"), data])
}

/// Whether a column has the fields of [`decoded_type`].
pub(crate) fn is_decoded_type(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let has = |name: &str, is: fn(&DataType) -> bool| fields.find(name).is_some_and(|(_, field)| is(field.data_type()));
    ["width", "height", "channels"].iter().all(|name| has(name, DataType::is_integer)) && has("data", is_image_type)
}

/// A column of pixels.
pub(crate) struct Decoded {
    structs: StructArray,
    numbers: [UInt32Array; 3],
    data: ArrayRef,
}

impl Decoded {
    /// `None` when the array is of another type; see [`is_decoded_type`].
    pub(crate) fn new(array: &ArrayRef) -> Option<Self> {
        let structs = array.as_struct_opt()?.clone();
        let number = |name: &str| {
            let column = cast(structs.column_by_name(name)?, &DataType::UInt32).ok()?;
            Some(column.as_primitive::<UInt32Type>().clone())
        };
        let numbers = [number("width")?, number("height")?, number("channels")?];
        let data = Arc::clone(structs.column_by_name("data")?);
        Some(Self { structs, numbers, data })
    }

    /// The pixels of a row, `None` for NULL.
    ///
    /// # Errors
    /// One sentence when the numbers do not fit the data.
    pub(crate) fn get(&self, row: usize) -> std::result::Result<Option<Rgb>, String> {
        let (false, Some(data)) = (self.structs.is_null(row), ImageColumn::new(&self.data)) else { return Ok(None) };
        let Some(data) = data.get(row) else { return Ok(None) };
        let [width, height, channels] = [0, 1, 2].map(|at| self.numbers[at].value(row));
        let length = u128::from(width) * u128::from(height) * 3;
        if channels != 3 || length == 0 || data.len() as u128 != length {
            return Err(format!(
                "its data has {} bytes, {width} x {height} pixels of 3 channels have {length}; channels is {channels}",
                data.len()
            ));
        }
        Ok(Some(Rgb { width, height, data: data.to_vec() }))
    }
}

/// Pixels as a column; NULL for none.
pub(crate) fn decoded_array(images: Vec<Option<Rgb>>) -> Result<ArrayRef> {
    let present = NullBuffer::from_iter(images.iter().map(Option::is_some));
    let number = |of: fn(&Rgb) -> u32| {
        let numbers = images.iter().map(|image| image.as_ref().map_or(0, of));
        Arc::new(UInt32Array::from_iter_values(numbers)) as ArrayRef
    };
    let mut columns = vec![number(|image| image.width), number(|image| image.height), number(|_| 3)];
    let mut data = BinaryViewBuilder::new();
    for image in images {
        match image {
            None => data.append_value([]),
            Some(Rgb { width, height, data: pixels }) => {
                let Ok(length) = u32::try_from(pixels.len()) else {
                    return exec_err!("an image of {width} x {height} pixels is too large for a column of images");
                };
                let block = data.append_block(Buffer::from_vec(pixels));
                data.try_append_view(block, 0, length)?;
            }
        }
    }
    columns.push(Arc::new(data.finish()));
    Ok(Arc::new(StructArray::try_new(fields(), columns, Some(present))?))
}
