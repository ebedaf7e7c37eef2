//! [`InferStream`]: runs the rows of one partition on the worker pool and returns them in order.
//!
//! ```text
//!         fetch           split                 dispatch                                      emit
//! batches ─────▶ images  ─────▶ micro-batches ─────────▶ workers: decode, model (any order) ─────▶ the same rows, in order
//! ```
//!
//! - Prefetching: images that are given by URI are fetched while earlier ones run ([`ImageFetcher`](super::fetch::ImageFetcher)).
//! - Micro-batching: a batch is split evenly, into at least one micro-batch per worker.
//! - Bounded in-flight window with back-pressure: over all queries, one micro-batch per worker runs and one is queued, so that no worker
//!   is idle.
//! - A micro-batch reserves its memory before it is dispatched. If the pool is exhausted, it waits for those in flight; if none is in
//!   flight, it is halved. Only a micro-batch of one image can fail.
//! - In-flight request deduplication: an image that is identical to one in flight reuses its prediction.

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

/// The maximum size of the encoded images and tensors of a micro-batch: large enough to amortize the dispatch, small enough for the
/// caches of a core.
const MICRO_BATCH_BYTES: usize = 4 << 20;

/// A micro-batch that has been dispatched and not been emitted.
struct InFlight {
    micro_batch: Arc<MicroBatch>,
    /// The source of each row's prediction.
    sources: Vec<RowSource>,
    /// The number of rows of the partition before this micro-batch.
    offset: usize,
    done: oneshot::Receiver<Result<()>>,
    /// The total encoded size of the images of all rows, duplicates included.
    encoded_bytes: usize,
    /// The reservation of the encoded images, released when the rows are emitted.
    _reservation: ReservationGuard,
}

/// Outcome of dispatching the next micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DispatchOutcome {
    Dispatched,
    /// All worker permits are taken.
    NoPermit,
    /// The memory pool is exhausted.
    NoMemory,
}

/// The state of one partition.
struct InferStream {
    spec: Arc<InferSpec>,
    budget: Arc<ErrorBudget>,
    /// The index of the partition.
    partition: usize,
    input: InferInput,
    /// The number of input columns.
    input_width: usize,
    schema: SchemaRef,
    metrics: InferMetrics,
    memory: Arc<PartitionMemory>,
    /// Input rows that have not been dispatched.
    batch: Option<RecordBatch>,
    /// The reservation of the encoded images of `batch`. `None` if too little memory was free, which is not an error: the images are in
    /// memory already.
    batch_reservation: Option<ReservationGuard>,
    /// The limits of the micro-batches of `batch`.
    limits: BatchLimits,
    /// The number of dispatched rows.
    offset: usize,
    /// The number of emitted micro-batches.
    emitted: usize,
    /// The micro-batches in flight, in row order.
    in_flight: VecDeque<InFlight>,
    in_flight_index: InFlightIndex,
    /// Set at the end of the input: its error, if any, is returned after the rows before it.
    end: Option<Result<()>>,
}

