//! [`DecodedImageArray`]: a column of decoded images, `STRUCT<width, height, channels, data>`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, StructArray, UInt32Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, UInt32Type};
use datafusion::common::exec_err;
use datafusion::error::Result;

use crate::image::RgbImage;
use crate::image_column::{ImageColumn, is_image_type};

/// The type of a column of decoded images. `data` has the shape `[height, width, channels]` and holds 8-bit RGB values, with the
/// top row first.
///
/// All fields are nullable, and NULL where the struct is: `get_field` of DataFusion returns the value of a field also if the struct is NULL.
pub(crate) fn decoded_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    let integer = |name: &str| Field::new(name, DataType::UInt32, true);
    let data = Field::new("data", DataType::BinaryView, true);
    Fields::from(vec![integer("width"), integer("height"), integer("channels"), data])
}

/// Whether a type has the fields of [`decoded_type`]; any integer type and any binary type is accepted.
pub(crate) fn is_decoded_type(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let has = |name: &str, is: fn(&DataType) -> bool| fields.find(name).is_some_and(|(_, field)| is(field.data_type()));
    ["width", "height", "channels"].iter().all(|name| has(name, DataType::is_integer)) && has("data", is_image_type)
}

/// A column of decoded images.
pub(crate) struct DecodedImageArray {
    structs: StructArray,
    width: UInt32Array,
    height: UInt32Array,
    channels: UInt32Array,
    data: ArrayRef,
}

impl DecodedImageArray {
    /// `None` if the array has another type; see [`is_decoded_type`].
    pub(crate) fn new(array: &ArrayRef) -> Option<Self> {
        let structs = array.as_struct_opt()?.clone();
        let integer = |name: &str| {
            let column = cast(structs.column_by_name(name)?, &DataType::UInt32).ok()?;
            Some(column.as_primitive::<UInt32Type>().clone())
        };
        let (width, height, channels) = (integer("width")?, integer("height")?, integer("channels")?);
        let data = Arc::clone(structs.column_by_name("data")?);
        Some(Self { structs, width, height, channels, data })
    }

    /// Width and height of a row; `None` for NULL.
    pub(crate) fn size(&self, row: usize) -> Option<(u32, u32)> {
        let is_valid = self.structs.is_valid(row) && self.width.is_valid(row) && self.height.is_valid(row);
        is_valid.then(|| (self.width.value(row), self.height.value(row)))
    }

    /// The pixels of a row, `None` for NULL.
    ///
    /// # Errors
    /// The message, if the length of the data does not match the size, or there are not three channels.
    pub(crate) fn get(&self, row: usize) -> std::result::Result<Option<RgbImage>, String> {
        let (false, Some(data)) = (self.structs.is_null(row), ImageColumn::new(&self.data)) else { return Ok(None) };
        let Some(data) = data.get(row) else { return Ok(None) };
        let [width, height, channels] = [&self.width, &self.height, &self.channels].map(|column| column.value(row));
        let length = u128::from(width) * u128::from(height) * 3;
        if channels != 3 || length == 0 || data.len() as u128 != length {
            return Err(format!(
                "its data has {} bytes, but {width} x {height} pixels of 3 channels need {length}; channels is {channels}",
                data.len()
            ));
        }
        Ok(Some(RgbImage { width, height, data: data.to_vec() }))
    }
}

/// Builds a column of [`decoded_type`] without copying the pixels.
///
/// # Errors
/// If an image has more than `u32::MAX` bytes.
pub(crate) fn decoded_array(images: Vec<Option<RgbImage>>) -> Result<ArrayRef> {
    let validity = NullBuffer::from_iter(images.iter().map(Option::is_some));
    let integers = |field: fn(&RgbImage) -> u32| {
        Arc::new(UInt32Array::from_iter(images.iter().map(|image| image.as_ref().map(field)))) as ArrayRef
    };
    let mut columns = vec![integers(|image| image.width), integers(|image| image.height), integers(|_| 3)];
    let mut data = BinaryViewBuilder::new();
    for image in images {
        match image {
            None => data.append_null(),
            Some(RgbImage { width, height, data: pixels }) => {
                let Ok(length) = u32::try_from(pixels.len()) else {
                    return exec_err!("an image of {width} x {height} pixels exceeds the 4 GiB of a BinaryView value");
                };
                let block = data.append_block(Buffer::from_vec(pixels));
                data.try_append_view(block, 0, length)?;
            }
        }
    }
    columns.push(Arc::new(data.finish()));
    Ok(Arc::new(StructArray::try_new(fields(), columns, Some(validity))?))
}
