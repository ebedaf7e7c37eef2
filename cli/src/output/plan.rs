//! [`PlanWriter`]: the result of EXPLAIN as indented lines, because plan lines are too long for a table.
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
    let is_string = |name: &str, index: usize| {
        let field = schema.field(index);
        field.name() == name && *field.data_type() == DataType::Utf8
    };
    schema.fields().len() == 2 && is_string("plan_type", 0) && is_string("plan", 1)
}

impl<W: Write> RowWriter for PlanWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let (types, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        for row in 0..batch.num_rows() {
            writeln!(self.out, "{}", printable(types.value(row)))?;
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
