//! [`Infer`]: from a batch of encoded images to the columns that a model makes of them.
//!
//! ```text
//! batch ──cut──▶ micro-batches ──▶ workers: decode, resize, normalise ──▶ model ──▶ outputs ──▶ the same rows, in order
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput, Time,
};
use futures::{Stream, StreamExt, stream};
use ocelli_udf::image::{ImageColumn, ImageError, decode};
use tokio::sync::oneshot;

use super::InferOutput;
use crate::error::Error;
use crate::kernels::argmax;
use crate::model::Model;
use crate::options::OnError;
use crate::workers::Workers;

/// How to compute the outputs of one [`InferNode`](super::InferNode), the same for all partitions.
#[derive(Debug, Clone)]
pub(crate) struct Infer {
    pub(crate) model: Arc<Model>,
    /// The number of the column of images.
    pub(crate) image: usize,
    /// The number of the column that names them.
    pub(crate) place: Option<usize>,
    pub(crate) outputs: Vec<InferOutput>,
    /// Rows that a worker takes at a time.
    pub(crate) batch_rows: usize,
    /// Larger images are bad ones.
    pub(crate) max_pixels: u64,
    pub(crate) workers: Arc<Workers>,
}

/// What one partition did.
#[derive(Debug, Clone)]
pub(crate) struct InferMetrics {
    baseline: BaselineMetrics,
    images_run: Count,
    images_failed: Count,
    decode_time: Time,
    model_time: Time,
}

impl InferMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            images_run: MetricBuilder::new(metrics).counter("images_run", partition),
            images_failed: MetricBuilder::new(metrics).counter("images_failed", partition),
            decode_time: MetricBuilder::new(metrics).subset_time("decode_time", partition),
            model_time: MetricBuilder::new(metrics).subset_time("model_time", partition),
        }
    }
}

/// Rows that one worker takes.
struct MicroBatch {
    rows: RecordBatch,
    /// How many rows of the partition came before.
    offset: usize,
}

impl Infer {
    /// The rows of `input` with the outputs behind their columns.
    ///
    /// As many micro-batches of a partition are under way as there are workers, and one that waits, so that no worker does.
    pub(crate) fn stream(
        self: Arc<Self>,
        input: SendableRecordBatchStream,
        schema: SchemaRef,
        metrics: InferMetrics,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let window = self.workers.threads() + 1;
        let baseline = metrics.baseline.clone();
        let cutter = Arc::clone(&self);
        let mut offset = 0;
        input
            .flat_map(move |batch| stream::iter(cutter.cut(batch, &mut offset)))
            .map(move |micro| Arc::clone(&self).run(micro, Arc::clone(&schema), metrics.clone()))
            .buffered(window)
            .map(move |batch| batch.record_output(&baseline))
    }

