//! [`png_text`] reads the text chunks of a PNG file that programs use for metadata; [`TextBudget`] limits them.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use flate2::bufread::ZlibDecoder;

/// The bytes before and after the first zero.
pub(super) fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The text of a PNG chunk, from the bytes after its keyword. `None` if it does not inflate to a text of at most 1 MiB.
pub(super) fn png_text(kind: [u8; 4], bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    match stored_text(kind, bytes)? {
        Stored::Plain(text) => Some(text.into()),
        Stored::Compressed(text) => inflate(text).map(Cow::Owned),
    }
}

enum Stored<'a> {
    Plain(&'a [u8]),
    /// With zlib.
    Compressed(&'a [u8]),
}

/// The text or color profile of a PNG chunk, from the bytes after its keyword.
fn stored_text(kind: [u8; 4], bytes: &[u8]) -> Option<Stored<'_>> {
    match &kind {
        b"tEXt" => Some(Stored::Plain(bytes)),
        b"zTXt" | b"iCCP" => match bytes.split_first()? {
            (0, compressed) => Some(Stored::Compressed(compressed)),
            _ => None,
        },
        // Whether it is compressed, the method, the language, and the translated keyword.
        b"iTXt" => {
            let (&[is_compressed, method], rest) = bytes.split_first_chunk::<2>()?;
            let (_, rest) = split_at_zero(rest)?;
            let (_, text) = split_at_zero(rest)?;
            match (is_compressed, method) {
                (0, _) => Some(Stored::Plain(text)),
                (_, 0) => Some(Stored::Compressed(text)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A longer text is not metadata, but fills the memory. Pillow has the same limits.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Of all texts of a file.
const MAX_TOTAL_BYTES: u64 = 64 << 20;

/// The lengths of the texts and color profiles of a PNG file, which may inflate to a thousand times the file.
#[derive(Debug, Default)]
pub(super) struct TextBudget {
    total: u64,
}

impl TextBudget {
    /// Adds the length of a chunk, if it is a text or a profile. Those that are damaged are not read, but cost time.
    ///
    /// # Errors
    /// The reason why the file is rejected, as by Pillow: a chunk, or all of them, inflate to too many bytes.
    pub(super) fn add(&mut self, kind: [u8; 4], content: &[u8]) -> Result<(), String> {
        let stored = split_at_zero(content).and_then(|(_, bytes)| stored_text(kind, bytes));
        let (len, is_compressed) = match stored {
            Some(Stored::Plain(text)) => (text.len() as u64, false),
            Some(Stored::Compressed(text)) => (inflate_start(text).0.len() as u64, true),
            None => return Ok(()),
        };
        if is_compressed && len > MAX_TEXT_BYTES {
            let name = String::from_utf8_lossy(&kind);
            return Err(format!("its chunk {name} inflates to more than 1 MiB; write the file without it"));
        }
        self.total += len;
        if self.total > MAX_TOTAL_BYTES {
            return Err("its texts have more than 64 MiB; write the file without them".to_owned());
        }
        Ok(())
    }
}

/// The text of zlib data, or what there is of it if they are truncated.
fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let (text, result) = inflate_start(compressed);
    let is_damaged = result.is_err_and(|error| error.kind() != ErrorKind::UnexpectedEof);
    (!is_damaged && text.len() as u64 <= MAX_TEXT_BYTES).then_some(text)
}

/// What zlib data inflate to, up to the first error, or one byte more than a text may have.
fn inflate_start(compressed: &[u8]) -> (Vec<u8>, io::Result<usize>) {
    let mut text = Vec::new();
    let result = ZlibDecoder::new(compressed).take(MAX_TEXT_BYTES + 1).read_to_end(&mut text);
    (text, result)
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
    fn chunks_that_inflate_to_too_many_bytes_are_rejected() {
        let zeros = |len: usize| deflate(&vec![0; len]);
        let add = |budget: &mut TextBudget, kind: &[u8; 4], start: &[u8], compressed: &[u8]| {
            budget.add(*kind, &[&b"name\0"[..], start, compressed].concat())
        };
        let starts: [(&[u8; 4], &[u8]); 3] = [(b"iCCP", b"\0"), (b"zTXt", b"\0"), (b"iTXt", b"\x01\0\0\0")];
        for (kind, start) in starts {
            let mut budget = TextBudget::default();
            assert_eq!(add(&mut budget, kind, start, &zeros(1 << 20)), Ok(()));
            assert_eq!(budget.total, 1 << 20);
            let error = add(&mut budget, kind, start, &zeros((1 << 20) + 1)).unwrap_err();
            let name = String::from_utf8_lossy(kind);
            assert_eq!(error, format!("its chunk {name} inflates to more than 1 MiB; write the file without it"));
        }
        let mut budget = TextBudget::default();
        assert_eq!(add(&mut budget, b"tEXt", b"", &vec![b' '; 63 << 20]), Ok(()));
        assert_eq!(add(&mut budget, b"zTXt", b"\0", &zeros(1 << 20)), Ok(()));
        let error = "its texts have more than 64 MiB; write the file without them".to_owned();
        assert_eq!(add(&mut budget, b"tEXt", b"", b"x"), Err(error));
    }

    #[test]
    fn other_chunks_have_no_texts() {
        let mut budget = TextBudget::default();
        let bomb = deflate(&vec![0; 2 << 20]);
        let chunks: [(&[u8; 4], &[u8]); 3] =
            [(b"abCd", b"name\0\0"), (b"iCCP", b"name\0\x01"), (b"zTXt", b"name\0\0damaged")];
        for (kind, content) in chunks {
            let bytes = if content.ends_with(b"damaged") { content.to_vec() } else { [content, &bomb].concat() };
            assert_eq!(budget.add(*kind, &bytes), Ok(()), "{}", String::from_utf8_lossy(content));
        }
        assert_eq!(budget.total, 0);
        assert_eq!(budget.add(*b"tEXt", &[b"name\0".to_vec(), vec![b' '; 2 << 20]].concat()), Ok(()), "not compressed");
        assert_eq!(budget.total, 2 << 20);
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
