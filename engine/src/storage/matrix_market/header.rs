//! [`Header`]: the header of a Matrix Market file; [`HeaderParser`] parses it.

use super::entries::Entries;
use super::lines::{Line, Lines, ParseError, integer};

/// The storage format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One line per stored entry: row, column, value.
    Coordinate,
    /// One line per value, in column-major order.
    Array,
}

/// The type of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Real,
    Integer,
    /// Integers from 0 to 2^64 - 1. Of a skew-symmetric matrix they are [`Integer`](Self::Integer), as one of each pair is negative.
    UnsignedInteger,
    /// No values: every entry is 1.
    Pattern,
}

impl Field {
    /// The name in the first line.
    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Integer => "integer",
            Self::UnsignedInteger => "unsigned-integer",
            Self::Pattern => "pattern",
        }
    }
}

/// The symmetry: which entries are implied and not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symmetry {
    General,
    /// The mirrored entry is equal.
    Symmetric,
    /// The mirrored entry is the negative; the diagonal is zero, and usually not stored.
    SkewSymmetric,
}

/// The contents of the banner and the size line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: Format,
    pub(crate) field: Field,
    pub(crate) symmetry: Symmetry,
    pub(crate) rows: i64,
    pub(crate) columns: i64,
    /// The number of entry lines.
    pub(crate) lines: i64,
}

impl Header {
    /// The number of entries, including mirrored ones, and whether it is exact: diagonal entries are not mirrored.
    pub(crate) fn entries(&self) -> (i64, bool) {
        let both = self.lines.saturating_mul(2);
        match (self.symmetry, self.format) {
            (Symmetry::General, _) => (self.lines, true),
            (Symmetry::SkewSymmetric, Format::Array) => (both, true),
            (Symmetry::Symmetric, Format::Array) => (both.saturating_sub(self.rows), true),
            (Symmetry::Symmetric | Symmetry::SkewSymmetric, Format::Coordinate) => (both, false),
        }
    }
}

/// Parses the lines before the first entry.
#[derive(Debug, Default)]
pub(crate) struct HeaderParser {
    lines: Lines,
    banner: Option<Banner>,
}

impl HeaderParser {
    /// Consumes the header from the bytes. The rest is for the returned [`Entries`].
    ///
    /// # Errors
    /// When it is not a Matrix Market file, or an unsupported type of matrix.
    pub(crate) fn push(&mut self, bytes: &mut &[u8]) -> Result<Option<Entries>, ParseError> {
        while let Some(line) = self.lines.next(bytes)? {
            let Some(banner) = self.banner else {
                self.banner = Some(Banner::parse(&line)?);
                continue;
            };
            if !line.is_blank_or_comment() {
                let header = banner.sizes(&line)?;
                return Ok(Some(Entries::new(header, std::mem::take(&mut self.lines))));
            }
        }
        Ok(None)
    }

    /// Ends the file, possibly without a last line end.
    ///
    /// # Errors
    /// When the size line is missing.
    pub(crate) fn finish(&mut self) -> Result<Entries, ParseError> {
        if self.lines.is_empty() {
            return Err(ParseError("the file is empty".to_owned()));
        }
        let entries = self.push(&mut &b"\n"[..])?;
        entries.ok_or_else(|| ParseError("the file ends before the line with its size".to_owned()))
    }
}

/// The first line.
#[derive(Debug, Clone, Copy)]
struct Banner {
    format: Format,
    field: Field,
    symmetry: Symmetry,
}

const BANNER: &str = "'%%MatrixMarket matrix coordinate|array real|integer|pattern general|symmetric|skew-symmetric'";

