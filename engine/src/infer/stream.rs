//! [`InferSpec`]: the rows of one partition through the workers and back, in order.
//!
//! ```text
//!         fetch           cut                 window                                          emit
//! batches ─────▶ images  ────▶ micro-batches ───────▶ workers: decode, model (any order) ────────▶ the same rows, in order
//! ```
//!
//! - ImageRows that are named by URIs are fetched while those before them are run; others are there already.
//! - As many micro-batches are under way, over all queries, as there are workers, and one that waits, so that no worker does.
//! - Each has its memory before it starts. When the pool has no more, the next one waits for those under way; when there
//!   are none, it shrinks, to one image at last, and only that may fail.
//! - An image with the bytes of another that is under way gets its answer.

mod dispatch;

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::metrics::RecordOutput;
use futures::{Stream, stream};
use ocelli_udf::image::ImageError;
use tokio::sync::oneshot;

use super::compute::ImagePipeline;
use super::error_budget::ErrorBudget;
use super::fetch::FetchedBatch;
use super::image_rows::ImageColumns;
use super::input::InferInput;
use super::metrics::InferMetrics;
use super::micro_batch::{BatchLimits, InFlightIndex, MicroBatch, RowSource};
use super::output_columns::{RowPrediction, output_array};
use super::reservation::{PartitionMemory, ReservationGuard};
use super::spec::InferSpec;
use crate::error::Error;

use dispatch::DispatchOutcome;

/// Bytes of encoded images and tensors that a worker takes at a time: enough to keep it busy, few enough for its caches.
const MICRO_BATCH_BYTES: usize = 4 << 20;

/// A micro_batch under way.
struct InFlight {
    micro_batch: Arc<MicroBatch>,
    /// For each row, where its answer comes from.
    sources: Vec<RowSource>,
    /// How many rows of the partition came before.
    offset: usize,
    done: oneshot::Receiver<Result<()>>,
    /// Encoded bytes of the images of all its rows.
    bytes: usize,
    /// For its encoded images, until its rows are handed on.
    _encoded: ReservationGuard,
}

/// One partition at work.
struct InferStream {
    spec: Arc<InferSpec>,
    budget: Arc<ErrorBudget>,
    partition: usize,
    input: InferInput,
    /// ImageColumns of the input.
    width: usize,
    schema: SchemaRef,
    metrics: InferMetrics,
    memory: Arc<PartitionMemory>,
    /// Rows that are in no micro_batch yet.
    batch: Option<RecordBatch>,
    /// For their encoded images, where the pool had so much left: they are there already, and cannot be refused.
    batch_reservation: Option<ReservationGuard>,
    /// What a micro_batch of that batch takes on.
    limits: BatchLimits,
    /// Rows that are in a micro_batch, or were.
    offset: usize,
    /// Jobs whose rows were handed on.
    emitted: usize,
    in_flight: VecDeque<InFlight>,
    index: InFlightIndex,
    /// The input has no more, or an error that comes after the rows before it.
    end: Option<Result<()>>,
}

