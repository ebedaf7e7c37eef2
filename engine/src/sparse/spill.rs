//! [`Panels`]: one side of a product on disk, in parts that each fit into memory.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::SpillMetrics;
use futures::TryStreamExt;

/// Panels of a side. Several are read at a time when they are small.
const PANELS: usize = 64;

/// Rows that are parted at a time, so that each panel gets more than a few.
const ROWS: usize = 1 << 16;

/// Rows with equal groups are in one panel: a row of the left matrix, or a column of the right one, is whole. Products of two
/// panels are therefore done when they are made, and are never added to others.
pub(super) struct Panels {
    manager: SpillManager,
    files: Vec<Panel>,
}

struct Panel {
    file: Option<Arc<dyn SpillFile>>,
    rows: usize,
    bytes: usize,
}

type Append = dyn FnMut(Option<&RecordBatch>) -> Result<(usize, Option<Arc<dyn SpillFile>>)> + Send;

/// A panel that is being written.
struct OpenPanel {
    /// Appends a batch and gives its bytes, or ends the file and gives it: DataFusion's type for an open file has no name out here.
    append: Box<Append>,
    rows: usize,
    bytes: usize,
}

/// Writes rows to their panels.
pub(super) struct PanelWriter {
    manager: SpillManager,
    schema: SchemaRef,
    /// The columns whose values decide.
    columns: Range<usize>,
    files: Vec<OpenPanel>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl PanelWriter {
    pub(super) fn new(
        runtime: Arc<RuntimeEnv>,
        metrics: SpillMetrics,
        schema: SchemaRef,
        columns: Range<usize>,
    ) -> Result<Self> {
        let manager = SpillManager::new(runtime, metrics, Arc::clone(&schema));
        let open = |_| {
            let mut file = manager.create_in_progress_file("SparseMatMulExec")?;
            let append = move |batch: Option<&RecordBatch>| match batch {
                Some(batch) => Ok((file.append_batch(batch)?, None)),
                None => Ok((0, file.finish()?)),
            };
            Ok(OpenPanel { append: Box::new(append), rows: 0, bytes: 0 })
        };
        let files = (0..PANELS).map(open);
        let files = files.collect::<Result<_>>()?;
        Ok(Self { manager, schema, columns, files, waiting: Vec::new(), waiting_rows: 0 })
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= ROWS { self.part() } else { Ok(()) }
    }

    /// Writes what waits.
    fn part(&mut self) -> Result<()> {
        let batch = concat_batches(&self.schema, &std::mem::take(&mut self.waiting))?;
        self.waiting_rows = 0;
        let mut hashes = vec![0; batch.num_rows()];
        let columns: Vec<ArrayRef> = batch.columns()[self.columns.clone()].to_vec();
        create_hashes(&columns, &RandomState::with_seed(0), &mut hashes)?;
        let mut rows = vec![Vec::new(); PANELS];
        for (row, hash) in (0..).zip(&hashes) {
            // The upper bits: hash tables use the lower ones.
            rows[(hash >> 32) as usize % PANELS].push(row);
        }
        for (panel, rows) in self.files.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            panel.rows += rows.len();
            let part = take_record_batch(&batch, &UInt32Array::from(rows))?;
            panel.bytes += (panel.append)(Some(&part))?.0;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Panels> {
        if self.waiting_rows > 0 {
            self.part()?;
        }
        let close =
            |mut panel: OpenPanel| Ok(Panel { file: (panel.append)(None)?.1, rows: panel.rows, bytes: panel.bytes });
        let files = self.files.into_iter().map(close);
        Ok(Panels { manager: self.manager, files: files.collect::<Result<_>>()? })
    }
}

impl Panels {
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.manager.schema())
    }

    /// Panels that are read together: as many as stay below this share of the memory, by what `bytes` says of rows and their
    /// bytes.
    pub(super) fn parts(
        &self,
        pool: &Arc<dyn MemoryPool>,
        share: f64,
        bytes: impl Fn(usize, usize) -> usize,
    ) -> Vec<Vec<usize>> {
        let most = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => (limit as f64 * share) as usize,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut held = usize::MAX;
        for (at, panel) in self.files.iter().enumerate().filter(|(_, panel)| panel.rows > 0) {
            let more = bytes(panel.rows, panel.bytes);
            held = held.saturating_add(more);
            match parts.last_mut() {
                Some(part) if held <= most => part.push(at),
                _ => {
                    parts.push(vec![at]);
                    held = more;
                }
            }
        }
        parts
    }

    /// The rows and bytes of some panels.
    pub(super) fn size(&self, part: &[usize]) -> (usize, usize) {
        part.iter().fold((0, 0), |(rows, bytes), &at| (rows + self.files[at].rows, bytes + self.files[at].bytes))
    }

    /// The rows of some panels.
    pub(super) async fn read(&self, part: &[usize]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for &at in part {
            if let Some(file) = &self.files[at].file {
                let stream = self.manager.read_spill_as_stream(Arc::clone(file), None)?;
                batches.extend(stream.try_collect::<Vec<_>>().await?);
            }
        }
        Ok(batches)
    }
}