impl Banner {
    fn parse(line: &Line<'_>) -> Result<Self, ParseError> {
        let other = || line.malformed(BANNER, line.text);
        let words: Vec<Vec<u8>> = line.tokens().map(<[u8]>::to_ascii_lowercase).collect();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let [b"%%matrixmarket", b"matrix", format, field, symmetry] = words.as_slice() else {
            return Err(other());
        };
        let format = match *format {
            b"coordinate" => Format::Coordinate,
            b"array" => Format::Array,
            _ => return Err(other()),
        };
        let field = match *field {
            b"real" | b"double" => Field::Real,
            b"integer" => Field::Integer,
            // Written by SciPy.
            b"unsigned-integer" => Field::UnsignedInteger,
            b"pattern" if format == Format::Array => {
                return Err(line.malformed("real or integer values in an array", b"pattern"));
            }
            b"pattern" => Field::Pattern,
            b"complex" => {
                let instead = "write the real and the imaginary part as two files";
                return Err(line.wrong(format_args!("complex matrices are not supported; {instead}")));
            }
            _ => return Err(other()),
        };
        let symmetry = match *symmetry {
            b"general" => Symmetry::General,
            b"symmetric" => Symmetry::Symmetric,
            b"skew-symmetric" => Symmetry::SkewSymmetric,
            b"hermitian" => {
                return Err(line.wrong("hermitian matrices are not supported; a real one is symmetric"));
            }
            _ => return Err(other()),
        };
        let field = match (field, symmetry) {
            (Field::UnsignedInteger, Symmetry::SkewSymmetric) => Field::Integer,
            (field, _) => field,
        };
        Ok(Self { format, field, symmetry })
    }

    fn sizes(self, line: &Line<'_>) -> Result<Header, ParseError> {
        let Self { format, field, symmetry } = self;
        let sizes_given: Option<Vec<i64>> =
            line.tokens().map(|token| integer(token).filter(|size| *size >= 0)).collect();
        let (rows, columns, lines) = match (format, sizes_given.as_deref()) {
            (Format::Coordinate, Some(&[rows, columns, lines])) => (rows, columns, Some(lines)),
            (Format::Array, Some(&[rows, columns])) => (rows, columns, values(rows, columns, symmetry)),
            (Format::Coordinate, _) => return Err(line.malformed(sizes("rows, columns and entries"), line.text)),
            (Format::Array, _) => return Err(line.malformed(sizes("rows and columns"), line.text)),
        };
        if symmetry != Symmetry::General && rows != columns {
            return Err(line.malformed("a square size for a symmetric matrix", line.text));
        }
        let lines = lines.ok_or_else(|| line.malformed(format_args!("at most {} values", i64::MAX), line.text))?;
        Ok(Header { format, field, symmetry, rows, columns, lines })
    }
}

fn sizes(of: &str) -> String {
    format!("the number of {of}, each from 0 to {}", i64::MAX)
}

