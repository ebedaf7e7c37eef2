//! [`TableWriter`]: rows as a table with borders.
//!
//! ```text
//! ┌─────────┬───────┐
//! │ uri     │ width │
//! ├─────────┼───────┤
//! │ cat.jpg │   451 │
//! └─────────┴───────┘
//! ```

use std::io::{self, Write};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, FormatOptions};
use unicode_width::UnicodeWidthStr;

use super::abbreviated_list::AbbreviateLists;
use super::{RowWriter, io_error, printable};

/// Rows that determine the column widths. Wider values in later rows exceed their column and are not truncated.
const ROWS_MEASURED: usize = 1000;

/// The lines of one formatted value.
type Cell = Vec<String>;

pub(super) struct TableWriter<W> {
    out: W,
    schema: SchemaRef,
    /// Rows buffered until the widths are known.
    buffered: Vec<Vec<Cell>>,
    /// Set when the header has been written.
    widths: Option<Vec<usize>>,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(schema: SchemaRef, out: W) -> Self {
        Self { out, schema, buffered: Vec::new(), widths: None }
    }

    /// Writes the buffered rows, after the header if they are the first.
    fn write_buffered(&mut self) -> io::Result<()> {
        let right: Vec<bool> = self.schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let rows = std::mem::take(&mut self.buffered);
        if self.widths.is_none() {
            let header: Vec<Cell> = self.schema.fields().iter().map(|field| cell(field.name())).collect();
            let widths = (0..header.len()).map(|column| {
                let cells = std::iter::once(&header).chain(&rows).flat_map(|row| &row[column]);
                cells.map(|line| line.width()).max().unwrap_or(0)
            });
            let widths: Vec<usize> = widths.collect();
            self.rule(&widths, ['┌', '┬', '┐'])?;
            self.row(&header, &widths, &vec![false; header.len()])?;
            self.rule(&widths, ['├', '┼', '┤'])?;
            self.widths = Some(widths);
        }
        let widths = self.widths.clone().unwrap_or_default();
        for row in &rows {
            self.row(row, &widths, &right)?;
        }
        Ok(())
    }

    fn rule(&mut self, widths: &[usize], [left, middle, right]: [char; 3]) -> io::Result<()> {
        for (column, width) in widths.iter().enumerate() {
            write!(self.out, "{}{}", if column == 0 { left } else { middle }, "─".repeat(width + 2))?;
        }
        writeln!(self.out, "{right}")
    }

    fn row(&mut self, row: &[Cell], widths: &[usize], right: &[bool]) -> io::Result<()> {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            for ((cell, width), right) in row.iter().zip(widths).zip(right) {
                let text = cell.get(line).map_or("", String::as_str);
                let space = " ".repeat(width.saturating_sub(text.width()));
                match right {
                    true => write!(self.out, "│ {space}{text} ")?,
                    false => write!(self.out, "│ {text}{space} ")?,
                }
            }
            writeln!(self.out, "│")?;
        }
        Ok(())
    }
}

impl<W: Write> RowWriter for TableWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let options = FormatOptions::default().with_null("NULL").with_formatter_factory(Some(&AbbreviateLists));
        let columns = batch.columns().iter().map(|column| Column::new(column, &options));
        let columns = columns.collect::<io::Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.buffered.push(columns.iter().map(|column| column.cell(row)).collect::<io::Result<_>>()?);
            if self.buffered.len() >= ROWS_MEASURED {
                self.write_buffered()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.write_buffered()?;
        let widths = self.widths.take().unwrap_or_default();
        self.rule(&widths, ['└', '┴', '┘'])?;
        self.out.flush()
    }
}