impl InferSpec {
    /// The rows of `input` with the outputs appended.
    pub(super) fn stream(
        self: Arc<Self>,
        input: SendableRecordBatchStream,
        schema: SchemaRef,
        metrics: InferMetrics,
        (budget, partition): (Arc<ErrorBudget>, usize),
        (memory, runtime): (Arc<PartitionMemory>, Arc<RuntimeEnv>),
    ) -> impl Stream<Item = Result<RecordBatch>> {
        budget.start();
        let state = InferStream {
            limits: BatchLimits { images: self.batch_rows, bytes: MICRO_BATCH_BYTES },
            input_width: input.schema().fields().len(),
            input: self.input(input, &memory, runtime, budget.partitions()),
            spec: self,
            budget,
            partition,
            schema,
            metrics,
            memory,
            batch: None,
            batch_reservation: None,
            offset: 0,
            emitted: 0,
            in_flight: VecDeque::new(),
            in_flight_index: InFlightIndex::default(),
            end: None,
        };
        stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(state))),
                Ok(None) => None,
                // Dropping the state cancels the micro-batches in flight.
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl InferStream {
    /// Returns the rows of the next micro-batch, `None` at the end. Fills the in-flight window while it waits.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let max_in_flight = self.max_in_flight();
            let mut outcome = DispatchOutcome::Dispatched;
            while self.in_flight.len() < max_in_flight && outcome == DispatchOutcome::Dispatched && self.batch.is_some()
            {
                outcome = self.dispatch().await?;
            }
            let has_capacity = self.in_flight.len() < max_in_flight || matches!(self.input, InferInput::ByUri(_));
            let needs_input = self.batch.is_none() && self.end.is_none() && has_capacity;
            match (self.in_flight.front_mut(), needs_input) {
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
                    let workers = Arc::clone(&self.spec.pipeline.workers);
                    // While a device runs the first micro-batch, a worker can become free.
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
                    self.metrics.record_throughput();
                    self.end.take().unwrap_or(Ok(()))?;
                    self.budget.end()?;
                    self.metrics.baseline.done();
                    return Ok(None);
                }
            }
        }
    }

    /// The size of the in-flight window, in micro-batches: one per worker and one queued. For a device, also enough to fill its queue,
    /// but not more than have been emitted (slow start), because a LIMIT may need few rows.
    fn max_in_flight(&self) -> usize {
        let ImagePipeline { model, backend, workers, .. } = &self.spec.pipeline;
        let on_device = match model.is_loaded(backend).then(|| model.queue(backend)) {
            Some(Ok(Some(queue))) => {
                let images = self.limits.images.min(MICRO_BATCH_BYTES / self.columns().tensor_bytes.max(1)).max(1);
                let micro_batches = queue.depth().div_ceil(images * self.budget.partitions().max(1));
                micro_batches.min(self.emitted)
            }
            _ => 0,
        };
        workers.threads() + 1 + on_device
    }

    /// Accepts a batch of the input, or its end.
    fn on_input(&mut self, batch: Option<Result<FetchedBatch>>) -> Result<()> {
        match batch {
            None => self.end = Some(Ok(())),
            Some(Err(error)) => self.end = Some(Err(error)),
            Some(Ok(fetched)) if fetched.rows.num_rows() == 0 => {}
            Some(Ok(FetchedBatch { rows: batch, reservation })) => {
                // Micro-batches of equal size, at least one per worker.
                let rows = batch.num_rows();
                let threads = self.spec.pipeline.workers.threads();
                let micro_batches = rows.div_ceil(self.spec.batch_rows).max(threads.min(rows));
                self.limits = BatchLimits { images: rows.div_ceil(micro_batches), bytes: MICRO_BATCH_BYTES };
                let bytes = self.columns().encoded_bytes(&batch)?;
                self.batch_reservation = match self.input {
                    // The images are in memory already. They are reserved only if that leaves half of the pool to what runs.
                    InferInput::Inline(_) => {
                        let may_reserve = self.memory.below_half_after(bytes);
                        may_reserve.then(|| ReservationGuard::try_reserve(&self.memory, bytes)).flatten()
                    }
                    InferInput::ByUri(_) => reservation,
                };
                self.batch = Some(batch);
            }
        }
        Ok(())
    }

    fn columns(&self) -> ImageColumns {
        let (guard, width) = (self.spec.guard, self.input_width);
        let tensor_bytes = self.spec.pipeline.image_task.processor.len() * size_of::<f32>();
        match self.input {
            InferInput::Inline(_) => ImageColumns { image: self.spec.image, fetch_error: None, guard, tensor_bytes },
            InferInput::ByUri(_) => ImageColumns { image: width, fetch_error: Some(width + 1), guard, tensor_bytes },
        }
    }

    /// Returns the rows of the first micro-batch in flight, which is `done`, with the outputs appended.
    fn emit(&mut self, done: Result<Result<()>, oneshot::error::RecvError>) -> Result<RecordBatch> {
        let Some(InFlight { micro_batch, sources, offset, encoded_bytes, _reservation, .. }) =
            self.in_flight.pop_front()
        else {
            return internal_err!("no micro-batch is in flight");
        };
        self.in_flight_index.remove(&micro_batch);
        self.emitted += 1;
        done.unwrap_or_else(|_| internal_err!("a worker stopped without a result"))?;
        let mut rows = Vec::with_capacity(sources.len());
        let mut failures = Vec::new();
        let (mut images, mut reused) = (0, 0);
        for (row, source) in sources.iter().enumerate() {
            let (from, image, is_run) = match source {
                RowSource::Masked => {
                    rows.push(None);
                    continue;
                }
                RowSource::ThisBatch(image) => (&micro_batch, *image, micro_batch.images[*image] == row),
                RowSource::EarlierBatch(earlier, image) => (earlier, *image, false),
            };
            let Some(predictions) = from.predictions.get() else {
                return internal_err!("a micro-batch completed without predictions");
            };
            images += 1;
            match predictions.images.get(image) {
                Some(Ok(_)) => reused += usize::from(!is_run),
                Some(Err(reason)) => {
                    self.metrics.images_failed.add(1);
                    self.spec.fail_on_invalid_image(&micro_batch, offset, row, reason)?;
                    let message = match self.budget.has_limit() {
                        true => format!("{}: {reason}", self.spec.row_label(&micro_batch, offset, row)?),
                        false => String::new(),
                    };
                    failures.push((offset + row, message));
                }
                None => return internal_err!("the prediction of a row is missing"),
            }
            rows.push(Some(RowPrediction { predictions, image }));
        }
        self.metrics.images_in.add(images);
        self.metrics.images_reused.add(reused);
        self.metrics.bytes_fetched.add(encoded_bytes);
        self.budget.count(self.partition, images, failures);
        let spec = &self.spec;
        let outputs = spec.outputs.iter().map(|output| output_array(&output.value, &rows, &spec.pipeline));
        let outputs: Vec<ArrayRef> = outputs.collect::<Result<_>>()?;
        let columns = micro_batch.rows.columns()[..self.input_width].iter().cloned().chain(outputs).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(DataFusionError::from);
        batch.record_output(&self.metrics.baseline)
    }
}

impl InferSpec {
    /// Returns the error of an invalid image if it fails the query.
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

    /// The name of a row's image in messages: `'photos/cat.jpg'`, or the row number if no column names it.
    fn row_label(&self, micro_batch: &MicroBatch, offset: usize, row: usize) -> Result<String> {
        if let Some(column) = self.label_column {
            let name = cast(&micro_batch.rows.column(column).slice(row, 1), &DataType::Utf8)?;
            if let Some(name) = name.as_string::<i32>().iter().flatten().next() {
                return Ok(format!("'{name}'"));
            }
        }
        Ok(format!("in row {} of the model input", offset + row + 1))
    }
}
