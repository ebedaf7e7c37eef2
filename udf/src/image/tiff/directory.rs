//! [`Directory`]: the fields of the first image of a TIFF file.

use super::TiffError;

/// The numbers of the fields that are read.
pub(super) mod tag {
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const T4_OPTIONS: u16 = 292;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(crate) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(crate) const REFERENCE_BLACK_WHITE: u16 = 532;
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum ByteOrder {
    /// `II`: the low byte is first.
    Little,
    /// `MM`: the high byte is first.
    Big,
}

impl ByteOrder {
    /// The unsigned integer of up to eight bytes.
    pub(in crate::image) fn number(self, bytes: &[u8]) -> u64 {
        let append = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, append),
            Self::Big => bytes.iter().fold(0, append),
        }
    }
}

/// The first image file directory (IFD), of a TIFF or a BigTIFF file.
pub(super) struct Directory<'a> {
    pub(super) file: &'a [u8],
    pub(super) order: ByteOrder,
    is_big: bool,
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    pub(super) fn try_new(file: &'a [u8]) -> Result<Self, TiffError> {
        let order = match file.get(..2) {
            Some(b"II") => ByteOrder::Little,
            Some(b"MM") => ByteOrder::Big,
            _ => return Err(TiffError::invalid("it does not start with II or MM")),
        };
        let number = |offset, len| Ok::<u64, TiffError>(order.number(slice(file, offset, len)?));
        let is_big = match number(2, 2)? {
            42 => false,
            43 => true,
            version => return Err(TiffError::Invalid(format!("its version is {version}, not 42 or 43"))),
        };
        if is_big && number(4, 2)? != 8 {
            return Err(TiffError::invalid("its offsets do not have 8 bytes"));
        }
        let start = if is_big { number(8, 8)? } else { number(4, 4)? };
        let count = number(start, if is_big { 8 } else { 2 })?;
        let entry_bytes: u64 = if is_big { 20 } else { 12 };
        let entries_start = start.saturating_add(if is_big { 8 } else { 2 });
        let entries = slice(file, entries_start, count.saturating_mul(entry_bytes))?;
        Ok(Self { file, order, is_big, entries })
    }

    /// A field; `None` if the directory lacks it, or it has no values, or values of an unknown type. The first one counts if there are
    /// several, as in Pillow and libtiff.
    ///
    /// # Errors
    /// If its values are beyond the end of the file.
    pub(super) fn field(&self, tag: u16) -> Result<Option<Field<'a>>, TiffError> {
        let (entry_bytes, value_start) = if self.is_big { (20, 12) } else { (12, 8) };
        let read = |entry: &'a [u8]| {
            if self.order.number(&entry[..2]) != u64::from(tag) {
                return None;
            }
            let kind = self.order.number(&entry[2..4]);
            let item_bytes: u64 = match kind {
                1 | 2 | 6 | 7 => 1,
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 | 16 | 17 | 18 => 8,
                _ => return None,
            };
            let bytes = self.order.number(&entry[4..value_start]).saturating_mul(item_bytes);
            (bytes > 0).then_some((kind, item_bytes, bytes, &entry[value_start..]))
        };
        let field = self.entries.chunks_exact(entry_bytes).find_map(read);
        let Some((kind, item_bytes, bytes, value)) = field else { return Ok(None) };
        let bytes = if bytes <= value.len() as u64 {
            slice(value, 0, bytes)?
        } else {
            slice(self.file, self.order.number(value), bytes)?
        };
        Ok(Some(Field { kind, item_bytes: item_bytes as usize, bytes, order: self.order }))
    }

    /// The first value of a field.
    pub(super) fn first(&self, tag: u16) -> Result<Option<u64>, TiffError> {
        Ok(self.field(tag)?.and_then(|field| field.get(0)))
    }

    /// The first value of a field, or its default.
    pub(super) fn number(&self, tag: u16, default: u64) -> Result<u64, TiffError> {
        Ok(self.first(tag)?.unwrap_or(default))
    }
}

/// The values of a field, which are read from the file when they are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    kind: u64,
    item_bytes: usize,
    pub(super) bytes: &'a [u8],
    order: ByteOrder,
}

