//! [`orientation`]: how an image is to be turned for display, from its EXIF or XMP data.

use image::ImageFormat;
use image::metadata::Orientation;

use super::metadata::Metadata;
use super::tiff::ByteOrder;

/// The orientation of an image, as Pillow's `Image.getexif` and `ImageOps.exif_transpose` find it.
///
/// The EXIF tag takes precedence; XMP counts if the tag is absent. Invalid data and values are ignored.
pub(super) fn orientation(bytes: &[u8], format: ImageFormat) -> Orientation {
    let value = match format {
        ImageFormat::Tiff => Directory::read(bytes).and_then(|directory| directory.orientation(directory.xmp)),
        _ => {
            let Metadata { exif, xmp } = Metadata::new(bytes, format);
            let exif = exif.as_deref().map(without_prefix).unwrap_or_default();
            match Directory::read(exif) {
                Some(directory) => directory.orientation(xmp.as_deref()),
                // Pillow does not read XMP after EXIF data that are not TIFF.
                None if !exif.is_empty() => None,
                None => xmp.as_deref().and_then(xmp_orientation),
            }
        }
    };
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// EXIF data after the prefix, which some programs write twice and others not at all.
fn without_prefix(exif: &[u8]) -> &[u8] {
    const PREFIX: &[u8] = b"Exif\0\0";
    let once = exif.strip_prefix(PREFIX).unwrap_or(exif);
    once.strip_prefix(PREFIX).unwrap_or(once)
}

/// The value in `tiff:Orientation="6"` or `<tiff:Orientation>6</tiff:Orientation>`: the first that is a digit.
fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    while let Some(start) = rest.windows(NAME.len()).position(|window| window == NAME) {
        rest = &rest[start + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"));
        if let Some(digit) = value.and_then(|value| value.first()).filter(|digit| digit.is_ascii_digit()) {
            return Some(digit - b'0');
        }
    }
    None
}

/// What the first directory of TIFF data says about the orientation.
struct Directory<'a> {
    /// The tag `Orientation`: `Some(None)` if it is present without a usable value.
    tag: Option<Option<u8>>,
    /// The tag with the XMP data of a TIFF file.
    xmp: Option<&'a [u8]>,
}

impl<'a> Directory<'a> {
    /// Reads the directory up to the first entry that is truncated, as Pillow does. `None` if the header is not that of TIFF data.
    fn read(data: &'a [u8]) -> Option<Self> {
        const ORIENTATION: u64 = 274;
        const XMP: u64 = 700;
        let numbers = match data.first_chunk::<2>()? {
            b"II" => Numbers { data, order: ByteOrder::Little },
            b"MM" => Numbers { data, order: ByteOrder::Big },
            _ => return None,
        };
        // Bytes of an offset, where the directory starts, and its number of entries.
        let (word, start, entries) = match numbers.get(2, 2)? {
            // Pillow accepts the bytes of the number in the wrong order.
            42 | 0x2a00 => {
                let start = numbers.get(4, 4)?;
                (4, start, numbers.get(start, 2))
            }
            43 => {
                let start = numbers.get(8, 8)?;
                (8, start, numbers.get(start, 8))
            }
            _ => return None,
        };
        let mut directory = Self { tag: None, xmp: None };
        let entry_bytes = 4 + 2 * word;
        let mut entry = start.saturating_add(if word == 4 { 2 } else { 8 });
        let mut total = 0_u64;
        for _ in 0..entries.unwrap_or(0) {
            let Some(tag) = numbers.bytes(entry, entry_bytes).and_then(|_| numbers.get(entry, 2)) else { break };
            let (Some(kind), Some(count)) = (numbers.get(entry + 2, 2), numbers.get(entry + 4, word)) else { break };
            let inline = entry + 4 + word;
            entry += entry_bytes;
            let Some(unit) = unit_bytes(kind) else { continue };
            let length = count.saturating_mul(unit);
            let offset = if length <= word {
                inline
            } else {
                // Values that cannot all be in the file are skipped.
                total = total.saturating_add(length);
                if total > data.len() as u64 {
                    continue;
                }
                let Some(offset) = numbers.get(inline, word) else { break };
                offset
            };
            let Some(value) = numbers.bytes(offset, length) else { break };
            if value.is_empty() {
                continue;
            }
            if tag == ORIENTATION && directory.tag.is_none() {
                let first = value.get(..unit as usize).unwrap_or(value);
                directory.tag = Some(integer(kind, first, numbers.order).and_then(|number| u8::try_from(number).ok()));
            } else if tag == XMP && directory.xmp.is_none() && unit == 1 {
                directory.xmp = Some(value);
            }
        }
        Some(directory)
    }

    fn orientation(&self, xmp: Option<&[u8]>) -> Option<u8> {
        self.tag.unwrap_or_else(|| xmp.and_then(xmp_orientation))
    }
}

