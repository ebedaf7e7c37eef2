//! [`common_type`]: the type of a column that has different types in the files of a table.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};

use super::table_format::TableFormat;

/// The narrowest type that represents the values of both types and that the reader of the format converts to. `None` if there is none.
pub(super) fn common_type(format: TableFormat, left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Dictionary, LargeList, List, Null, Struct};
    match (left, right) {
        _ if left == right => Some(left.clone()),
        (Null, other) | (other, Null) => Some(other.clone()),
        (List(left), List(right)) => Some(List(Arc::new(common_field(format, left, right)?))),
        (LargeList(left), LargeList(right)) => Some(LargeList(Arc::new(common_field(format, left, right)?))),
        (Struct(left), Struct(right)) => Some(Struct(common_fields(format, left, right)?)),
        // Columns of Arrow files are not converted.
        _ if format == TableFormat::Arrow => None,
        (Dictionary(_, values), other) | (other, Dictionary(_, values)) => common_type(format, values, other),
        _ => common_number(left, right)
            .or_else(|| common_time(left, right))
            .or_else(|| common_bytes(left, right))
            .or_else(|| common_text(format, left, right)),
    }
}

fn common_field(format: TableFormat, left: &Field, right: &Field) -> Option<Field> {
    let data_type = common_type(format, left.data_type(), right.data_type())?;
    Some(left.clone().with_data_type(data_type).with_nullable(left.is_nullable() || right.is_nullable()))
}

/// The fields of both structs by name. One that only one of them has is nullable.
fn common_fields(format: TableFormat, left: &Fields, right: &Fields) -> Option<Fields> {
    let nullable = |field: &Field| field.clone().with_nullable(true);
    let mut fields = Vec::with_capacity(left.len());
    for field in left {
        fields.push(match right.find(field.name()) {
            Some((_, other)) => common_field(format, field, other)?,
            None => nullable(field),
        });
    }
    let is_new = |field: &&Arc<Field>| left.find(field.name()).is_none();
    fields.extend(right.iter().filter(is_new).map(|field| nullable(field)));
    Some(fields.into())
}

fn common_number(left: &DataType, right: &DataType) -> Option<DataType> {
    if !left.is_numeric() || !right.is_numeric() {
        return None;
    }
    if left.is_integer() && right.is_integer() {
        return common_integer(left, right);
    }
    if !left.is_floating() && !right.is_floating() {
        return common_decimal(left, right);
    }
    // 24 bits of a 32-bit float represent integers of 16 bits.
    let is_small = |data_type: &DataType| match data_type {
        DataType::Float16 | DataType::Float32 => true,
        integer => integer.is_integer() && integer.primitive_width().is_some_and(|bytes| bytes <= 2),
    };
    Some(if is_small(left) && is_small(right) { DataType::Float32 } else { DataType::Float64 })
}

fn common_integer(left: &DataType, right: &DataType) -> Option<DataType> {
    let (left_bytes, right_bytes) = (left.primitive_width()?, right.primitive_width()?);
    if left.is_signed_integer() == right.is_signed_integer() {
        return Some(if left_bytes >= right_bytes { left.clone() } else { right.clone() });
    }
    let (unsigned, signed) =
        if left.is_signed_integer() { (right_bytes, left_bytes) } else { (left_bytes, right_bytes) };
    Some(match signed.max(2 * unsigned) {
        2 => DataType::Int16,
        4 => DataType::Int32,
        8 => DataType::Int64,
        _ => DataType::Decimal128(20, 0),
    })
}