impl Field<'_> {
    /// The number of values.
    pub(super) fn count(&self) -> usize {
        self.bytes.len() / self.item_bytes
    }

    /// A value of an integer type.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        const RATIONAL_OR_FLOAT: [u64; 4] = [5, 10, 11, 12];
        if RATIONAL_OR_FLOAT.contains(&self.kind) { None } else { self.item(index).map(|item| self.order.number(item)) }
    }

    /// A value of a rational, float or integer type.
    pub(super) fn real(&self, index: usize) -> Option<f32> {
        match self.kind {
            5 => {
                let item = self.item(index)?;
                let (numerator, denominator) = (self.order.number(&item[..4]), self.order.number(&item[4..]));
                // As libtiff: a fraction without denominator is 0.
                Some(if denominator == 0 { 0.0 } else { (numerator as f64 / denominator as f64) as f32 })
            }
            11 => Some(f32::from_bits(self.order.number(self.item(index)?) as u32)),
            12 => Some(f64::from_bits(self.order.number(self.item(index)?)) as f32),
            _ => self.get(index).map(|value| value as f32),
        }
    }

    fn item(&self, index: usize) -> Option<&[u8]> {
        self.bytes.chunks_exact(self.item_bytes).nth(index)
    }
}

/// Bytes of a file; the numbers are those of the file, which may be wrong.
fn slice(file: &[u8], offset: u64, len: u64) -> Result<&[u8], TiffError> {
    let end = usize::try_from(offset.saturating_add(len)).map_err(|_| TiffError::Truncated)?;
    let start = usize::try_from(offset).map_err(|_| TiffError::Truncated)?;
    file.get(start..end).ok_or(TiffError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width 300 as SHORT, and two LONGs at offset 4, of a little-endian file whose directory starts at offset 8.
    const FILE: &[u8] = b"II\x2a\0\x08\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x2c\x01\0\0\x11\x01\x04\0\x02\0\0\0\x04\0\0\0";

    #[test]
    fn values_are_in_the_entry_or_at_its_offset() {
        let directory = Directory::try_new(FILE).unwrap();
        assert_eq!(directory.number(tag::IMAGE_WIDTH, 7).unwrap(), 300);
        assert_eq!(directory.number(tag::IMAGE_LENGTH, 7).unwrap(), 7);
        let offsets = directory.field(tag::STRIP_OFFSETS).unwrap().unwrap();
        assert_eq!((offsets.count(), offsets.get(0), offsets.get(2)), (2, Some(8), None));
    }

    #[test]
    fn big_tiff_has_entries_of_20_bytes() {
        let mut file = b"MM\0\x2b\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x01".to_vec();
        file.extend(b"\x01\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\0\0");
        assert_eq!(Directory::try_new(&file).unwrap().number(tag::IMAGE_WIDTH, 0).unwrap(), 65536);
    }

    #[test]
    fn the_first_field_with_values_counts() {
        // An unknown type, no values, and two fields of one value.
        let entries = [[99, 0, 1, 0, 0, 0, 1, 0, 0, 0], [3, 0, 0, 0, 0, 0, 2, 0, 0, 0], [3, 0, 1, 0, 0, 0, 3, 0, 0, 0]];
        let last = [3, 0, 1, 0, 0, 0, 4, 0, 0, 0];
        let mut file = b"II\x2a\0\x08\0\0\0\x04\0".to_vec();
        for entry in entries.iter().chain([&last]) {
            file.extend(tag::PHOTOMETRIC.to_le_bytes());
            file.extend(entry);
        }
        assert_eq!(Directory::try_new(&file).unwrap().number(tag::PHOTOMETRIC, 0).unwrap(), 3);
    }

    #[test]
    fn prefixes_are_truncated() {
        for end in 2..FILE.len() {
            assert!(matches!(Directory::try_new(&FILE[..end]), Err(TiffError::Truncated)), "{end} bytes");
        }
    }

    #[test]
    fn values_beyond_the_end_are_truncated() {
        let mut file = FILE.to_vec();
        file[30..34].copy_from_slice(&[0xff; 4]);
        let directory = Directory::try_new(&file).unwrap();
        assert!(matches!(directory.field(tag::STRIP_OFFSETS), Err(TiffError::Truncated)));
        file[26..30].copy_from_slice(&[0xff; 4]);
        let directory = Directory::try_new(&file).unwrap();
        assert!(matches!(directory.field(tag::STRIP_OFFSETS), Err(TiffError::Truncated)));
    }
}
