//! [`Format`]: the output formats. A [`RowWriter`] writes batch by batch, in constant memory.

mod abbreviated_list;
mod headers;
mod json_integers;
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

pub(crate) use headers::Headers;
pub(crate) use json_integers::JsonIntegers;
use json_integers::LargeNumbersAsText;
use plan::{PlanWriter, is_plan};
use table::TableWriter;

/// A format of rows on standard output.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable table; binary values as their size, long vectors abbreviated
    #[default]
    Table,
    /// Comma-separated values with a header; NULL is empty, binary is hexadecimal
    Csv,
    /// One array of objects; binary is hexadecimal
    Json,
    /// One object per line; binary is hexadecimal
    Ndjson,
}

impl Format {
    /// Starts the output of one result.
    pub(crate) fn writer<'a>(
        self,
        schema: SchemaRef,
        integers: JsonIntegers,
        out: impl Write + 'a,
    ) -> io::Result<Box<dyn RowWriter + 'a>> {
        let mut json = WriterBuilder::new().with_explicit_nulls(true);
        if integers == JsonIntegers::Text {
            json = json.with_encoder_factory(Arc::new(LargeNumbersAsText));
        }
        Ok(match self {
            Self::Table if is_plan(&schema) => Box::new(PlanWriter::new(out)),
            Self::Table => Box::new(TableWriter::new(schema, out)),
            Self::Csv => Box::new(CsvWriter::new(&schema, out)),
            Self::Json => {
                check_unique_columns(&schema)?;
                Box::new(JsonWriter { writer: json.build::<_, JsonArray>(out), end: "\n" })
            }
            Self::Ndjson => {
                check_unique_columns(&schema)?;
                Box::new(JsonWriter { writer: json.build::<_, LineDelimited>(out), end: "" })
            }
        })
    }
}

/// Writes the rows of one result.
pub(crate) trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes the footer and flushes.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// JSON. Arrow's array writer ends without a newline; `end` adds it.
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

/// Rejects duplicate column names: JSON readers keep only one value per key.
fn check_unique_columns(schema: &Schema) -> io::Result<()> {
    let mut names = BTreeSet::new();
    match schema.fields().iter().find(|field| !names.insert(field.name())) {
        Some(duplicate) => {
            let text = format!("two columns are named '{}'; rename one with AS", duplicate.name());
            Err(io::Error::other(text))
        }
        None => Ok(()),
    }
}

/// CSV. Lists and structs are written as strings, because the format has no nested values.
struct CsvWriter<W: Write> {
    writer: csv::Writer<ErrorTrackingWriter<W>>,
    schema: SchemaRef,
    failure: SharedErrorKind,
}

impl<W: Write> CsvWriter<W> {
    fn new(schema: &Schema, out: W) -> Self {
        let fields = schema.fields().iter().map(|field| match field.data_type().is_nested() {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let failure = SharedErrorKind::default();
        let writer = csv::Writer::new(ErrorTrackingWriter { out, failure: Rc::clone(&failure) });
        Self { writer, schema, failure }
    }

    fn write_rows(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(|error| self.failure.take().map_or_else(|| io_error(error), io::Error::from))
    }
}

impl<W: Write> RowWriter for CsvWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = batch.columns().iter().map(|column| match column.data_type().is_nested() {
            true => to_strings(column),
            false => Ok(Arc::clone(column)),
        });
        let batch = columns
            .collect::<Result<_, _>>()
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns))
            .map_err(io_error)?;
        self.write_rows(&batch)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        // Writes the header of an empty result.
        self.write_rows(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        self.writer.into_inner().flush()
    }
}

/// The kind of the first I/O error.
type SharedErrorKind = Rc<Cell<Option<ErrorKind>>>;

/// Records the kind of an I/O error: the CSV writer reduces it to a string, which does not tell a closed pipe from a full disk.
struct ErrorTrackingWriter<W> {
    out: W,
    failure: SharedErrorKind,
}

impl<W: Write> Write for ErrorTrackingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| self.failure.set(Some(error.kind())))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.failure.set(Some(error.kind())))
    }
}

/// Escapes control characters, which a terminal would execute.
pub(crate) fn printable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => escaped.push_str("    "),
            control if control.is_control() => escaped.extend(control.escape_default()),
            other => escaped.push(other),
        }
    }
    escaped
}

fn to_strings(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    // `[NULL]` is not `[]`.
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len()).map(|row| match column.is_null(row) {
        true => Ok(None),
        false => formatter.value(row).try_to_string().map(Some),
    });
    Ok(Arc::new(texts.collect::<Result<StringArray, _>>()?))
}

/// Preserves the kind of I/O errors, which tells a closed pipe from a full disk.
fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