impl InferSpec {
    /// The rows of `input` with the outputs behind their columns.
    pub(super) fn stream(
        self: Arc<Self>,
        input: SendableRecordBatchStream,
        schema: SchemaRef,
        metrics: InferMetrics,
        (budget, partition_index): (Arc<ErrorBudget>, usize),
        (memory, runtime): (Arc<PartitionMemory>, Arc<RuntimeEnv>),
    ) -> impl Stream<Item = Result<RecordBatch>> {
        budget.start();
        let stream = InferStream {
            limits: BatchLimits { images: self.batch_rows, bytes: MICRO_BATCH_BYTES },
            width: input.schema().fields().len(),
            input: self.input(input, &memory, runtime, budget.partitions()),
            spec: self,
            budget,
            partition: partition_index,
            schema,
            metrics,
            memory,
            batch: None,
            batch_reservation: None,
            offset: 0,
            emitted: 0,
            in_flight: VecDeque::new(),
            index: InFlightIndex::default(),
            end: None,
        };
        stream::unfold(Some(stream), |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(stream))),
                Ok(None) => None,
                // Whatever is still under way stops with the partition.
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl InferStream {
    /// The next rows.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let max_in_flight = self.max_in_flight();
            let mut outcome = DispatchOutcome::Dispatched;
            while self.in_flight.len() < max_in_flight && outcome == DispatchOutcome::Dispatched && self.batch.is_some()
            {
                outcome = self.dispatch().await?;
            }
            let has_capacity = self.in_flight.len() < max_in_flight || matches!(self.input, InferInput::ByUri(_));
            let wants_input = self.batch.is_none() && self.end.is_none() && has_capacity;
            match (self.in_flight.front_mut(), wants_input) {
                (Some(first), true) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.fetch_time.timer();
                    tokio::select! {
                        biased;
                        done = &mut first.done => return self.emit(done).map(Some),
                        batch = self.input.next() => self.on_input(batch)?,
                    }
                }
                (Some(first), false) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.wait_time.timer();
                    let workers = Arc::clone(&self.spec.compute.workers);
                    // Where a device runs the first micro_batch, a worker may be free long before that is done.
                    let has_device = max_in_flight > workers.threads() + 1;
                    tokio::select! {
                        biased;
                        done = &mut first.done => return self.emit(done).map(Some),
                        () = workers.wait_for_permit(), if has_device && outcome == DispatchOutcome::NoPermit => {}
                    }
                }
                (None, true) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.fetch_time.timer();
                    let batch = self.input.next().await;
                    self.on_input(batch)?;
                }
                (None, false) if self.batch.is_some() => self.relieve_pressure().await?,
                (None, false) => {
                    self.metrics.record_rate();
                    self.end.take().unwrap_or(Ok(()))?;
                    self.budget.end()?;
                    self.metrics.baseline.done();
                    return Ok(None);
                }
            }
        }
    }

    /// Jobs that may be under way here: one for each worker and one that waits, and where a device runs the model, so many that
    /// it has its batches full; not from the start, since a LIMIT may want few.
    fn max_in_flight(&self) -> usize {
        let ImagePipeline { model, backend, workers, .. } = &self.spec.compute;
        let device_depth = match model.is_loaded(backend).then(|| model.queue(backend)) {
            Some(Ok(Some(queue))) => {
                let micro_batch = self.limits.images.min(MICRO_BATCH_BYTES / self.columns().tensor.max(1)).max(1);
                let depth = queue.depth().div_ceil(micro_batch * self.budget.partitions().max(1));
                depth.min(self.emitted)
            }
            _ => 0,
        };
        workers.threads() + 1 + device_depth
    }

    /// Takes a batch of the input, or its end.
    fn on_input(&mut self, batch: Option<Result<FetchedBatch>>) -> Result<()> {
        match batch {
            None => self.end = Some(Ok(())),
            Some(Err(error)) => self.end = Some(Err(error)),
            Some(Ok(fetched)) if fetched.rows.num_rows() == 0 => {}
            Some(Ok(FetchedBatch { rows: batch, reservation })) => {
                // Equal parts, and one for each worker at least.
                let rows = batch.num_rows();
                let threads = self.spec.compute.workers.threads();
                let parts = rows.div_ceil(self.spec.batch_rows).max(threads.min(rows));
                self.limits = BatchLimits { images: rows.div_ceil(parts), bytes: MICRO_BATCH_BYTES };
                let bytes = self.columns().bytes(&batch)?;
                self.batch_reservation = match self.input {
                    // They are there, counted or not; counted, they leave half of the memory to what runs.
                    InferInput::Inline(_) => self
                        .memory
                        .below_half_after(bytes)
                        .then(|| ReservationGuard::try_reserve(&self.memory, bytes))
                        .flatten(),
                    InferInput::ByUri(_) => reservation,
                };
                self.batch = Some(batch);
            }
        }
        Ok(())
    }

    fn columns(&self) -> ImageColumns {
        let tensor = self.spec.compute.vision.processor.len() * size_of::<f32>();
        match self.input {
            InferInput::Inline(_) => {
                ImageColumns { image: self.spec.image, fetch_error: None, guard: self.spec.guard, tensor }
            }
            InferInput::ByUri(_) => {
                ImageColumns { image: self.width, fetch_error: Some(self.width + 1), guard: self.spec.guard, tensor }
            }
        }
    }

    /// The rows of the first micro_batch, with their outputs.
    fn emit(&mut self, done: Result<Result<()>, oneshot::error::RecvError>) -> Result<RecordBatch> {
        let Some(InFlight { micro_batch, sources, offset, bytes, _encoded, .. }) = self.in_flight.pop_front() else {
            return internal_err!("rows without a micro_batch");
        };
        self.index.remove(&micro_batch);
        self.emitted += 1;
        done.unwrap_or_else(|_| internal_err!("a worker stopped without an answer"))?;
        let mut rows = Vec::with_capacity(sources.len());
        let mut failures = Vec::new();
        let (mut images, mut reused) = (0, 0);
        for (row, source) in sources.iter().enumerate() {
            let (from, image, is_own) = match source {
                RowSource::Masked => {
                    rows.push(None);
                    continue;
                }
                RowSource::ThisBatch(image) => (&micro_batch, *image, micro_batch.images[*image] == row),
                RowSource::EarlierBatch(earlier, image) => (earlier, *image, false),
            };
            let Some(predictions) = from.predictions.get() else {
                return internal_err!("the answer for a row is not there");
            };
            images += 1;
            match predictions.images.get(image) {
                Some(Ok(_)) => reused += usize::from(!is_own),
                Some(Err(reason)) => {
                    self.metrics.images_failed.add(1);
                    self.spec.fail_on_invalid_image(&micro_batch, offset, row, reason)?;
                    let label = match self.budget.has_limit() {
                        true => format!("{}: {reason}", self.spec.row_label(&micro_batch, offset, row)?),
                        false => String::new(),
                    };
                    failures.push((offset + row, label));
                }
                None => return internal_err!("the answer for a row is missing"),
            }
            rows.push(Some(RowPrediction { predictions, image }));
        }
        self.metrics.images_in.add(images);
        self.metrics.images_reused.add(reused);
        self.metrics.bytes_fetched.add(bytes);
        self.budget.count(self.partition, images, failures);
        let spec = &self.spec;
        let outputs = spec.outputs.iter().map(|output| output_array(&output.value, &rows, &spec.compute));
        let outputs: Vec<ArrayRef> = outputs.collect::<Result<_>>()?;
        let columns = micro_batch.rows.columns()[..self.width].iter().cloned().chain(outputs).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(DataFusionError::from);
        batch.record_output(&self.metrics.baseline)
    }
}

impl InferSpec {
    /// An error for a failures image, unless no output has one.
    fn fail_on_invalid_image(
        &self,
        micro_batch: &MicroBatch,
        offset: usize,
        row: usize,
        source: &ImageError,
    ) -> Result<()> {
        let Some(output) = self.outputs.iter().find(|output| output.value.fails_query()) else {
            return Ok(());
        };
        let (image, function) = (self.row_label(micro_batch, offset, row)?, output.value.task.name());
        Err(Error::InvalidImage { image, function, source: source.clone() }.into())
    }

    /// `'photos/cat.jpg'`, or its row where nothing names the image.
    fn row_label(&self, micro_batch: &MicroBatch, offset: usize, row: usize) -> Result<String> {
        if let Some(place) = self.label_column {
            let name = cast(&micro_batch.rows.column(place).slice(row, 1), &DataType::Utf8)?;
            if let Some(name) = name.as_string::<i32>().iter().flatten().next() {
                return Ok(format!("'{name}'"));
            }
        }
        Ok(format!("in row {} of the model input", offset + row + 1))
    }
}
