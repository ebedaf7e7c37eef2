//! [`PlanWriter`]: what EXPLAIN gives, as indented lines. In a frame, one long line of a plan would tear all others apart.
//!
//! ```text
//! physical_plan
//!   InferExec: model=resnet20-cifar10, backend=rten, …
//!     DataSourceExec: …
//! ```

use std::io::{self, Write};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema};

use super::{RowWriter, printable};

pub(super) struct PlanWriter<W> {
    out: W,
}

impl<W: Write> PlanWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }
}

/// Whether rows of this schema come from EXPLAIN.
pub(super) fn is_plan(schema: &Schema) -> bool {
    let is_text = |name: &str, number: usize| {
        let field = schema.field(number);
        field.name() == name && *field.data_type() == DataType::Utf8
    };
    schema.fields().len() == 2 && is_text("plan_type", 0) && is_text("plan", 1)
}

impl<W: Write> RowWriter for PlanWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let (kinds, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        for row in 0..batch.num_rows() {
            writeln!(self.out, "{}", printable(kinds.value(row)))?;
            let plan = if plans.is_null(row) { "" } else { plans.value(row) };
            for line in plan.lines() {
                writeln!(self.out, "  {}", printable(line))?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