/// The decimal with all digits of both before and after the point.
fn common_decimal(left: &DataType, right: &DataType) -> Option<DataType> {
    let ((left_precision, left_scale), (right_precision, right_scale)) = (digits(left)?, digits(right)?);
    let scale = left_scale.max(right_scale);
    let whole =
        (i16::from(left_precision) - i16::from(left_scale)).max(i16::from(right_precision) - i16::from(right_scale));
    match u8::try_from(whole + i16::from(scale)).ok()? {
        precision @ ..=38 => Some(DataType::Decimal128(precision, scale)),
        precision @ ..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

/// The decimal digits of a number, and those after the point.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

fn common_time(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Date64, Timestamp};
    match (left, right) {
        (Date32, Date64) | (Date64, Date32) => Some(Date64),
        (Date32 | Date64, Timestamp(..)) => Some(right.clone()),
        (Timestamp(..), Date32 | Date64) => Some(left.clone()),
        (Timestamp(unit, zone), Timestamp(other_unit, other_zone)) if zone == other_zone => {
            Some(Timestamp(*unit.max(other_unit), zone.clone()))
        }
        _ => None,
    }
}

fn common_bytes(left: &DataType, right: &DataType) -> Option<DataType> {
    let all = [left, right];
    if !all.iter().all(|data_type| data_type.is_binary()) {
        return None;
    }
    let widest = [DataType::BinaryView, DataType::LargeBinary].into_iter().find(|wide| all.contains(&wide));
    Some(widest.unwrap_or(DataType::Binary))
}

/// Text of different types; text and numbers where the reader converts them.
fn common_text(format: TableFormat, left: &DataType, right: &DataType) -> Option<DataType> {
    let all = [left, right];
    let is_text = |data_type: &&DataType| data_type.is_string();
    let is_printable = |data_type: &&DataType| {
        data_type.is_string()
            || data_type.is_numeric()
            || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
    };
    let is_convertible = match format {
        // The file is text.
        TableFormat::Csv { .. } => return Some(DataType::Utf8),
        TableFormat::Parquet => all.iter().any(is_text) && all.iter().all(is_printable),
        _ => all.iter().all(is_text),
    };
    let widest = [DataType::Utf8View, DataType::LargeUtf8].into_iter().find(|wide| all.contains(&wide));
    is_convertible.then(|| widest.unwrap_or(DataType::Utf8))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;
    use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

    use super::*;

    const JSON: TableFormat = TableFormat::Json(FileCompressionType::UNCOMPRESSED);

    #[test]
    fn types_are_widened_in_both_orders() {
        use DataType::*;
        let list = |data_type| DataType::new_list(data_type, true);
        for (left, right, expected) in [
            (Int32, Int64, Some(Int64)),
            (UInt8, UInt32, Some(UInt32)),
            (UInt8, Int8, Some(Int16)),
            (UInt32, Int8, Some(Int64)),
            (UInt64, Int64, Some(Decimal128(20, 0))),
            (Int16, Float32, Some(Float32)),
            (Int32, Float32, Some(Float64)),
            (Float16, Float32, Some(Float32)),
            (Decimal128(5, 2), Int64, Some(Decimal128(21, 2))),
            (Decimal128(38, 2), Decimal128(10, 8), Some(Decimal256(44, 8))),
            (Decimal128(5, 2), Float32, Some(Float64)),
            (Null, Boolean, Some(Boolean)),
            (Date32, Timestamp(TimeUnit::Second, None), Some(Timestamp(TimeUnit::Second, None))),
            (
                Timestamp(TimeUnit::Microsecond, None),
                Timestamp(TimeUnit::Second, None),
                Some(Timestamp(TimeUnit::Microsecond, None)),
            ),
            (Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Second, Some("UTC".into())), None),
            (Utf8, Utf8View, Some(Utf8View)),
            (Int32, Utf8View, Some(Utf8View)),
            (Binary, BinaryView, Some(BinaryView)),
            (FixedSizeBinary(4), Binary, Some(Binary)),
            (Binary, Utf8, None),
            (Boolean, Int32, None),
            (list(Int32), list(Float64), Some(list(Float64))),
            (list(Int32), Int32, None),
            (Dictionary(Box::new(Int8), Box::new(Utf8)), Utf8, Some(Utf8)),
            (Dictionary(Box::new(Int8), Box::new(Utf8)), Dictionary(Box::new(Int32), Box::new(Utf8)), Some(Utf8)),
        ] {
            assert_eq!(common_type(TableFormat::Parquet, &left, &right), expected, "{left} and {right}");
            assert_eq!(common_type(TableFormat::Parquet, &right, &left), expected, "{right} and {left}");
        }
    }

    #[test]
    fn readers_differ_in_what_they_convert() {
        use DataType::{Boolean, Float64, Int64, Utf8};
        let csv = TableFormat::Csv { delimiter: b',', compression: FileCompressionType::UNCOMPRESSED };
        for (left, right, expected) in [
            (Int64, Float64, [Some(Float64), Some(Float64), Some(Float64), None]),
            (Int64, Utf8, [Some(Utf8), None, Some(Utf8), None]),
            (Int64, Boolean, [Some(Utf8), None, None, None]),
        ] {
            let found =
                [csv, JSON, TableFormat::Parquet, TableFormat::Arrow].map(|format| common_type(format, &left, &right));
            assert_eq!(found, expected, "{left} and {right}");
        }
    }

    #[test]
    fn structs_have_the_fields_of_both() {
        let fields = |fields: &[(&str, DataType)]| -> DataType {
            DataType::Struct(
                fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect(),
            )
        };
        let left = fields(&[("a", DataType::Int64), ("b", DataType::Utf8)]);
        let right = fields(&[("c", DataType::Boolean), ("a", DataType::Float64)]);
        let expected = fields(&[("a", DataType::Float64), ("b", DataType::Utf8), ("c", DataType::Boolean)]);
        assert_eq!(common_type(JSON, &left, &right), Some(expected));
        assert_eq!(common_type(JSON, &left, &fields(&[("b", DataType::Int64)])), None);
    }
}
