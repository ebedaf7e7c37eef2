//! [`Format`]: how rows are written. [`RowWriter`] writes them batch by batch, so that a large result needs no large memory.

mod plan;
mod table;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;
use std::sync::Arc;

use clap::ValueEnum;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use datafusion::arrow::json::{Writer, WriterBuilder};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use plan::{PlanWriter, is_plan};
use table::TableWriter;

/// A format of rows on standard output.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// A table to read; binary values by their size
    #[default]
    Table,
    /// Comma-separated values with a header; NULL is empty, binary is hexadecimal
    Csv,
    /// One array of objects; binary is hexadecimal
    Json,
    /// One object a line; binary is hexadecimal
    Ndjson,
}

impl Format {
    /// Starts the output of one result.
    pub(crate) fn writer<'a>(self, schema: SchemaRef, out: impl Write + 'a) -> io::Result<Box<dyn RowWriter + 'a>> {
        let json = WriterBuilder::new().with_explicit_nulls(true);
        Ok(match self {
            Self::Table if is_plan(&schema) => Box::new(PlanWriter::new(out)),
            Self::Table => Box::new(TableWriter::new(schema, out)),
            Self::Csv => Box::new(CsvWriter::new(&schema, out)),
            Self::Json => {
                check_names(&schema)?;
                Box::new(JsonWriter { writer: json.build::<_, JsonArray>(out), end: "\n" })
            }
            Self::Ndjson => {
                check_names(&schema)?;
                Box::new(JsonWriter { writer: json.build::<_, LineDelimited>(out), end: "" })
            }
        })
    }
}

/// Writes the rows of one result.
pub(crate) trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what comes after the last row, and hands everything on.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// JSON; an array ends without a line's end, which a terminal wants.
struct JsonWriter<W: Write, F: JsonFormat> {
    writer: Writer<W, F>,
    end: &'static str,
}

impl<W: Write, F: JsonFormat> RowWriter for JsonWriter<W, F> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(io_error)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.finish().map_err(io_error)?;
        let mut out = self.writer.into_inner();
        out.write_all(self.end.as_bytes())?;
        out.flush()
    }
}

/// Readers keep one of two values with the same key.
fn check_names(schema: &Schema) -> io::Result<()> {
    let mut names = BTreeSet::new();
    match schema.fields().iter().find(|field| !names.insert(field.name())) {
        Some(twice) => {
            let text = format!("two columns are called '{}'; name them with AS", twice.name());
            Err(io::Error::other(text))
        }
        None => Ok(()),
    }
}

/// CSV, with lists and structs as text: the format has no other way.
struct CsvWriter<W: Write> {
    writer: csv::Writer<Watched<W>>,
    schema: SchemaRef,
    failure: Failure,
}

impl<W: Write> CsvWriter<W> {
    fn new(schema: &Schema, out: W) -> Self {
        let fields = schema.fields().iter().map(|field| match field.data_type().is_nested() {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let failure = Failure::default();
        let writer = csv::Writer::new(Watched { out, failure: Rc::clone(&failure) });
        Self { writer, schema, failure }
    }

    fn write_rows(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(|error| self.failure.take().map_or_else(|| io_error(error), io::Error::from))
    }
}

impl<W: Write> RowWriter for CsvWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = batch.columns().iter().map(|column| match column.data_type().is_nested() {
            true => text_of(column),
            false => Ok(Arc::clone(column)),
        });
        let batch = columns
            .collect::<Result<_, _>>()
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns))
            .map_err(io_error)?;
        self.write_rows(&batch)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        // The header is there even when no row is.
        self.write_rows(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        self.writer.into_inner().flush()
    }
}

/// How writing failed, if it did.
type Failure = Rc<Cell<Option<ErrorKind>>>;

/// Remembers how writing failed: the CSV writer makes text of it, in which a closed pipe looks like a full disk.
struct Watched<W> {
    out: W,
    failure: Failure,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| self.failure.set(Some(error.kind())))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.failure.set(Some(error.kind())))
    }
}

/// Text without control characters, which a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => shown.push_str("    "),
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

fn text_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len()).map(|row| match column.is_null(row) {
        true => Ok(None),
        false => formatter.value(row).try_to_string().map(Some),
    });
    Ok(Arc::new(texts.collect::<Result<StringArray, _>>()?))
}

/// Keeps the kind of an error of the output itself, by which a closed pipe is told from a full disk.
fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