    /// Cuts a batch into equal parts of at most `batch_rows`, and into one for each worker if that is more.
    fn cut(&self, batch: Result<RecordBatch>, offset: &mut usize) -> Vec<Result<MicroBatch>> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return vec![Err(error)],
        };
        let rows = batch.num_rows();
        let parts = rows.div_ceil(self.batch_rows).max(self.workers.threads().min(rows));
        let first = *offset;
        *offset += rows;
        (0..parts)
            .map(|part| {
                let (from, to) = (part * rows / parts, (part + 1) * rows / parts);
                Ok(MicroBatch { rows: batch.slice(from, to - from), offset: first + from })
            })
            .collect()
    }

    /// Has a worker compute one micro-batch.
    async fn run(
        self: Arc<Self>,
        micro: Result<MicroBatch>,
        schema: SchemaRef,
        metrics: InferMetrics,
    ) -> Result<RecordBatch> {
        let micro = micro?;
        self.load().await?;
        let (sender, receiver) = oneshot::channel();
        let workers = Arc::clone(&self.workers);
        workers.spawn(move || {
            let _timer = metrics.baseline.elapsed_compute().timer();
            let outputs = catch_unwind(AssertUnwindSafe(|| self.outputs(&micro, &metrics, || sender.is_closed())));
            let outputs = outputs.unwrap_or_else(|_| internal_err!("model '{}' panicked", self.model.name()));
            let batch = outputs.and_then(|outputs| {
                let columns = micro.rows.columns().iter().cloned().chain(outputs).collect();
                Ok(RecordBatch::try_new(schema, columns)?)
            });
            // Nobody waits for the rows of a dropped stream.
            let _ = sender.send(batch);
        });
        receiver.await.unwrap_or_else(|_| internal_err!("a worker stopped without an answer"))
    }

    /// Has the model loaded, on a thread that may wait.
    async fn load(&self) -> Result<()> {
        if self.model.is_loaded() {
            return Ok(());
        }
        let model = Arc::clone(&self.model);
        let loading = tokio::task::spawn_blocking(move || model.load().map(|_| ()));
        let loaded = loading.await.map_err(|error| internal_datafusion_err!("loading a model stopped: {error}"))?;
        Ok(loaded?)
    }

    /// The output columns of one micro-batch. Stops between images when `is_cancelled`.
    fn outputs(
        &self,
        micro: &MicroBatch,
        metrics: &InferMetrics,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<Vec<ArrayRef>> {
        let rows = micro.rows.num_rows();
        let column = micro.rows.column(self.image);
        let Some(images) = ImageColumn::new(column) else {
            return internal_err!("InferExec was planned on a column of type {}", column.data_type());
        };
        let size = self.model.preprocess.len();
        let mut tensor = vec![0.0; rows * size];
        // The rows that are in the tensor, in its order.
        let mut prepared = Vec::with_capacity(rows);
        let timer = metrics.decode_time.timer();
        for row in 0..rows {
            if is_cancelled() {
                return internal_err!("nobody waits for these rows");
            }
            let Some(bytes) = images.get(row) else { continue };
            let slot = &mut tensor[prepared.len() * size..][..size];
            match self.prepare(bytes, slot) {
                Ok(()) => prepared.push(row),
                Err(reason) => {
                    metrics.images_failed.add(1);
                    self.raise(micro, row, reason)?;
                }
            }
        }
        timer.done();
        let labels = self.labels(&tensor[..prepared.len() * size], prepared.len(), metrics)?;
        let mut by_row = vec![None; rows];
        for (row, label) in prepared.into_iter().zip(labels) {
            by_row[row] = Some(label);
        }
        let labels: ArrayRef = Arc::new(StringArray::from(by_row));
        Ok(vec![labels; self.outputs.len()])
    }

    /// Decodes one image and writes what the model sees of it.
    fn prepare(&self, bytes: &[u8], out: &mut [f32]) -> std::result::Result<(), ImageError> {
        self.model.preprocess.apply(&decode(bytes, self.max_pixels)?, out);
        Ok(())
    }

    /// An error for a bad image, unless every output has NULL for it.
    fn raise(&self, micro: &MicroBatch, row: usize, source: ImageError) -> Result<()> {
        let Some(output) = self.outputs.iter().find(|output| output.on_error == OnError::Raise) else {
            return Ok(());
        };
        let function = output.function.name();
        Err(Error::BadImage { place: self.place(micro, row)?, function, source }.into())
    }

    /// `'photos/cat.jpg'`, or its row where nothing names the image.
    fn place(&self, micro: &MicroBatch, row: usize) -> Result<String> {
        if let Some(place) = self.place {
            let name = cast(&micro.rows.column(place).slice(row, 1), &DataType::Utf8)?;
            if let Some(name) = name.as_string::<i32>().iter().flatten().next() {
                return Ok(format!("'{name}'"));
            }
        }
        Ok(format!("in row {} of those that reach the model", micro.offset + row + 1))
    }

    /// The label of each image in the tensor.
    fn labels(&self, tensor: &[f32], images: usize, metrics: &InferMetrics) -> Result<Vec<&str>> {
        if images == 0 {
            return Ok(Vec::new());
        }
        let timer = metrics.model_time.timer();
        let scores = self.model.scores(tensor, images, &self.workers)?;
        timer.done();
        metrics.images_run.add(images);
        let labels = scores.chunks_exact(self.model.labels.len()).map(|scores| {
            let best = argmax(scores).ok_or_else(|| Error::Backend {
                backend: self.model.backend_name(),
                model: self.model.name().to_owned(),
                reason: "it gave no number for an image".to_owned(),
            })?;
            Ok(self.model.labels[best].as_str())
        });
        labels.collect::<std::result::Result<_, Error>>().map_err(DataFusionError::from)
    }
}
