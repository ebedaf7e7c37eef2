//! [`ImageColumn`] reads encoded images from the Arrow types that data sets store them in.

use datafusion::arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray,
    FixedSizeListArray, LargeBinaryArray, LargeListArray, ListArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, UInt8Type};

/// A column of encoded images.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ImageColumn<'a> {
    /// Binary data with 32-bit offsets, the type that most Parquet writers declare.
    Binary(&'a BinaryArray),
    /// Binary data with 64-bit offsets, for more than 2 GiB per batch.
    LargeBinary(&'a LargeBinaryArray),
    /// Binary views, the type that DataFusion reads from Parquet.
    BinaryView(&'a BinaryViewArray),
    /// Images of one length.
    FixedSizeBinary(&'a FixedSizeBinaryArray),
    /// Lists of bytes.
    List(&'a ListArray),
    /// Lists of bytes with 64-bit offsets.
    LargeList(&'a LargeListArray),
    /// Lists of bytes of one length.
    FixedSizeList(&'a FixedSizeListArray),
    /// Distinct images, and the index of each row's image.
    Dictionary {
        /// The array, for its NULLs.
        array: &'a dyn AnyDictionaryArray,
        /// The index into `values` of each row.
        keys: Vec<usize>,
        /// The distinct images.
        values: Box<ImageColumn<'a>>,
    },
    /// The field `bytes` of a struct, the image type of the library `datasets` of Hugging Face: `STRUCT<bytes, path>`.
    Struct {
        /// The struct, for its NULLs.
        array: &'a StructArray,
        /// The field.
        bytes: Box<ImageColumn<'a>>,
    },
    /// The type of an untyped `NULL` literal.
    Null,
}

/// Whether a column of this type can be read as an [`ImageColumn`].
pub fn is_image_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type() == &DataType::UInt8
        }
        DataType::Dictionary(_, values) => is_image_type(values),
        DataType::Struct(fields) => fields.find(BYTES).is_some_and(|(_, field)| is_image_type(field.data_type())),
        DataType::Null => true,
        _ => false,
    }
}

const BYTES: &str = "bytes";

/// The field of an image struct that names the file: it is read where the bytes are NULL.
pub fn path_field(data_type: &DataType) -> Option<&Field> {
    match data_type {
        DataType::Struct(fields) if is_image_type(data_type) => {
            fields.find("path").map(|(_, field)| field.as_ref()).filter(|field| field.data_type().is_string())
        }
        _ => None,
    }
}

impl<'a> ImageColumn<'a> {
    /// `None` if the array has another type; see [`is_image_type`].
    pub fn new(array: &'a ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Binary => Self::Binary(array.as_binary()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Self::FixedSizeBinary(array.as_fixed_size_binary()),
            DataType::Dictionary(..) => {
                let array = array.as_any_dictionary();
                Self::Dictionary { array, keys: array.normalized_keys(), values: Box::new(Self::new(array.values())?) }
            }
            DataType::Null => Self::Null,
            data_type if !is_image_type(data_type) => return None,
            DataType::List(_) => Self::List(array.as_list()),
            DataType::LargeList(_) => Self::LargeList(array.as_list()),
            DataType::FixedSizeList(..) => Self::FixedSizeList(array.as_fixed_size_list()),
            DataType::Struct(_) => {
                let array = array.as_struct();
                Self::Struct { array, bytes: Box::new(Self::new(array.column_by_name(BYTES)?)?) }
            }
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
            Self::FixedSizeBinary(array) => array.is_valid(row).then(|| array.value(row)),
            Self::List(array) => {
                let offsets = array.value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                array.is_valid(row).then(|| &bytes_of(array.values())[range])
            }
            Self::LargeList(array) => {
                let offsets = array.value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                array.is_valid(row).then(|| &bytes_of(array.values())[range])
            }
            Self::FixedSizeList(array) => {
                let length = array.value_length() as usize;
                let start = array.value_offset(row) as usize;
                array.is_valid(row).then(|| &bytes_of(array.values())[start..start + length])
            }
            Self::Dictionary { array, keys, values } => array.keys().is_valid(row).then(|| values.get(keys[row]))?,
            Self::Struct { array, bytes } => array.is_valid(row).then(|| bytes.get(row))?,
            Self::Null => None,
        }
    }

    /// Whether a row has no bytes, but the name of a file.
    pub fn is_path_only(&self, row: usize) -> bool {
        let Self::Struct { array, bytes } = self else { return false };
        let path = array.column_by_name("path");
        array.is_valid(row)
            && bytes.get(row).is_none()
            && path.is_some_and(|path| path.data_type().is_string() && path.is_valid(row))
    }
}

/// The elements of an array of 8-bit integers.
fn bytes_of(array: &ArrayRef) -> &[u8] {
    array.as_primitive::<UInt8Type>().values()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{DictionaryArray, Int32Array, NullArray, StringArray};
    use datafusion::arrow::buffer::NullBuffer;
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    const VALUES: [Option<&[u8]>; 3] = [Some(b"ab"), None, Some(b"cd")];

    fn check(array: ArrayRef) {
        assert!(is_image_type(array.data_type()), "{}", array.data_type());
        for slice in [0..3, 1..3] {
            let array = array.slice(slice.start, slice.len());
            let column = ImageColumn::new(&array).unwrap();
            let values: Vec<_> = (0..array.len()).map(|row| column.get(row)).collect();
            assert_eq!(values, VALUES[slice], "{}", array.data_type());
        }
    }

    #[test]
    fn all_types_read_the_same() {
        let binary: ArrayRef = Arc::new(BinaryArray::from(VALUES.to_vec()));
        for data_type in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
            check(cast(&binary, &data_type).unwrap());
        }
        let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(VALUES.into_iter(), 2).unwrap();
        check(Arc::new(fixed));
        let lists = VALUES.map(|value| value.map(|value| value.iter().map(|byte| Some(*byte)).collect::<Vec<_>>()));
        check(Arc::new(ListArray::from_iter_primitive::<UInt8Type, _, _>(lists.clone())));
        check(Arc::new(LargeListArray::from_iter_primitive::<UInt8Type, _, _>(lists.clone())));
        check(Arc::new(FixedSizeListArray::from_iter_primitive::<UInt8Type, _, _>(lists, 2)));
        let distinct: ArrayRef = Arc::new(BinaryArray::from(vec![b"cd".as_slice(), b"ab"]));
        let keys = Int32Array::from(vec![Some(1), None, Some(0)]);
        check(Arc::new(DictionaryArray::<Int32Type>::new(keys, distinct)));
    }

    #[test]
    fn structs_have_bytes_or_a_path() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"ab".as_slice()), None, None, Some(b"x")]));
        let path: ArrayRef = Arc::new(StringArray::from(vec![None, Some("a.jpg"), None, Some("b.jpg")]));
        let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
        let fields = vec![field("bytes", &bytes), field("path", &path)].into();
        let valid = NullBuffer::from(vec![true, true, true, false]);
        let array: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes, path], Some(valid)));
        assert_eq!(path_field(array.data_type()).map(|field| field.name().as_str()), Some("path"));
        let column = ImageColumn::new(&array).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| column.get(row)), [Some(b"ab".as_slice()), None, None, None]);
        assert_eq!([0, 1, 2, 3].map(|row| column.is_path_only(row)), [false, true, false, false]);
    }

    #[test]
    fn untyped_null_is_null() {
        let array: ArrayRef = Arc::new(NullArray::new(1));
        assert_eq!(ImageColumn::new(&array).unwrap().get(0), None);
    }

    #[test]
    fn other_types_are_not_images() {
        let integers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let lists = [Some(vec![Some(1)])];
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a"]));
        for array in [integers, list, words] {
            assert!(!is_image_type(array.data_type()));
            assert!(ImageColumn::new(&array).is_none());
            assert_eq!(path_field(array.data_type()), None);
        }
    }
}
