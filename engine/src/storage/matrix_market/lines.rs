//! [`Lines`]: splits chunks of any size into lines, and parses their tokens.

use std::fmt;

/// Matrix Market allows 1024 bytes. A file without line ends must not fill the memory.
const MAX_LINE: usize = 64 << 10;
/// The largest excerpt in messages: binary files have no line ends.
const MAX_DISPLAYED: usize = 40;

/// A parse error: a message with the line number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError(pub(super) String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for String {
    fn from(error: ParseError) -> Self {
        error.0
    }
}

/// One line, without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// One-based, as in editors.
    number: u64,
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Whether the line is blank or a comment.
    pub(super) fn is_blank_or_comment(&self) -> bool {
        matches!(self.text.trim_ascii_start().first(), None | Some(b'%'))
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.text;
        std::iter::from_fn(move || Some(token(&mut rest)).filter(|token| !token.is_empty()))
    }

    #[cold]
    pub(super) fn malformed(&self, expected: impl fmt::Display, found: &[u8]) -> ParseError {
        self.wrong(format_args!("expected {expected}, found {}", display_found(found)))
    }

    #[cold]
    pub(super) fn wrong(&self, what: impl fmt::Display) -> ParseError {
        ParseError(format!("line {}: {what}", self.number))
    }
}

/// Splits chunks at line ends, and buffers the start of an incomplete line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The number of returned lines.
    count: u64,
    /// The start of the line in which the last chunk ended.
    partial: Vec<u8>,
    /// Whether `partial` has been returned.
    is_returned: bool,
}

impl Lines {
    /// The next line that ends in the bytes, which are advanced past it. `None` if they are used up.
    pub(super) fn next<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Result<Option<Line<'a>>, ParseError> {
        if self.is_returned {
            self.partial.clear();
            self.is_returned = false;
        }
        let all: &'b [u8] = bytes;
        let end = all.iter().position(|byte| *byte == b'\n');
        let (text, rest) = match end {
            Some(end) => (&all[..end], &all[end + 1..]),
            None => (all, &[][..]),
        };
        let number = self.count + 1;
        if self.partial.len() + text.len() > MAX_LINE {
            let line = Line { number, text };
            return Err(line.wrong(format_args!("expected at most {MAX_LINE} bytes, found more")));
        }
        *bytes = rest;
        if end.is_none() || !self.partial.is_empty() {
            self.partial.extend_from_slice(text);
        }
        if end.is_none() {
            return Ok(None);
        }
        self.count = number;
        self.is_returned = true;
        Ok(Some(Line { number, text: if self.partial.is_empty() { text } else { &self.partial } }))
    }

    /// Whether the input was empty so far.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.partial.is_empty()
    }
}

/// Consumes the next token of a line; empty at its end.
pub(super) fn token<'a>(line: &mut &'a [u8]) -> &'a [u8] {
    let text = line.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    *line = rest;
    token
}

/// Consumes the next token of a line, and parses it as a 64-bit integer.
pub(super) fn integer_token<'a>(line: &mut &'a [u8]) -> (&'a [u8], Option<i64>) {
    let text = line.trim_ascii_start();
    let (mut number, mut end) = (0_i64, 0);
    while let Some(byte) = text.get(end)
        && byte.is_ascii_digit()
    {
        number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
        end += 1;
    }
    // Up to 18 digits cannot overflow; nearly all integers are that short.
    if (1..=18).contains(&end) && text.get(end).is_none_or(u8::is_ascii_whitespace) {
        let (token, rest) = text.split_at(end);
        *line = rest;
        return (token, Some(number));
    }
    let token = token(line);
    (token, integer(token))
}

/// Parses a 64-bit integer.
pub(super) fn integer(token: &[u8]) -> Option<i64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Parses an unsigned 64-bit integer.
pub(super) fn unsigned_integer(token: &[u8]) -> Option<u64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Parses a floating-point number; `inf` and `nan` are allowed.
pub(super) fn real(token: &[u8]) -> Option<f64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// An excerpt for messages: integers as they are, anything else quoted and truncated.
fn display_found(found: &[u8]) -> String {
    let found = found.trim_ascii();
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let text = String::from_utf8_lossy(found);
    let number = text.strip_prefix('-').unwrap_or(&text);
    if number.len() <= MAX_DISPLAYED && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.into_owned();
    }
    let printable = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    let mut excerpt: String = text.chars().take(MAX_DISPLAYED).map(printable).collect();
    if text.chars().nth(MAX_DISPLAYED).is_some() {
        excerpt.push('…');
    }
    format!("'{excerpt}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Result<Vec<(u64, String)>, ParseError> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while let Some(line) = lines.next(&mut rest)? {
                found.push((line.number, String::from_utf8_lossy(line.text).into_owned()));
            }
        }
        Ok(found)
    }

    #[test]
    fn lines_span_chunks() {
        let all = vec![(1, "a b".to_owned()), (2, String::new()), (3, "c\r".to_owned())];
        assert_eq!(lines(&[b"a b\n\nc\r\nrest"]), Ok(all.clone()));
        assert_eq!(lines(&[b"a", b" ", b"b\n", b"", b"\n", b"c", b"\r\n", b"re", b"st"]), Ok(all));
    }

    #[test]
    fn an_overlong_line_is_rejected() {
        let wrong = Err(ParseError("line 2: expected at most 65536 bytes, found more".to_owned()));
        let long = [b' '; MAX_LINE];
        assert_eq!(lines(&[b"\n", &long, b"\n"]), Ok(vec![(1, String::new()), (2, " ".repeat(MAX_LINE))]));
        assert_eq!(lines(&[b"\n", &long, b"  \n"]), wrong);
        assert_eq!(lines(&[&[b"\n", &long[..], b" \n"].concat()]), wrong);
    }

    #[test]
    fn integers() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("+5", Some(5)),
            ("-5", Some(-5)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("0000000000000000000000005", Some(5)),
            ("", None),
            ("-", None),
            ("1.0", None),
            ("1e3", None),
            ("٣", None),
        ] {
            assert_eq!(integer(text.as_bytes()), number, "{text}");
            let line = format!(" {text}\t6");
            let mut rest = line.as_bytes();
            if !text.is_empty() {
                assert_eq!(integer_token(&mut rest), (text.as_bytes(), number), "{text}");
            }
            assert_eq!(integer_token(&mut rest), (&b"6"[..], Some(6)), "{text}");
            assert_eq!(integer_token(&mut rest), (&b""[..], None), "{text}");
        }
    }

    #[test]
    fn excerpts_are_truncated_and_printable() {
        for (found, text) in [
            (&b"  "[..], "nothing"),
            (b"-12\r", "-12"),
            (b"1.5", "'1.5'"),
            (b"\x1f\x8b\x08\x00", "'\u{fffd}\u{fffd}\u{fffd}\u{fffd}'"),
            (&[b'7'; 41], "'7777777777777777777777777777777777777777…'"),
        ] {
            assert_eq!(display_found(found), text);
        }
    }
}
