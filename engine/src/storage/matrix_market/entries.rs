//! [`Entries`]: the lines behind the header, as blocks of entries.

use super::header::{Field, Format, Header, Symmetry};
use super::lines::{Line, Lines, Malformed, integer, real, whole_word, word};

/// Reads the entries, however the text is cut.
///
/// - Rows and columns count from 0, as in SciPy and GraphBLAS; in the file they count from 1.
/// - What is on the other side of the diagonal comes right behind its entry.
/// - An array gives all its values, zeros too. The diagonal of a skew-symmetric one is not in the file, and not here.
/// - Entries that the file has twice come twice.
#[derive(Debug)]
pub(crate) struct Entries {
    lines: Lines,
    body: Body,
}

impl Entries {
    pub(super) fn new(header: Header, lines: Lines) -> Self {
        let row = if header.symmetry == Symmetry::Skew { 1 } else { 0 };
        Self { lines, body: Body { header, left: header.lines, row, column: 0 } }
    }

    pub(crate) fn header(&self) -> &Header {
        &self.body.header
    }

    /// Takes entries off these bytes until they are used up or the block is full.
    ///
    /// # Errors
    /// What is wrong with a line.
    pub(crate) fn push(&mut self, bytes: &mut &[u8], out: &mut Block) -> Result<(), Malformed> {
        while !out.is_full()
            && let Some(line) = self.lines.next(bytes)?
        {
            self.body.read(&line, out)?;
        }
        Ok(())
    }

    /// The file has ended: what a last line without an end holds goes into the block, full or not.
    ///
    /// # Errors
    /// What is wrong with that line, or that entries are missing.
    pub(crate) fn finish(&mut self, out: &mut Block) -> Result<(), Malformed> {
        if let Some(line) = self.lines.next(&mut &b"\n"[..])? {
            self.body.read(&line, out)?;
        }
        let promised = self.body.header.lines;
        match self.body.left {
            0 => Ok(()),
            left => Err(Malformed(format!("the header promises {promised} entries, the file has {}", promised - left))),
        }
    }
}

/// Where in the matrix the next line belongs.
#[derive(Debug)]
struct Body {
    header: Header,
    /// Lines that are still to come.
    left: i64,
    /// The place of an array's next value.
    row: i64,
    column: i64,
}

impl Body {
    fn read(&mut self, line: &Line<'_>, out: &mut Block) -> Result<(), Malformed> {
        if line.is_idle() {
            return Ok(());
        }
        if self.left == 0 {
            let end = format_args!("the end of the file after entry {}", self.header.lines);
            return Err(line.malformed(end, line.text));
        }
        self.left -= 1;
        match self.header.format {
            Format::Coordinate => self.coordinate(line, out),
            Format::Array => self.array(line, out),
        }
    }

    fn coordinate(&self, line: &Line<'_>, out: &mut Block) -> Result<(), Malformed> {
        let mut rest = line.text;
        let (row, column) = (whole_word(&mut rest), whole_word(&mut rest));
        let value = if self.header.field == Field::Pattern { &b"1"[..] } else { word(&mut rest) };
        if column.0.is_empty() || value.is_empty() || !word(&mut rest).is_empty() {
            let words = match self.header.field {
                Field::Pattern => "a row and a column",
                Field::Integer | Field::Real => "a row, a column and a value",
            };
            return Err(line.malformed(words, line.text));
        }
        let row = index(line, "row", row, self.header.rows)?;
        let column = index(line, "column", column, self.header.columns)?;
        self.entry(line, row, column, value, out)
    }

    fn array(&mut self, line: &Line<'_>, out: &mut Block) -> Result<(), Malformed> {
        let mut rest = line.text;
        let value = word(&mut rest);
        if !word(&mut rest).is_empty() {
            return Err(line.malformed("one value", line.text));
        }
        let (row, column) = (self.row, self.column);
        self.row += 1;
        if self.row == self.header.rows {
            self.column += 1;
            self.row = match self.header.symmetry {
                Symmetry::General => 0,
                Symmetry::Symmetric => self.column,
                Symmetry::Skew => self.column + 1,
            };
        }
        self.entry(line, row, column, value, out)
    }

