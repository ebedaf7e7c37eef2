//! [`Infer`]: the rows of one partition through the workers and back, in order.
//!
//! ```text
//!         fetch           cut                 window                                          emit
//! batches ─────▶ images  ────▶ micro-batches ───────▶ workers: decode, model (any order) ────────▶ the same rows, in order
//! ```
//!
//! - Images that are named by URIs are fetched while those before them are run; others are there already.
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

use super::compute::Compute;
use super::error_budget::ErrorBudget;
use super::fetch::Fetched;
use super::image_rows::Columns;
use super::input::Input;
use super::metrics::InferMetrics;
use super::micro_batch::{Job, Recent, Share, Source};
use super::output_columns::{Row, column};
use super::reservation::{Held, Memory};
use super::spec::Infer;
use crate::error::Error;

use dispatch::Started;

/// Bytes of encoded images and tensors that a worker takes at a time: enough to keep it busy, few enough for its caches.
const SHARE_BYTES: usize = 4 << 20;

/// A job under way.
struct Pending {
    job: Arc<Job>,
    /// For each row, where its answer comes from.
    sources: Vec<Source>,
    /// How many rows of the partition came before.
    offset: usize,
    done: oneshot::Receiver<Result<()>>,
    /// Encoded bytes of the images of all its rows.
    bytes: usize,
    /// For its encoded images, until its rows are handed on.
    _encoded: Held,
}

/// One partition at work.
struct Partition {
    infer: Arc<Infer>,
    budget: Arc<ErrorBudget>,
    number: usize,
    input: Input,
    /// Columns of the input.
    width: usize,
    schema: SchemaRef,
    metrics: InferMetrics,
    memory: Arc<Memory>,
    /// Rows that are in no job yet.
    batch: Option<RecordBatch>,
    /// For their encoded images, where the pool had so much left: they are there already, and cannot be refused.
    waiting: Option<Held>,
    /// What a job of that batch takes on.
    share: Share,
    /// Rows that are in a job, or were.
    offset: usize,
    /// Jobs whose rows were handed on.
    emitted: usize,
    pending: VecDeque<Pending>,
    recent: Recent,
    /// The input has no more, or an error that comes after the rows before it.
    end: Option<Result<()>>,
}

