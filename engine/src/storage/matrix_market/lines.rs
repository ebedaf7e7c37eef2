//! [`Lines`]: the lines of a text that comes in pieces of any length, and the words and numbers in them.

use std::fmt;

/// Matrix Market allows 1024 bytes. A text without line ends must not fill the memory.
const MAX_LINE: usize = 64 << 10;
/// Of what was found; a binary file has no line ends to cut it.
const MAX_SHOWN: usize = 40;

/// What is wrong with a text, as one sentence with the number of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(super) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for String {
    fn from(error: Malformed) -> Self {
        error.0
    }
}

/// One line, without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1, as editors count.
    number: u64,
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Whether there is nothing to read: the line is empty or a comment.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.text.trim_ascii_start().first(), None | Some(b'%'))
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.text;
        std::iter::from_fn(move || Some(word(&mut rest)).filter(|word| !word.is_empty()))
    }

    #[cold]
    pub(super) fn malformed(&self, expected: impl fmt::Display, found: &[u8]) -> Malformed {
        self.wrong(format_args!("expected {expected}, found {}", shown(found)))
    }

    #[cold]
    pub(super) fn wrong(&self, what: impl fmt::Display) -> Malformed {
        Malformed(format!("line {}: {what}", self.number))
    }
}

/// Cuts pieces at their line ends, and keeps the beginning of a line until its end comes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Lines that were handed out.
    count: u64,
    /// The line that a piece ended in.
    begun: Vec<u8>,
    /// Whether that one was handed out.
    is_over: bool,
}

impl Lines {
    /// The next line that ends in these bytes, which are left behind. None when they are used up.
    pub(super) fn next<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Result<Option<Line<'a>>, Malformed> {
        if self.is_over {
            self.begun.clear();
            self.is_over = false;
        }
        let all: &'b [u8] = bytes;
        let end = all.iter().position(|byte| *byte == b'\n');
        let (text, rest) = match end {
            Some(end) => (&all[..end], &all[end + 1..]),
            None => (all, &[][..]),
        };
        let number = self.count + 1;
        if self.begun.len() + text.len() > MAX_LINE {
            let line = Line { number, text };
            return Err(line.wrong(format_args!("expected at most {MAX_LINE} bytes, found more")));
        }
        *bytes = rest;
        if end.is_none() || !self.begun.is_empty() {
            self.begun.extend_from_slice(text);
        }
        if end.is_none() {
            return Ok(None);
        }
        self.count = number;
        self.is_over = true;
        Ok(Some(Line { number, text: if self.begun.is_empty() { text } else { &self.begun } }))
    }

    /// Whether nothing has come at all.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.begun.is_empty()
    }
}

/// Takes the next word off a line; empty when there is none.
pub(super) fn word<'a>(line: &mut &'a [u8]) -> &'a [u8] {
    let text = line.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    *line = rest;
    word
}

/// Takes the next word off a line, and the whole number in it, when it is one and fits.
pub(super) fn whole_word<'a>(line: &mut &'a [u8]) -> (&'a [u8], Option<i64>) {
    let text = line.trim_ascii_start();
    let (mut number, mut end) = (0_i64, 0);
    while let Some(byte) = text.get(end)
        && byte.is_ascii_digit()
    {
        number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
        end += 1;
    }
    // So many digits cannot overflow, and nearly all numbers are that short.
    if (1..=18).contains(&end) && text.get(end).is_none_or(u8::is_ascii_whitespace) {
        let (word, rest) = text.split_at(end);
        *line = rest;
        return (word, Some(number));
    }
    let word = word(line);
    (word, integer(word))
}

/// A whole number, when it is one and fits.
pub(super) fn integer(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A number with a point or an exponent, or without; `inf` and `nan` are some.
pub(super) fn real(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// What was found, for a sentence: whole numbers as they are, all else in quotes and cut.
fn shown(found: &[u8]) -> String {
    let found = found.trim_ascii();
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let text = String::from_utf8_lossy(found);
    let number = text.strip_prefix('-').unwrap_or(&text);
    if number.len() <= MAX_SHOWN && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.into_owned();
    }
    let plain = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    let mut cut: String = text.chars().take(MAX_SHOWN).map(plain).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        cut.push('…');
    }
    format!("'{cut}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Result<Vec<(u64, String)>, Malformed> {
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
    fn lines_end_wherever_pieces_do() {
        let all = vec![(1, "a b".to_owned()), (2, String::new()), (3, "c\r".to_owned())];
        assert_eq!(lines(&[b"a b\n\nc\r\nrest"]), Ok(all.clone()));
        assert_eq!(lines(&[b"a", b" ", b"b\n", b"", b"\n", b"c", b"\r\n", b"re", b"st"]), Ok(all));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let wrong = Err(Malformed("line 2: expected at most 65536 bytes, found more".to_owned()));
        let long = [b' '; MAX_LINE];
        assert_eq!(lines(&[b"\n", &long, b"\n"]), Ok(vec![(1, String::new()), (2, " ".repeat(MAX_LINE))]));
        assert_eq!(lines(&[b"\n", &long, b"  \n"]), wrong);
        assert_eq!(lines(&[&[b"\n", &long[..], b" \n"].concat()]), wrong);
    }

    #[test]
    fn whole_numbers() {
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
                assert_eq!(whole_word(&mut rest), (text.as_bytes(), number), "{text}");
            }
            assert_eq!(whole_word(&mut rest), (&b"6"[..], Some(6)), "{text}");
            assert_eq!(whole_word(&mut rest), (&b""[..], None), "{text}");
        }
    }

    #[test]
    fn what_was_found_is_cut_and_made_printable() {
        for (found, text) in [
            (&b"  "[..], "nothing"),
            (b"-12\r", "-12"),
            (b"1.5", "'1.5'"),
            (b"\x1f\x8b\x08\x00", "'\u{fffd}\u{fffd}\u{fffd}\u{fffd}'"),
            (&[b'7'; 41], "'7777777777777777777777777777777777777777…'"),
        ] {
            assert_eq!(shown(found), text);
        }
    }
}
