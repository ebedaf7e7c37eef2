//! [`DynamicBatcher`]: dynamic batching: requests from many threads are run in shared batches.
//!
//! ```text
//! requests of a few items ──▶ ┌ queue ┐ ──▶ batches of 1, 2, 4, … items, two in flight ──▶ the results of each request
//!                             └───────┘      (the device runs one while the next one is uploaded)
//! ```
//! Submitting a request does not block. An idle device runs whatever is queued; a busy one waits for a full batch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use super::model::{Input, Model, OutputTensor, Run};
use crate::error::Error;

/// Called with the results of a request, on the batcher's thread.
pub type Completion = Box<dyn FnOnce(Result<Vec<OutputTensor>, Error>) + Send>;

/// A thread that runs one model in batches. It ends once this is dropped and all requests are complete.
#[derive(Debug)]
pub struct DynamicBatcher {
    sender: mpsc::Sender<QueuedRequest>,
    thread: thread::JoinHandle<()>,
    /// Elements of an item.
    item_len: usize,
    max_batch: usize,
}

/// Items, such as images, to be run through the model.
pub struct BatchRequest {
    /// The elements of all items, item after item.
    pub values: Vec<f32>,
    /// The number of items.
    pub count: usize,
    /// The names of the requested outputs.
    pub outputs: Vec<String>,
    /// Whether the request has been cancelled. It is then dropped together with its completion, unless a batch with some of its
    /// items has already started.
    pub is_cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

struct QueuedRequest {
    request: BatchRequest,
    completion: Completion,
}

/// Ping-pong buffers: one batch runs while the next one is uploaded.
const MAX_IN_FLIGHT: usize = 2;

/// Larger batches do not increase throughput.
const MAX_BATCH: usize = 256;

impl DynamicBatcher {
    /// Starts the thread for a model with one input, whose items have the shape `item_shape`; `outputs` are those requested most
    /// often, for which the batch size is chosen.
    ///
    /// Batches use at most a quarter of the device's memory and have at most 256 items. A graph with a static batch dimension has a
    /// `fixed_batch`; smaller batches are zero-padded here, because only this thread knows which requests share a batch.
    ///
    /// # Errors
    /// If the graph cannot be planned for one item.
    pub fn new(
        model: Arc<Model>,
        item_shape: Vec<usize>,
        fixed_batch: Option<usize>,
        outputs: &[String],
    ) -> Result<Self, Error> {
        let max_batch = match fixed_batch {
            Some(fixed_batch) => fixed_batch,
            None => max_batch_in_memory(&model, &item_shape, outputs)?,
        };
        let item_len = item_shape.iter().product();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("ocelli-gpu".to_owned());
        let spawned = thread.spawn(move || {
            BatchLoop { model: &model, item_shape, fixed_batch, max_batch, queue: VecDeque::new() }.run(&receiver);
        });
        let thread =
            spawned.map_err(|error| Error::Lost { reason: format!("cannot start the batching thread: {error}") })?;
        Ok(Self { sender, thread, item_len, max_batch })
    }

    /// The largest number of items of a batch.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Whether the batching thread is running.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Queues a request; `completion` is called with its outputs, whose first axis is the batch axis.
    pub fn push(&self, request: BatchRequest, completion: Completion) {
        if request.values.len() != request.count * self.item_len {
            let BatchRequest { count, values, .. } = &request;
            let reason = format!("{count} items of {} elements each, got {} elements", self.item_len, values.len());
            return completion(Err(Error::Graph { reason }));
        }
        if let Err(mpsc::SendError(queued)) = self.sender.send(QueuedRequest { request, completion }) {
            (queued.completion)(Err(Error::Lost { reason: "the batching thread has stopped".to_owned() }));
        }
    }
}

/// The largest power of two of items that fits the memory budget.
fn max_batch_in_memory(model: &Model, item_shape: &[usize], outputs: &[String]) -> Result<usize, Error> {
    /// For devices that do not report their memory.
    const DEFAULT_DEVICE_MEMORY: u64 = 4 << 30;
    let shapes = [[&[1], item_shape].concat()];
    let (total, largest) = model.working_set_bytes(&shapes, outputs)?;
    let budget = model.device().adapter().memory_bytes.unwrap_or(DEFAULT_DEVICE_MEMORY) / 4;
    let items = (budget / total.max(1)).min(model.device().max_buffer_size() / largest.max(1));
    let items = usize::try_from(items).unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH);
    Ok(1 << items.ilog2())
}