/// A column with the formatter of its values.
enum Column<'a> {
    /// Binary values are shown as their size.
    Bytes(Vec<Option<usize>>),
    Text(ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn new(column: &'a ArrayRef, options: &'a FormatOptions<'a>) -> io::Result<Self> {
        let sizes =
            |sizes: &mut dyn Iterator<Item = Option<&'a [u8]>>| sizes.map(|bytes| bytes.map(<[u8]>::len)).collect();
        Ok(match column.data_type() {
            DataType::Binary => Self::Bytes(sizes(&mut column.as_binary::<i32>().iter())),
            DataType::LargeBinary => Self::Bytes(sizes(&mut column.as_binary::<i64>().iter())),
            DataType::BinaryView => Self::Bytes(sizes(&mut column.as_binary_view().iter())),
            _ => {
                let array = column.as_ref();
                // The options apply the factory to nested arrays only.
                let formatter = AbbreviateLists.create_array_formatter(array, options, None).map_err(io_error)?;
                Self::Text(match formatter {
                    Some(formatter) => formatter,
                    None => ArrayFormatter::try_new(array, options).map_err(io_error)?,
                })
            }
        })
    }

    fn cell(&self, row: usize) -> io::Result<Cell> {
        Ok(match self {
            Self::Bytes(sizes) => match sizes[row] {
                Some(size) => vec![format!("<{size} bytes>")],
                None => vec!["NULL".to_owned()],
            },
            Self::Text(formatter) => cell(&formatter.value(row).try_to_string().map_err(io_error)?),
        })
    }
}

fn cell(text: &str) -> Cell {
    text.trim_end_matches('\n').split('\n').map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{BinaryArray, Int64Array, ListArray, StringArray};
    use datafusion::arrow::datatypes::{Field, Float32Type, Int64Type, Schema};

    use super::*;

    fn table(batches: &[RecordBatch], schema: SchemaRef) -> String {
        let mut out = Vec::new();
        let mut writer = Box::new(TableWriter::new(schema, &mut out));
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    #[test]
    fn numbers_are_right_aligned_and_binary_is_a_size() {
        let rows = batch(vec![
            ("uri", Arc::new(StringArray::from(vec![Some("cat.jpg"), None]))),
            ("n", Arc::new(Int64Array::from(vec![Some(7), Some(-1000)]))),
            ("image", Arc::new(BinaryArray::from(vec![Some(&[1, 2, 3][..]), None]))),
        ]);
        assert_eq!(
            table(std::slice::from_ref(&rows), rows.schema()),
            "\
┌─────────┬───────┬───────────┐
│ uri     │ n     │ image     │
├─────────┼───────┼───────────┤
│ cat.jpg │     7 │ <3 bytes> │
│ NULL    │ -1000 │ NULL      │
└─────────┴───────┴───────────┘
"
        );
    }

    #[test]
    fn long_vectors_are_abbreviated_and_other_lists_are_not() {
        let floats = |length: u8| Some((0..length).map(|value| Some(f32::from(value) + 0.5)));
        let rows = batch(vec![
            ("v", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([floats(64), floats(2), None]))),
            ("n", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..9).map(Some)), None, None]))),
        ]);
        assert_eq!(
            table(std::slice::from_ref(&rows), rows.schema()),
            "\
┌─────────────────────────┬─────────────────────────────┐
│ v                       │ n                           │
├─────────────────────────┼─────────────────────────────┤
│ [0.5, 1.5, … 64 values] │ [0, 1, 2, 3, 4, 5, 6, 7, 8] │
│ [0.5, 1.5]              │ NULL                        │
│ NULL                    │ NULL                        │
└─────────────────────────┴─────────────────────────────┘
"
        );
    }

    #[test]
    fn an_empty_result_is_a_header() {
        let schema = Arc::new(Schema::new(vec![Field::new("label", DataType::Utf8, true)]));
        assert_eq!(table(&[], schema), "┌───────┐\n│ label │\n├───────┤\n└───────┘\n");
    }

    #[test]
    fn line_breaks_are_kept_and_control_characters_escaped() {
        let rows = batch(vec![("text", Arc::new(StringArray::from(vec!["one\ntwo\x1b[2J", "日本"])))]);
        assert_eq!(
            table(std::slice::from_ref(&rows), rows.schema()),
            "\
┌──────────────┐
│ text         │
├──────────────┤
│ one          │
│ two\\u{1b}[2J │
│ 日本         │
└──────────────┘
"
        );
    }

    #[test]
    fn late_wide_values_are_not_truncated() {
        let narrow = batch(vec![("t", Arc::new(StringArray::from(vec!["a"; ROWS_MEASURED])))]);
        let wide = batch(vec![("t", Arc::new(StringArray::from(vec!["a long one"])))]);
        assert!(table(&[narrow.clone(), wide], narrow.schema()).contains("│ a long one │"));
    }
}
