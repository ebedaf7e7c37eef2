//! [`Format`]: how rows are written. [`RowWriter`] writes them batch by batch, so that a large result needs no large memory.

mod plan;
mod table;

use std::io::{self, Write};
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
            Self::Csv => Box::new(CsvWriter::new(&schema, out)?),
            Self::Json => Box::new(json.build::<_, JsonArray>(out)),
            Self::Ndjson => Box::new(json.build::<_, LineDelimited>(out)),
        })
    }
}

/// Writes the rows of one result.
pub(crate) trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what comes after the last row, and hands everything on.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl<W: Write, F: JsonFormat> RowWriter for Writer<W, F> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Self::write(self, batch).map_err(io_error)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        Self::finish(&mut self).map_err(io_error)?;
        let mut out = self.into_inner();
        // An array ends without a line's end.
        if std::any::type_name::<F>() == std::any::type_name::<JsonArray>() {
            writeln!(out)?;
        }
        out.flush()
    }
}

/// CSV, with lists and structs as text: the format has no other way.
struct CsvWriter<W: Write> {
    writer: csv::Writer<W>,
    schema: SchemaRef,
}

impl<W: Write> CsvWriter<W> {
    fn new(schema: &Schema, out: W) -> io::Result<Self> {
        let fields = schema.fields().iter().map(|field| match field.data_type().is_nested() {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut writer = csv::Writer::new(out);
        // The header is there even when no row is.
        writer.write(&RecordBatch::new_empty(Arc::clone(&schema))).map_err(io_error)?;
        Ok(Self { writer, schema })
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
        self.writer.write(&batch).map_err(io_error)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.into_inner().flush()
    }
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
