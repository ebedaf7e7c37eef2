//! [`png_text`] reads the text chunks of a PNG file that programs use for metadata.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::bufread::ZlibDecoder;

/// The bytes before and after the first zero.
pub(super) fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The text of a PNG chunk, from the bytes after its keyword.
pub(super) fn png_text(kind: [u8; 4], bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    match &kind {
        b"tEXt" => Some(bytes.into()),
        b"zTXt" => match bytes.split_first()? {
            (0, compressed) => inflate(compressed).map(Cow::Owned),
            _ => None,
        },
        // Whether it is compressed, the method, the language, and the translated keyword.
        b"iTXt" => {
            let (&[is_compressed, method], rest) = bytes.split_first_chunk::<2>()?;
            let (_, rest) = split_at_zero(rest)?;
            let (_, text) = split_at_zero(rest)?;
            match (is_compressed, method) {
                (0, _) => Some(text.into()),
                (_, 0) => inflate(text).map(Cow::Owned),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A longer text is not metadata, but fills the memory.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The text of zlib data, or what there is of it if they are truncated.
fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    if let Err(error) = ZlibDecoder::new(compressed).take(MAX_TEXT_BYTES + 1).read_to_end(&mut text)
        && error.kind() != ErrorKind::UnexpectedEof
    {
        return None;
    }
    (text.len() as u64 <= MAX_TEXT_BYTES).then_some(text)
}

/// ImageMagick's form of binary data: an empty line, a name, the length, and lines of hexadecimal digits.
pub(super) fn parse_raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.splitn(4, |&byte| byte == b'\n').nth(3)?;
    let digits = lines.iter().filter(|byte| !byte.is_ascii_whitespace());
    let values: Vec<u8> = digits.map(|&digit| Some(char::from(digit).to_digit(16)? as u8)).collect::<Option<_>>()?;
    let pairs = values.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] * 16 + pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn texts_of_all_kinds_are_read() {
        let compressed = deflate(b"text");
        let cases: [(&[u8; 4], &[u8], &[u8]); 4] = [
            (b"tEXt", b"", b"text"),
            (b"zTXt", b"\0", &compressed),
            (b"iTXt", b"\0\0en\0title\0", b"text"),
            (b"iTXt", b"\x01\0\0\0", &compressed),
        ];
        for (kind, start, text) in cases {
            let content = [start, text].concat();
            assert_eq!(png_text(*kind, &content).as_deref(), Some(&b"text"[..]), "{kind:?}");
            for end in 0..start.len() {
                assert_eq!(png_text(*kind, &content[..end]), None, "{end} bytes of {kind:?}");
            }
        }
        assert_eq!(png_text(*b"zTXt", &[&b"\x01"[..], &compressed].concat()), None, "another method");
        assert_eq!(png_text(*b"iTXt", &[&b"\x01\x01\0\0"[..], &compressed].concat()), None, "another method");
        assert_eq!(png_text(*b"IDAT", b"text"), None);
    }

    #[test]
    fn texts_inflate_to_one_mebibyte_at_most() {
        for (length, is_read) in [(1 << 20, true), ((1 << 20) + 1, false), (4 << 20, false)] {
            let text = inflate(&deflate(&vec![b' '; length]));
            assert_eq!(text.is_some_and(|text| text.len() == length), is_read, "{length} bytes");
        }
    }

    #[test]
    fn damaged_texts_are_ignored_and_truncated_ones_are_read() {
        let mut compressed = deflate(b"text");
        let end = compressed.len() - 1;
        assert_eq!(inflate(&compressed[..end]).unwrap(), b"text");
        compressed[end] ^= 1;
        assert_eq!(inflate(&compressed), None, "a wrong checksum");
        assert_eq!(inflate(b"text"), None);
    }

    #[test]
    fn profiles_are_hexadecimal() {
        assert_eq!(parse_raw_profile(b"\nexif\n       3\n41\n4a4\nB\n").unwrap(), b"AJK");
        for text in [&b"\nexif\n 2\n4"[..], b"\nexif\n 2\nzz", b"\nexif\n 2", b"41", b""] {
            assert_eq!(parse_raw_profile(text), None);
        }
    }
}
