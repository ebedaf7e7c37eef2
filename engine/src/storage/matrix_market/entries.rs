//! [`Entries`]: parses the lines after the header into batches of entries in coordinate (COO) format.

use super::header::{Field, Format, Header, Symmetry};
use super::lines::{Line, Lines, ParseError, integer, integer_token, real, token, unsigned_integer};

/// Parses the entries from chunks of any size.
///
/// - Rows and columns count from 0, as in SciPy and GraphBLAS; in the file they count from 1.
/// - In symmetric formats the mirrored entry follows its entry.
/// - An array yields all its values, including zeros. The diagonal of a skew-symmetric array is not in the file and not returned.
/// - Explicit zeros are entries, also on the diagonal of a skew-symmetric matrix.
/// - Duplicate entries are returned as they are.
#[derive(Debug)]
pub(crate) struct Entries {
    lines: Lines,
    cursor: EntryCursor,
}

impl Entries {
    pub(super) fn new(header: Header, lines: Lines) -> Self {
        let row = if header.symmetry == Symmetry::SkewSymmetric { 1 } else { 0 };
        Self { lines, cursor: EntryCursor { header, remaining: header.lines, row, column: 0 } }
    }

    pub(crate) fn header(&self) -> &Header {
        &self.cursor.header
    }

    /// Parses entries until the bytes are used up or the batch is full.
    ///
    /// # Errors
    /// When a line is malformed.
    pub(crate) fn push(&mut self, bytes: &mut &[u8], out: &mut CooBatch) -> Result<(), ParseError> {
        while !out.is_full()
            && let Some(line) = self.lines.next(bytes)?
        {
            self.cursor.read(&line, out)?;
        }
        Ok(())
    }

    /// Ends the file: parses a last line without a line end into the batch, even if that is full.
    ///
    /// # Errors
    /// When that line is malformed, or entries are missing.
    pub(crate) fn finish(&mut self, out: &mut CooBatch) -> Result<(), ParseError> {
        if let Some(line) = self.lines.next(&mut &b"\n"[..])? {
            self.cursor.read(&line, out)?;
        }
        let promised = self.cursor.header.lines;
        match self.cursor.remaining {
            0 => Ok(()),
            remaining => Err(ParseError(format!(
                "the header announces {promised} entries, the file has {}",
                promised - remaining
            ))),
        }
    }
}

/// The position of the next line in the matrix.
#[derive(Debug)]
struct EntryCursor {
    header: Header,
    /// Remaining lines.
    remaining: i64,
    /// Row and column of the next value of an array.
    row: i64,
    column: i64,
}

impl EntryCursor {
    fn read(&mut self, line: &Line<'_>, out: &mut CooBatch) -> Result<(), ParseError> {
        if line.is_blank_or_comment() {
            return Ok(());
        }
        if self.remaining == 0 {
            let end = format_args!("the end of the file after entry {}", self.header.lines);
            return Err(line.malformed(end, line.text));
        }
        self.remaining -= 1;
        match self.header.format {
            Format::Coordinate => self.coordinate(line, out),
            Format::Array => self.array(line, out),
        }
    }

    fn coordinate(&self, line: &Line<'_>, out: &mut CooBatch) -> Result<(), ParseError> {
        let mut rest = line.text;
        let (row, column) = (integer_token(&mut rest), integer_token(&mut rest));
        let value = if self.header.field == Field::Pattern { &b"1"[..] } else { token(&mut rest) };
        if column.0.is_empty() || value.is_empty() || !token(&mut rest).is_empty() {
            let fields = match self.header.field {
                Field::Pattern => "a row and a column",
                Field::Integer | Field::UnsignedInteger | Field::Real => "a row, a column and a value",
            };
            return Err(line.malformed(fields, line.text));
        }
        let row = index(line, "row", row, self.header.rows)?;
        let column = index(line, "column", column, self.header.columns)?;
        self.entry(line, row, column, value, out)
    }

    fn array(&mut self, line: &Line<'_>, out: &mut CooBatch) -> Result<(), ParseError> {
        let mut rest = line.text;
        let value = token(&mut rest);
        if !token(&mut rest).is_empty() {
            return Err(line.malformed("one value", line.text));
        }
        let (row, column) = (self.row, self.column);
        self.row += 1;
        if self.row == self.header.rows {
            self.column += 1;
            self.row = match self.header.symmetry {
                Symmetry::General => 0,
                Symmetry::Symmetric => self.column,
                Symmetry::SkewSymmetric => self.column + 1,
            };
        }
        self.entry(line, row, column, value, out)
    }