    /// The entry of a line, and what is on the other side of the diagonal.
    fn entry(&self, line: &Line<'_>, row: i64, column: i64, word: &[u8], out: &mut Block) -> Result<(), Malformed> {
        let (value, negative) = match self.header.field {
            Field::Real => {
                let value = real(word).ok_or_else(|| line.malformed("a number such as -1.5e3", word))?;
                (Value::Real(value), Some(Value::Real(-value)))
            }
            Field::Integer | Field::Pattern => {
                let value = integer(word).ok_or_else(|| line.malformed("a whole number of 64 bits", word))?;
                (Value::Integer(value), value.checked_neg().map(Value::Integer))
            }
        };
        out.push(row, column, value);
        match (self.header.symmetry, row == column) {
            (Symmetry::General, _) | (Symmetry::Symmetric, true) => {}
            (Symmetry::Symmetric, false) => out.push(column, row, value),
            (Symmetry::Skew, false) => {
                out.push(
                    column,
                    row,
                    negative.ok_or_else(|| line.malformed("a whole number that has a negative", word))?,
                );
            }
            (Symmetry::Skew, true) => {
                return Err(line.malformed("nothing on the diagonal of a skew-symmetric matrix", line.text));
            }
        }
        Ok(())
    }
}

/// A row or column, from 0.
fn index(line: &Line<'_>, of: &str, (word, number): (&[u8], Option<i64>), size: i64) -> Result<i64, Malformed> {
    match number {
        Some(index) if (1..=size).contains(&index) => Ok(index - 1),
        _ => Err(line.malformed(format_args!("a {of} from 1 to {size}"), word)),
    }
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Real(f64),
    Integer(i64),
}

/// Entries that were read, column by column. Columns that nobody wants stay empty.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rows: Vec<i64>,
    pub(crate) columns: Vec<i64>,
    /// The values of a real matrix.
    pub(crate) reals: Vec<f64>,
    /// The values of any other.
    pub(crate) integers: Vec<i64>,
    /// Which of rows, columns and values.
    wanted: [bool; 3],
    len: usize,
    /// Entries that one line may give.
    a_line: usize,
    capacity: usize,
}

impl Block {
    /// For entries of that matrix, and no more of them at a time, except that a line is not torn apart.
    pub(crate) fn new(header: &Header, capacity: usize, wanted: [bool; 3]) -> Self {
        let a_line = if header.symmetry == Symmetry::General { 1 } else { 2 };
        let is_real = header.field == Field::Real;
        Self {
            rows: room(wanted[0], capacity),
            columns: room(wanted[1], capacity),
            reals: room(wanted[2] && is_real, capacity),
            integers: room(wanted[2] && !is_real, capacity),
            wanted,
            len: 0,
            a_line,
            capacity: capacity.max(a_line),
        }
    }

    /// Entries, whether or not somebody wants their columns.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len + self.a_line > self.capacity
    }

    fn push(&mut self, row: i64, column: i64, value: Value) {
        let [is_row_wanted, is_column_wanted, is_value_wanted] = self.wanted;
        if is_row_wanted {
            self.rows.push(row);
        }
        if is_column_wanted {
            self.columns.push(column);
        }
        if is_value_wanted {
            match value {
                Value::Real(value) => self.reals.push(value),
                Value::Integer(value) => self.integers.push(value),
            }
        }
        self.len += 1;
    }
}

/// The usual size of a batch at once; more grows as it comes.
fn room<T>(is_wanted: bool, capacity: usize) -> Vec<T> {
    Vec::with_capacity(if is_wanted { capacity.min(8192) } else { 0 })
}