impl Infer {
    /// The rows of `input` with the outputs behind their columns.
    pub(super) fn stream(
        self: Arc<Self>,
        input: SendableRecordBatchStream,
        schema: SchemaRef,
        metrics: InferMetrics,
        (budget, number): (Arc<ErrorBudget>, usize),
        (memory, runtime): (Arc<Memory>, Arc<RuntimeEnv>),
    ) -> impl Stream<Item = Result<RecordBatch>> {
        budget.start();
        let partition = Partition {
            share: Share { images: self.batch_rows, bytes: SHARE_BYTES },
            width: input.schema().fields().len(),
            input: self.input(input, &memory, runtime, budget.partitions()),
            infer: self,
            budget,
            number,
            schema,
            metrics,
            memory,
            batch: None,
            waiting: None,
            offset: 0,
            emitted: 0,
            pending: VecDeque::new(),
            recent: Recent::default(),
            end: None,
        };
        stream::unfold(Some(partition), |partition| async move {
            let mut partition = partition?;
            match partition.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(partition))),
                Ok(None) => None,
                // Whatever is still under way stops with the partition.
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl Partition {
    /// The next rows.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let window = self.window();
            let mut started = Started::Yes;
            while self.pending.len() < window && started == Started::Yes && self.batch.is_some() {
                started = self.start().await?;
            }
            let has_room = self.pending.len() < window || matches!(self.input, Input::Named(_));
            let wants_input = self.batch.is_none() && self.end.is_none() && has_room;
            match (self.pending.front_mut(), wants_input) {
                (Some(first), true) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.fetch_time.timer();
                    tokio::select! {
                        biased;
                        done = &mut first.done => return self.emit(done).map(Some),
                        batch = self.input.next() => self.accept(batch)?,
                    }
                }
                (Some(first), false) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.wait_time.timer();
                    let workers = Arc::clone(&self.infer.compute.workers);
                    // Where a device runs the first job, a worker may be free long before that is done.
                    let is_apart = window > workers.threads() + 1;
                    tokio::select! {
                        biased;
                        done = &mut first.done => return self.emit(done).map(Some),
                        () = workers.wait_for_permit(), if is_apart && started == Started::NoSlot => {}
                    }
                }
                (None, true) => {
                    let metrics = self.metrics.clone();
                    let _timer = metrics.fetch_time.timer();
                    let batch = self.input.next().await;
                    self.accept(batch)?;
                }
                (None, false) if self.batch.is_some() => self.make_room().await?,
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
    fn window(&self) -> usize {
        let Compute { model, backend, workers, .. } = &self.infer.compute;
        let beside = match model.is_loaded(backend).then(|| model.queue(backend)) {
            Some(Ok(Some(queue))) => {
                let job = self.share.images.min(SHARE_BYTES / self.columns().tensor.max(1)).max(1);
                let most = queue.images().div_ceil(job * self.budget.partitions().max(1));
                most.min(self.emitted)
            }
            _ => 0,
        };
        workers.threads() + 1 + beside
    }

    /// Takes a batch of the input, or its end.
    fn accept(&mut self, batch: Option<Result<Fetched>>) -> Result<()> {
        match batch {
            None => self.end = Some(Ok(())),
            Some(Err(error)) => self.end = Some(Err(error)),
            Some(Ok(fetched)) if fetched.rows.num_rows() == 0 => {}
            Some(Ok(Fetched { rows: batch, held })) => {
                // Equal parts, and one for each worker at least.
                let rows = batch.num_rows();
                let threads = self.infer.compute.workers.threads();
                let parts = rows.div_ceil(self.infer.batch_rows).max(threads.min(rows));
                self.share = Share { images: rows.div_ceil(parts), bytes: SHARE_BYTES };
                let bytes = self.columns().bytes(&batch)?;
                self.waiting = match self.input {
                    // They are there, counted or not; counted, they leave half of the memory to what runs.
                    Input::There(_) => {
                        self.memory.leaves_half(bytes).then(|| Held::take(&self.memory, bytes)).flatten()
                    }
                    Input::Named(_) => held,
                };
                self.batch = Some(batch);
            }
        }
        Ok(())
    }

    fn columns(&self) -> Columns {
        let tensor = self.infer.compute.vision.preprocess.len() * size_of::<f32>();
        match self.input {
            Input::There(_) => Columns { image: self.infer.image, unreadable: None, guard: self.infer.guard, tensor },
            Input::Named(_) => {
                Columns { image: self.width, unreadable: Some(self.width + 1), guard: self.infer.guard, tensor }
            }
        }
    }

    /// The rows of the first job, with their outputs.
    fn emit(&mut self, done: Result<Result<()>, oneshot::error::RecvError>) -> Result<RecordBatch> {
        let Some(Pending { job, sources, offset, bytes, _encoded, .. }) = self.pending.pop_front() else {
            return internal_err!("rows without a job");
        };
        self.recent.remove(&job);
        self.emitted += 1;
        done.unwrap_or_else(|_| internal_err!("a worker stopped without an answer"))?;
        let mut rows = Vec::with_capacity(sources.len());
        let mut bad = Vec::new();
        let (mut images, mut reused) = (0, 0);
        for (row, source) in sources.iter().enumerate() {
            let (from, image, is_own) = match source {
                Source::Nothing => {
                    rows.push(None);
                    continue;
                }
                Source::Own(image) => (&job, *image, job.images[*image] == row),
                Source::Earlier(earlier, image) => (earlier, *image, false),
            };
            let Some(findings) = from.findings.get() else {
                return internal_err!("the answer for a row is not there");
            };
            images += 1;
            match findings.images.get(image) {
                Some(Ok(_)) => reused += usize::from(!is_own),
                Some(Err(reason)) => {
                    self.metrics.images_failed.add(1);
                    self.infer.raise(&job, offset, row, reason)?;
                    let said = match self.budget.has_limit() {
                        true => format!("{}: {reason}", self.infer.place(&job, offset, row)?),
                        false => String::new(),
                    };
                    bad.push((offset + row, said));
                }
                None => return internal_err!("the answer for a row is missing"),
            }
            rows.push(Some(Row { findings, image }));
        }
        self.metrics.images_in.add(images);
        self.metrics.images_reused.add(reused);
        self.metrics.bytes_fetched.add(bytes);
        self.budget.count(self.number, images, bad);
        let infer = &self.infer;
        let outputs = infer.outputs.iter().map(|output| column(&output.value, &rows, &infer.compute));
        let outputs: Vec<ArrayRef> = outputs.collect::<Result<_>>()?;
        let columns = job.rows.columns()[..self.width].iter().cloned().chain(outputs).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(DataFusionError::from);
        batch.record_output(&self.metrics.baseline)
    }
}

impl Infer {
    /// An error for a bad image, unless no output has one.
    fn raise(&self, job: &Job, offset: usize, row: usize, source: &ImageError) -> Result<()> {
        let Some(output) = self.outputs.iter().find(|output| output.value.fails_query()) else {
            return Ok(());
        };
        let (place, function) = (self.place(job, offset, row)?, output.value.task.name());
        Err(Error::InvalidImage { image: place, function, source: source.clone() }.into())
    }

    /// `'photos/cat.jpg'`, or its row where nothing names the image.
    fn place(&self, job: &Job, offset: usize, row: usize) -> Result<String> {
        if let Some(place) = self.place {
            let name = cast(&job.rows.column(place).slice(row, 1), &DataType::Utf8)?;
            if let Some(name) = name.as_string::<i32>().iter().flatten().next() {
                return Ok(format!("'{name}'"));
            }
        }
        Ok(format!("in row {} of the model input", offset + row + 1))
    }
}