    /// Pushes the entry of a line, and its mirrored entry.
    fn entry(
        &self,
        line: &Line<'_>,
        row: i64,
        column: i64,
        token: &[u8],
        out: &mut CooBatch,
    ) -> Result<(), ParseError> {
        let (value, negative) = match self.header.field {
            Field::Real => {
                let value = real(token).ok_or_else(|| line.malformed("a number such as -1.5e3", token))?;
                (Value::Real(value), Some(Value::Real(-value)))
            }
            Field::Integer | Field::Pattern => {
                let value = integer(token).ok_or_else(|| self.not_an_integer(line, token))?;
                (Value::Integer(value), value.checked_neg().map(Value::Integer))
            }
            Field::UnsignedInteger => {
                let value = unsigned_integer(token);
                let value = value.ok_or_else(|| line.malformed("an unsigned 64-bit integer", token))?;
                (Value::Unsigned(value), None)
            }
        };
        out.push(row, column, value);
        match (self.header.symmetry, row == column) {
            (Symmetry::General, _) | (Symmetry::Symmetric, true) => {}
            (Symmetry::Symmetric, false) => out.push(column, row, value),
            (Symmetry::SkewSymmetric, false) => {
                out.push(
                    column,
                    row,
                    negative.ok_or_else(|| line.malformed("an integer whose negative fits 64 bits", token))?,
                );
            }
            (Symmetry::SkewSymmetric, true) if value.is_zero() => {}
            (Symmetry::SkewSymmetric, true) => {
                return Err(line.malformed("zero on the diagonal of a skew-symmetric matrix", line.text));
            }
        }
        Ok(())
    }

    #[cold]
    fn not_an_integer(&self, line: &Line<'_>, token: &[u8]) -> ParseError {
        if unsigned_integer(token).is_some() && self.header.symmetry != Symmetry::SkewSymmetric {
            return line.malformed("a 64-bit integer, or unsigned-integer instead of integer in the first line", token);
        }
        line.malformed("a 64-bit integer", token)
    }
}

/// A zero-based row or column index.
fn index(line: &Line<'_>, of: &str, (token, index): (&[u8], Option<i64>), size: i64) -> Result<i64, ParseError> {
    match index {
        Some(index) if (1..=size).contains(&index) => Ok(index - 1),
        _ => Err(line.malformed(format_args!("a {of} from 1 to {size}"), token)),
    }
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Real(f64),
    Integer(i64),
    Unsigned(u64),
}

impl Value {
    fn is_zero(self) -> bool {
        match self {
            Self::Real(value) => value == 0.0,
            Self::Integer(value) => value == 0,
            Self::Unsigned(value) => value == 0,
        }
    }
}

/// A batch of entries as columns (COO). Columns outside the projection stay empty.
#[derive(Debug)]
pub(crate) struct CooBatch {
    pub(crate) rows: Vec<i64>,
    pub(crate) columns: Vec<i64>,
    /// The values of a real matrix.
    pub(crate) reals: Vec<f64>,
    /// The values of an integer or pattern matrix.
    pub(crate) integers: Vec<i64>,
    /// The values of an unsigned integer matrix.
    pub(crate) unsigned: Vec<u64>,
    /// Whether rows, columns and values are read.
    projection: [bool; 3],
    len: usize,
    /// The largest number of entries per line.
    entries_per_line: usize,
    capacity: usize,
}

impl CooBatch {
    /// For at most `capacity` entries, except that the entries of one line stay together.
    pub(crate) fn new(header: &Header, capacity: usize, projection: [bool; 3]) -> Self {
        let entries_per_line = if header.symmetry == Symmetry::General { 1 } else { 2 };
        let with_values = |fields: &[Field]| projection[2] && fields.contains(&header.field);
        Self {
            rows: with_bounded_capacity(projection[0], capacity),
            columns: with_bounded_capacity(projection[1], capacity),
            reals: with_bounded_capacity(with_values(&[Field::Real]), capacity),
            integers: with_bounded_capacity(with_values(&[Field::Integer, Field::Pattern]), capacity),
            unsigned: with_bounded_capacity(with_values(&[Field::UnsignedInteger]), capacity),
            projection,
            len: 0,
            entries_per_line,
            capacity: capacity.max(entries_per_line),
        }
    }

    /// The number of entries, independent of the projection.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len + self.entries_per_line > self.capacity
    }

    fn push(&mut self, row: i64, column: i64, value: Value) {
        let [with_rows, with_columns, with_values] = self.projection;
        if with_rows {
            self.rows.push(row);
        }
        if with_columns {
            self.columns.push(column);
        }
        if with_values {
            match value {
                Value::Real(value) => self.reals.push(value),
                Value::Integer(value) => self.integers.push(value),
                Value::Unsigned(value) => self.unsigned.push(value),
            }
        }
        self.len += 1;
    }
}

/// Allocates at most one usual batch in advance.
fn with_bounded_capacity<T>(is_projected: bool, capacity: usize) -> Vec<T> {
    Vec::with_capacity(if is_projected { capacity.min(8192) } else { 0 })
}