/// Types of TIFF values that are numbers.
const SHORT: u64 = 3;
const LONG: u64 = 4;
const RATIONAL: u64 = 5;
const SIGNED_BYTE: u64 = 6;
const SIGNED_SHORT: u64 = 8;
const SIGNED_LONG: u64 = 9;
const SIGNED_RATIONAL: u64 = 10;
const FLOAT: u64 = 11;
const DOUBLE: u64 = 12;
const IFD: u64 = 13;
const LONG8: u64 = 16;

/// The positive integer that a value equals: 6.0 and 12/2 are 6 for Pillow, whereas a byte is a text.
fn integer(kind: u64, bytes: &[u8], order: ByteOrder) -> Option<u64> {
    // A negative integer is a large number here, which is no orientation.
    let number = || order.number(bytes);
    let real = match kind {
        SHORT | LONG | SIGNED_BYTE | SIGNED_SHORT | SIGNED_LONG | IFD | LONG8 => return Some(number()),
        FLOAT => f64::from(f32::from_bits(number() as u32)),
        DOUBLE => f64::from_bits(number()),
        RATIONAL | SIGNED_RATIONAL => {
            let (numerator, denominator) = bytes.split_at_checked(4)?;
            let value = |bytes: &[u8]| match kind {
                RATIONAL => f64::from(order.number(bytes) as u32),
                _ => f64::from(order.number(bytes) as u32 as i32),
            };
            // Exact if the fraction is an integer.
            value(numerator) / value(denominator)
        }
        _ => return None,
    };
    // The fraction of NaN and of infinity is NaN.
    (real.fract() == 0.0 && real > 0.0 && real < 256.0).then_some(real as u64)
}

/// The bytes of an element of a TIFF type. Pillow ignores the other types.
fn unit_bytes(kind: u64) -> Option<u64> {
    match kind {
        1 | 2 | SIGNED_BYTE | 7 => Some(1),
        SHORT | SIGNED_SHORT => Some(2),
        LONG | SIGNED_LONG | FLOAT | IFD => Some(4),
        RATIONAL | SIGNED_RATIONAL | DOUBLE | LONG8 => Some(8),
        _ => None,
    }
}

/// Numbers in the byte order of TIFF data.
struct Numbers<'a> {
    data: &'a [u8],
    order: ByteOrder,
}

impl<'a> Numbers<'a> {
    fn bytes(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let end = offset.checked_add(length)?;
        self.data.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    }