/// A queued request that the loop has accepted.
struct ActiveRequest {
    request: BatchRequest,
    /// Items that are part of a batch, in flight or complete.
    started: usize,
    results: Rc<RefCell<Results>>,
}

/// The results of a request so far.
struct Results {
    tensors: Vec<OutputTensor>,
    /// Items whose outputs are in `tensors`.
    ready: usize,
    count: usize,
    /// `None` once it has been called.
    completion: Option<Completion>,
}

struct InFlightBatch<'m> {
    run: Run<'m>,
    /// Items of the batch, padding included.
    size: usize,
    /// For each request its number of items in the batch.
    slices: Vec<(Rc<RefCell<Results>>, usize)>,
}

/// The state of the batching thread.
struct BatchLoop<'m> {
    model: &'m Model,
    item_shape: Vec<usize>,
    fixed_batch: Option<usize>,
    max_batch: usize,
    queue: VecDeque<ActiveRequest>,
}

impl<'m> BatchLoop<'m> {
    fn run(mut self, receiver: &mpsc::Receiver<QueuedRequest>) {
        let mut in_flight: VecDeque<InFlightBatch<'m>> = VecDeque::new();
        loop {
            while let Ok(queued) = receiver.try_recv() {
                self.accept(queued);
            }
            let ready_items = self.ready_items();
            let is_idle = in_flight.is_empty() && ready_items > 0;
            if is_idle || (in_flight.len() < MAX_IN_FLIGHT && ready_items >= self.max_batch) {
                match self.start(ready_items, is_idle) {
                    Some(batch) => in_flight.push_back(batch),
                    // Possibly out of memory, which the batch in flight will release.
                    None => in_flight.pop_front().into_iter().for_each(InFlightBatch::finish),
                }
            } else if let Some(batch) = in_flight.pop_front() {
                batch.finish();
            } else {
                match receiver.recv() {
                    Ok(queued) => self.accept(queued),
                    Err(mpsc::RecvError) => return,
                }
            }
        }
    }

    fn accept(&mut self, QueuedRequest { request, completion }: QueuedRequest) {
        let results = Results { tensors: Vec::new(), ready: 0, count: request.count, completion: Some(completion) };
        let results = Rc::new(RefCell::new(results));
        if request.count == 0 {
            results.borrow_mut().complete();
            return;
        }
        self.queue.push_back(ActiveRequest { request, started: 0, results });
    }

    /// Drops cancelled requests; returns the number of queued items that can share a batch with the first one.
    fn ready_items(&mut self) -> usize {
        // A request that has started is finished.
        self.queue.retain(|active| active.started > 0 || !(active.request.is_cancelled)());
        let Some(first) = self.queue.front() else { return 0 };
        let compatible = self.queue.iter().filter(|active| active.request.outputs == first.request.outputs);
        compatible.map(|active| active.request.count - active.started).sum()
    }