/// The number of values that an array file stores.
fn values(rows: i64, columns: i64, symmetry: Symmetry) -> Option<i64> {
    let (rows, columns) = (i128::from(rows), i128::from(columns));
    let values = match symmetry {
        Symmetry::General => rows * columns,
        Symmetry::Symmetric => rows * (rows + 1) / 2,
        Symmetry::SkewSymmetric => rows * (rows - 1) / 2,
    };
    i64::try_from(values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Header, String> {
        let (mut header, mut rest) = (HeaderParser::default(), text.as_bytes());
        let entries = match header.push(&mut rest)? {
            Some(entries) => entries,
            None => header.finish()?,
        };
        Ok(*entries.header())
    }

    #[test]
    fn banners_are_read_in_any_case() {
        use {Field::*, Format::*, Symmetry::*};
        for (text, format, field, symmetry, sizes) in [
            ("%%MatrixMarket matrix coordinate real general\n3 4 5\n", Coordinate, Real, General, (3, 4, 5)),
            ("%%matrixmarket MATRIX Coordinate Double GENERAL\r\n%\r\n 3\t4 5 ", Coordinate, Real, General, (3, 4, 5)),
            (
                "%%MatrixMarket matrix coordinate pattern symmetric\n%a\n\n % b\n3 3 5",
                Coordinate,
                Pattern,
                Symmetric,
                (3, 3, 5),
            ),
            (
                "%%MatrixMarket matrix coordinate unsigned-integer general\n0 0 0",
                Coordinate,
                UnsignedInteger,
                General,
                (0, 0, 0),
            ),
            (
                "%%MatrixMarket matrix coordinate unsigned-integer skew-symmetric\n2 2 0",
                Coordinate,
                Integer,
                SkewSymmetric,
                (2, 2, 0),
            ),
            ("%%MatrixMarket matrix array integer general\n3 4\n", Array, Integer, General, (3, 4, 12)),
            ("%%MatrixMarket matrix array real symmetric\n4 4\n", Array, Real, Symmetric, (4, 4, 10)),
            ("%%MatrixMarket matrix array real skew-symmetric\n4 4\n", Array, Real, SkewSymmetric, (4, 4, 6)),
            ("%%MatrixMarket matrix array real skew-symmetric\n0 0\n", Array, Real, SkewSymmetric, (0, 0, 0)),
        ] {
            let (rows, columns, lines) = sizes;
            assert_eq!(read(text), Ok(Header { format, field, symmetry, rows, columns, lines }), "{text}");
        }
    }

    #[test]
    fn other_files_and_matrices_are_rejected() {
        for (text, reason) in [
            ("", "the file is empty"),
            ("\n", "line 1: expected BANNER, found nothing"),
            ("row,col\n1,2\n", "line 1: expected BANNER, found 'row,col'"),
            ("%%MatrixMarket matrix", "line 1: expected BANNER, found '%%MatrixMarket matrix'"),
            (
                "%%MatrixMarket matrix coordinate real general really\n",
                "line 1: expected BANNER, found '%%MatrixMarket matrix coordinate real ge…'",
            ),
            (
                "%%MatrixMarket vector array real general",
                "line 1: expected BANNER, found '%%MatrixMarket vector array real general'",
            ),
            (
                "%%MatrixMarket matrix csr real general",
                "line 1: expected BANNER, found '%%MatrixMarket matrix csr real general'",
            ),
            (
                "%%MatrixMarket matrix array bool general",
                "line 1: expected BANNER, found '%%MatrixMarket matrix array bool general'",
            ),
            (
                "%%MatrixMarket matrix array real upper",
                "line 1: expected BANNER, found '%%MatrixMarket matrix array real upper'",
            ),
            (
                "%%MatrixMarket matrix coordinate complex hermitian\n1 1 1\n",
                "line 1: complex matrices are not supported; write the real and the imaginary part as two files",
            ),
            (
                "%%MatrixMarket matrix coordinate real hermitian\n1 1 1\n",
                "line 1: hermitian matrices are not supported; a real one is symmetric",
            ),
            (
                "%%MatrixMarket matrix array pattern general\n1 1\n",
                "line 1: expected real or integer values in an array, found 'pattern'",
            ),
            ("%%MatrixMarket matrix array real general\n% only\n", "the file ends before the line with its size"),
            (
                "%%MatrixMarket matrix coordinate real general\n%\n3 4\n",
                "line 3: expected the number of rows, columns and entries, each from 0 to 9223372036854775807, \
                 found '3 4'",
            ),
            (
                "%%MatrixMarket matrix coordinate real general\n3 4 9223372036854775808\n",
                "line 2: expected the number of rows, columns and entries, each from 0 to 9223372036854775807, \
                 found '3 4 9223372036854775808'",
            ),
            (
                "%%MatrixMarket matrix array real general\n3 -4\n",
                "line 2: expected the number of rows and columns, each from 0 to 9223372036854775807, found '3 -4'",
            ),
            (
                "%%MatrixMarket matrix array real general\n9223372036854775807 3\n",
                "line 2: expected at most 9223372036854775807 values, found '9223372036854775807 3'",
            ),
            (
                "%%MatrixMarket matrix coordinate real symmetric\n3 4 5\n",
                "line 2: expected a square size for a symmetric matrix, found '3 4 5'",
            ),
        ] {
            assert_eq!(read(text), Err(reason.replace("BANNER", BANNER)), "{text}");
        }
    }

    #[test]
    fn entry_counts_follow_from_the_header() {
        for (text, entries) in [
            ("%%MatrixMarket matrix coordinate real general\n9 9 5\n", (5, true)),
            ("%%MatrixMarket matrix coordinate real symmetric\n9 9 5\n", (10, false)),
            ("%%MatrixMarket matrix coordinate real skew-symmetric\n9 9 5\n", (10, false)),
            ("%%MatrixMarket matrix array real symmetric\n9 9\n", (81, true)),
            ("%%MatrixMarket matrix array real skew-symmetric\n9 9\n", (72, true)),
        ] {
            assert_eq!(read(text).unwrap().entries(), entries, "{text}");
        }
    }
}
