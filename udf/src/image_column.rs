//! [`ImageColumn`] reads encoded images from arrays of Arrow's binary types.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, LargeBinaryArray};
use datafusion::arrow::datatypes::DataType;

/// A column of encoded images, in any of Arrow's binary types.
#[derive(Debug, Clone, Copy)]
pub enum ImageColumn<'a> {
    /// Binary data with 32-bit offsets, the type that most Parquet writers declare.
    Binary(&'a BinaryArray),
    /// Binary data with 64-bit offsets, for more than 2 GiB per batch.
    LargeBinary(&'a LargeBinaryArray),
    /// Binary views, the type that DataFusion reads from Parquet.
    BinaryView(&'a BinaryViewArray),
    /// The type of an untyped `NULL` literal.
    Null,
}

/// Whether a column of this type can be read as an [`ImageColumn`].
pub fn is_image_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Null)
}

impl<'a> ImageColumn<'a> {
    /// `None` if the array has another type; see [`is_image_type`].
    pub fn new(array: &'a ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Binary => Self::Binary(array.as_binary()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view()),
            DataType::Null => Self::Null,
            _ => return None,
        })
    }

    /// The bytes of one row, `None` for NULL.
    ///
    /// # Panics
    /// If `row` is out of bounds.
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Binary(array) => array.is_valid(row).then(|| array.value(row)),
            Self::LargeBinary(array) => array.is_valid(row).then(|| array.value(row)),
            Self::BinaryView(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Null => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int32Array, NullArray};
    use datafusion::arrow::compute::cast;

    use super::*;

    #[test]
    fn all_binary_types_read_the_same() {
        let binary: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"ab".as_slice()), None, Some(b"")]));
        for data_type in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
            assert!(is_image_type(&data_type));
            let array = cast(&binary, &data_type).unwrap();
            let column = ImageColumn::new(&array).unwrap();
            assert_eq!([0, 1, 2].map(|row| column.get(row)), [Some(b"ab".as_slice()), None, Some(b"")]);
        }
    }

    #[test]
    fn untyped_null_is_null() {
        let array: ArrayRef = Arc::new(NullArray::new(1));
        assert_eq!(ImageColumn::new(&array).unwrap().get(0), None);
    }

    #[test]
    fn integers_are_not_images() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(!is_image_type(array.data_type()));
        assert!(ImageColumn::new(&array).is_none());
    }
}