    /// Starts a batch of the first items; if it fails, fails the requests in it. If other batches are in flight (not `is_idle`), a
    /// lack of memory fails no request, since those will release theirs.
    fn start(&mut self, ready_items: usize, is_idle: bool) -> Option<InFlightBatch<'m>> {
        let outputs = self.queue.front()?.request.outputs.clone();
        let item_len = self.item_shape.iter().product::<usize>();
        loop {
            let (size, used) = match self.fixed_batch {
                Some(fixed_batch) => (fixed_batch, fixed_batch.min(ready_items)),
                None => {
                    let size = 1 << ready_items.min(self.max_batch).ilog2();
                    (size, size)
                }
            };
            let padding = vec![0.0; (size - used) * item_len];
            let (mut chunks, mut slices, mut remaining) = (Vec::new(), Vec::new(), used);
            for active in self.queue.iter().filter(|active| active.request.outputs == outputs) {
                let count = remaining.min(active.request.count - active.started);
                chunks.push(&active.request.values[active.started * item_len..][..count * item_len]);
                slices.push((Rc::clone(&active.results), count));
                remaining -= count;
                if remaining == 0 {
                    break;
                }
            }
            chunks.push(&padding);
            let shape = [&[size], &self.item_shape[..]].concat();
            match self.model.start(&[Input { shape, chunks }], &outputs) {
                Ok(run) => {
                    self.mark_started(&outputs, used);
                    return Some(InFlightBatch { run, size, slices });
                }
                Err(error) if error.is_memory_limit() && !is_idle => return None,
                Err(error) if error.is_memory_limit() && self.fixed_batch.is_none() && size > 1 => {
                    self.max_batch = size / 2;
                }
                Err(error) => {
                    self.queue.retain(|active| !slices.iter().any(|(results, _)| Rc::ptr_eq(results, &active.results)));
                    slices.iter().for_each(|(results, _)| results.borrow_mut().fail(&error));
                    return None;
                }
            }
        }
    }

    /// Marks the first `items` items that request `outputs` as started, and removes requests that have started completely.
    fn mark_started(&mut self, outputs: &[String], mut items: usize) {
        for active in self.queue.iter_mut().filter(|active| active.request.outputs == outputs) {
            let count = items.min(active.request.count - active.started);
            active.started += count;
            items -= count;
        }
        self.queue.retain(|active| active.started < active.request.count);
    }
}

impl InFlightBatch<'_> {
    /// Waits for the batch and distributes its outputs to the requests.
    fn finish(self) {
        let check_batch_axis =
            |tensors: Vec<OutputTensor>| match tensors.iter().find(|tensor| tensor.shape.first() != Some(&self.size)) {
                Some(tensor) => {
                    let reason =
                        format!("the output shape {:?} does not start with batch size {}", tensor.shape, self.size);
                    Err(Error::Graph { reason })
                }
                None => Ok(tensors),
            };
        match self.run.wait().and_then(check_batch_axis) {
            Err(error) => self.slices.iter().for_each(|(results, _)| results.borrow_mut().fail(&error)),
            Ok(tensors) => {
                let mut first = 0;
                for (results, count) in &self.slices {
                    results.borrow_mut().append(&tensors, first, *count, self.size);
                    first += count;
                }
            }
        }
    }
}

impl Results {
    /// Appends items `first..first + count` of a batch of `batch_size` items.
    fn append(&mut self, tensors: &[OutputTensor], first: usize, count: usize, batch_size: usize) {
        if self.tensors.is_empty() {
            self.tensors =
                tensors.iter().map(|tensor| OutputTensor { shape: tensor.shape.clone(), values: Vec::new() }).collect();
        }
        for (result, tensor) in self.tensors.iter_mut().zip(tensors) {
            let item_len = tensor.values.len() / batch_size;
            result.values.extend_from_slice(&tensor.values[first * item_len..][..count * item_len]);
            if let Some(batch) = result.shape.first_mut() {
                *batch = self.ready + count;
            }
        }
        self.ready += count;
        if self.ready == self.count {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if let Some(completion) = self.completion.take() {
            completion(Ok(std::mem::take(&mut self.tensors)));
        }
    }

    fn fail(&mut self, error: &Error) {
        if let Some(completion) = self.completion.take() {
            completion(Err(error.clone()));
        }
    }
}
