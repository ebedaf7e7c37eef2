//! [`ImageColumn`] reads encoded images from the Arrow types that hold bytes.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, LargeBinaryArray};
use datafusion::arrow::datatypes::DataType;

/// A column of encoded images, whatever its physical type.
#[derive(Debug, Clone, Copy)]
pub enum ImageColumn<'a> {
    /// 32-bit offsets: what most Parquet writers give.
    Binary(&'a BinaryArray),
    /// 64-bit offsets: more than 2 GiB in a batch.
    LargeBinary(&'a LargeBinaryArray),
    /// Views: what DataFusion reads from Parquet.
    BinaryView(&'a BinaryViewArray),
    /// The type of a bare `NULL`.
    Null,
}

/// Whether a column of this type can be read as an [`ImageColumn`].
pub fn is_image_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Null)
}

impl<'a> ImageColumn<'a> {
    /// `None` when the array is of another type; see [`is_image_type`].
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
    /// When `row` is beyond the array.
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
    fn every_byte_type_reads_the_same() {
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
    fn numbers_are_no_images() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(!is_image_type(array.data_type()));
        assert!(ImageColumn::new(&array).is_none());
    }
}