    /// An unsigned number of at most 8 bytes.
    fn get(&self, offset: u64, length: u64) -> Option<u64> {
        Some(self.order.number(self.bytes(offset, length)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a little-endian directory, with its value or offset.
    fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value].concat()
    }

    fn tiff(entries: &[Vec<u8>]) -> Vec<u8> {
        [&b"II*\0\x08\0\0\0"[..], &(entries.len() as u16).to_le_bytes(), &entries.concat(), &[0; 4]].concat()
    }

    fn short(value: u8) -> Vec<u8> {
        entry(274, 3, 1, [value, 0, 0, 0])
    }

    /// A JPEG file without pixels.
    fn jpeg(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        let names: [&[u8]; 2] = [b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"];
        for (name, data) in names.into_iter().zip([exif, xmp]) {
            let Some(data) = data else { continue };
            file.extend([0xff, 0xe1]);
            file.extend(((name.len() + data.len()) as u16 + 2).to_be_bytes());
            file.extend(name);
            file.extend(data);
        }
        file.extend([0xff, 0xda]);
        file
    }

    const XMP: &[u8] = b"<x tiff:Orientation=\"6\"/>";

    fn of_jpeg(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> u8 {
        orientation(&jpeg(exif, xmp), ImageFormat::Jpeg).to_exif()
    }

    #[test]
    fn the_tag_takes_precedence() {
        assert_eq!(of_jpeg(Some(&tiff(&[short(8)])), Some(XMP)), 8);
        for value in [0, 1, 9] {
            assert_eq!(of_jpeg(Some(&tiff(&[short(value)])), Some(XMP)), 1, "{value} in EXIF");
        }
        assert_eq!(of_jpeg(Some(&tiff(&[])), Some(XMP)), 6);
        assert_eq!(of_jpeg(Some(b""), Some(XMP)), 6);
        assert_eq!(of_jpeg(None, Some(XMP)), 6);
        assert_eq!(of_jpeg(None, None), 1);
        assert_eq!(of_jpeg(Some(b"not TIFF"), Some(XMP)), 1);
        assert_eq!(of_jpeg(Some(b"II*\0"), Some(XMP)), 1);
    }

    #[test]
    fn a_prefix_may_be_repeated() {
        assert_eq!(of_jpeg(Some(&[&b"Exif\0\0"[..], &tiff(&[short(6)])].concat()), None), 6);
        assert_eq!(of_jpeg(Some(&[&b"Exif\0\0Exif\0\0"[..], &tiff(&[short(6)])].concat()), None), 1);
    }

    #[test]
    fn xmp_is_text() {
        let cases: [(&[u8], Option<u8>); 7] = [
            (b"<tiff:Orientation>3</tiff:Orientation>", Some(3)),
            (b"tiff:Orientation=\"90\"", Some(9)),
            (b"tiff:Orientation=\"left\" tiff:Orientation=\"8\"", Some(8)),
            (b"tiff:Orientation='6'", None),
            (b"tiff:Orientation=\"", None),
            (b"tiff:Orientation", None),
            (b"tiff:Orient", None),
        ];
        for (xmp, expected) in cases {
            assert_eq!(xmp_orientation(xmp), expected, "{}", String::from_utf8_lossy(xmp));
        }
        assert_eq!(of_jpeg(None, Some(b"tiff:Orientation=\"9\"")), 1);
    }

    #[test]
    fn integers_of_all_types_are_read() {
        for kind in [3, 4, 6, 8, 9, 13] {
            assert_eq!(of_jpeg(Some(&tiff(&[entry(274, kind, 1, [6, 0, 0, 0])])), None), 6, "type {kind}");
        }
        assert_eq!(of_jpeg(Some(&tiff(&[entry(274, 3, 2, [6, 0, 1, 0])])), None), 6);
        // Bytes and texts are present, but no numbers; types that do not exist are ignored.
        for (kind, expected) in [(1, 1), (2, 1), (7, 1), (99, 6)] {
            let exif = tiff(&[entry(274, kind, 1, [8, 0, 0, 0])]);
            assert_eq!(of_jpeg(Some(&exif), Some(XMP)), expected, "type {kind}");
        }
        let several = [tiff(&[entry(274, 3, 3, [26, 0, 0, 0])]), vec![6, 0, 1, 0, 1, 0]].concat();
        assert_eq!(of_jpeg(Some(&several), None), 6);
    }

    #[test]
    fn reals_that_are_integers_are_read() {
        let long = |kind: u16, value: &[u8]| {
            let exif = [tiff(&[entry(274, kind, 1, [26, 0, 0, 0])]), value.to_vec()].concat();
            of_jpeg(Some(&exif), Some(XMP))
        };
        let fraction = |numerator: i32, denominator: i32| [numerator.to_le_bytes(), denominator.to_le_bytes()].concat();
        for kind in [5, 10] {
            assert_eq!(long(kind, &fraction(8, 1)), 8);
            assert_eq!(long(kind, &fraction(16, 2)), 8);
            for (numerator, denominator) in [(17, 2), (8, 0), (0, 0), (0, 1), (-8, 1), (i32::MAX, i32::MAX - 1)] {
                assert_eq!(
                    long(kind, &fraction(numerator, denominator)),
                    1,
                    "{numerator}/{denominator} of type {kind}"
                );
            }
        }
        assert_eq!(long(10, &fraction(-16, -2)), 8);
        for (value, expected) in
            [(8.0, 8), (8.5, 1), (0.0, 1), (-8.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (264.0, 1)]
        {
            assert_eq!(long(12, &value.to_le_bytes()), expected, "{value}");
            let exif = tiff(&[entry(274, 11, 1, (value as f32).to_le_bytes())]);
            assert_eq!(of_jpeg(Some(&exif), Some(XMP)), expected, "{value}");
        }
        assert_eq!(long(12, &8.000_000_1_f64.to_le_bytes()), 1);
    }

    #[test]
    fn reading_ends_where_the_data_are_truncated() {
        let exif = tiff(&[short(6)]);
        for end in 0..exif.len() {
            let is_complete = end >= 22;
            assert_eq!(of_jpeg(Some(&exif[..end]), None), if is_complete { 6 } else { 1 }, "{end} bytes");
        }
        let beyond = tiff(&[entry(271, 2, 10, 5000_u32.to_le_bytes()), short(6)]);
        assert_eq!(of_jpeg(Some(&beyond), None), 1, "a value beyond the end");
        let long = tiff(&[entry(271, 2, 5000, [38, 0, 0, 0]), short(6)]);
        assert_eq!(of_jpeg(Some(&long), None), 6, "a value longer than the file");
        assert_eq!(of_jpeg(Some(&tiff(&[short(6), short(1)])), None), 6, "the first of two");
    }

    #[test]
    fn tiff_files_have_tags() {
        let of = |file: &[u8]| orientation(file, ImageFormat::Tiff).to_exif();
        assert_eq!(of(&tiff(&[short(5)])), 5);
        assert_eq!(of(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x07\0\0\0\0\0\0"), 7);
        let xmp = [tiff(&[entry(700, 1, XMP.len() as u32, [26, 0, 0, 0])]), XMP.to_vec()].concat();
        assert_eq!(of(&xmp), 6);
        let both = [tiff(&[short(1), entry(700, 7, XMP.len() as u32, [38, 0, 0, 0])]), XMP.to_vec()].concat();
        assert_eq!(of(&both), 1);
        let big =
            b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0";
        assert_eq!(of(big), 6);
        assert_eq!(of(b"II*\0\xff\xff\xff\xff"), 1);
        assert_eq!(orientation(XMP, ImageFormat::Gif), Orientation::NoTransforms);
    }
}
