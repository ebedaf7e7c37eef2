//! [`Batcher`]: items from many threads, run together.
//!
//! ```text
//! jobs of a few items ──▶ ┌ waiting ┐ ──▶ passes of 1, 2, 4, … items, two under way ──▶ each job's own results
//!                         └─────────┘      (the device runs one while the next one is copied)
//! ```
//! Whoever hands in a job goes on at once. An idle device takes what is there; a busy one lets a full batch gather.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use super::model::{Input, Model, Run, Tensor};
use crate::error::Error;

/// Called with the results of a job, on the batcher's thread.
pub type Done = Box<dyn FnOnce(Result<Vec<Tensor>, Error>) + Send>;

/// A thread that feeds one model. It ends when this is dropped and all jobs are done.
#[derive(Debug)]
pub struct Batcher {
    jobs: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
    /// Numbers of an item.
    size: usize,
    most: usize,
}

/// Pictures, or whatever else a model takes one behind the other.
pub struct Items {
    /// Numbers of all of them, one item behind the other.
    pub values: Vec<f32>,
    /// How many there are.
    pub count: usize,
    /// The tensors that are asked for.
    pub wanted: Vec<String>,
    /// Whether somebody still waits for them. They are dropped otherwise, and `done` with them.
    pub is_wanted: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Items that came together.
struct Job {
    items: Items,
    done: Done,
}

/// Passes under way: one that runs, one that is copied meanwhile.
const UNDER_WAY: usize = 2;

/// No card gains by more.
const LARGEST_BATCH: usize = 256;

impl Batcher {
    /// Starts the thread of a model with one input, of which an item has the shape `item`; `wanted` is what is asked for most.
    ///
    /// Batches are as large as a quarter of the device's memory allows for, 256 items at most; `fixed` is for graphs that take
    /// just so many at a time, and get zeros where there are fewer.
    ///
    /// # Errors
    /// When the graph cannot be planned for one item.
    pub fn new(model: Arc<Model>, item: Vec<usize>, fixed: Option<usize>, wanted: &[String]) -> Result<Self, Error> {
        let most = match fixed {
            Some(fixed) => fixed,
            None => largest_batch(&model, &item, wanted)?,
        };
        let size = item.iter().product();
        let (jobs, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("ocelli-gpu".to_owned());
        let spawned =
            thread.spawn(move || Feeder { model: &model, item, fixed, most, waiting: VecDeque::new() }.feed(&receiver));
        let thread = spawned.map_err(|error| Error::Lost { reason: format!("its thread does not start: {error}") })?;
        Ok(Self { jobs, thread, size, most })
    }

    /// The most items of a pass.
    pub fn largest_batch(&self) -> usize {
        self.most
    }

    /// Whether its thread runs.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Hands in some items; `done` is called with the tensors that are wanted of them, whose first axis counts items.
    pub fn push(&self, items: Items, done: Done) {
        if items.values.len() != items.count * self.size {
            let reason = format!("{} items of {} numbers came with {}", items.count, self.size, items.values.len());
            return done(Err(Error::Graph { reason }));
        }
        if let Err(mpsc::SendError(job)) = self.jobs.send(Job { items, done }) {
            (job.done)(Err(Error::Lost { reason: "its thread has stopped".to_owned() }));
        }
    }
}

/// A power of two for which there is room.
fn largest_batch(model: &Model, item: &[usize], wanted: &[String]) -> Result<usize, Error> {
    /// Of a card that does not say how much it has.
    const USUAL: u64 = 4 << 30;
    let shapes = [[&[1], item].concat()];
    let (total, largest) = model.working_bytes(&shapes, wanted)?;
    let memory = model.device().adapter().memory.unwrap_or(USUAL) / 4;
    let room = (memory / total.max(1)).min(model.device().largest_buffer() / largest.max(1));
    let room = usize::try_from(room).unwrap_or(LARGEST_BATCH).clamp(1, LARGEST_BATCH);
    Ok(1 << room.ilog2())
}

/// A job at work.
struct Begun {
    items: Items,
    /// Items that are in a pass, or were.
    taken: usize,
    results: Rc<RefCell<Results>>,
}

/// What has come of a job.
struct Results {
    tensors: Vec<Tensor>,
    /// Items that have theirs.
    ready: usize,
    items: usize,
    /// Gone when it has been called.
    done: Option<Done>,
}

/// A pass, and which items of which jobs it is for.
struct Pass<'m> {
    run: Run<'m>,
    items: usize,
    shares: Vec<(Rc<RefCell<Results>>, usize)>,
}

struct Feeder<'m> {
    model: &'m Model,
    item: Vec<usize>,
    fixed: Option<usize>,
    most: usize,
    waiting: VecDeque<Begun>,
}

impl<'m> Feeder<'m> {
    fn feed(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut passes: VecDeque<Pass<'m>> = VecDeque::new();
        loop {
            while let Ok(job) = jobs.try_recv() {
                self.accept(job);
            }
            let gathered = self.gathered();
            let is_idle = passes.is_empty() && gathered > 0;
            if is_idle || (passes.len() < UNDER_WAY && gathered >= self.most) {
                match self.start(gathered, is_idle) {
                    Some(pass) => passes.push_back(pass),
                    // For want of memory, it may be, which the one under way has.
                    None => passes.pop_front().into_iter().for_each(Pass::finish),
                }
            } else if let Some(pass) = passes.pop_front() {
                pass.finish();
            } else {
                match jobs.recv() {
                    Ok(job) => self.accept(job),
                    Err(mpsc::RecvError) => return,
                }
            }
        }
    }

    fn accept(&mut self, Job { items, done }: Job) {
        let results = Results { tensors: Vec::new(), ready: 0, items: items.count, done: Some(done) };
        let results = Rc::new(RefCell::new(results));
        if items.count == 0 {
            results.borrow_mut().end();
            return;
        }
        self.waiting.push_back(Begun { items, taken: 0, results });
    }

    /// Items that can be in one pass with the first.
    fn gathered(&mut self) -> usize {
        // One that has begun is brought to its end.
        self.waiting.retain(|job| job.taken > 0 || (job.items.is_wanted)());
        let Some(first) = self.waiting.front() else { return 0 };
        let alike = self.waiting.iter().filter(|job| job.items.wanted == first.items.wanted);
        alike.map(|job| job.items.count - job.taken).sum()
    }

    /// Starts a pass over the first items, or tells their jobs why there is none. `is_idle` when no other is under way, which
    /// would give its memory back.
    fn start(&mut self, gathered: usize, is_idle: bool) -> Option<Pass<'m>> {
        let wanted = self.waiting.front()?.items.wanted.clone();
        let size = self.item.iter().product::<usize>();
        loop {
            let (items, taken) = match self.fixed {
                Some(fixed) => (fixed, fixed.min(gathered)),
                None => {
                    let items = 1 << gathered.min(self.most).ilog2();
                    (items, items)
                }
            };
            let nothing = vec![0.0; (items - taken) * size];
            let (mut parts, mut shares, mut rest) = (Vec::new(), Vec::new(), taken);
            for job in self.waiting.iter().filter(|job| job.items.wanted == wanted) {
                let share = rest.min(job.items.count - job.taken);
                parts.push(&job.items.values[job.taken * size..][..share * size]);
                shares.push((Rc::clone(&job.results), share));
                rest -= share;
                if rest == 0 {
                    break;
                }
            }
            parts.push(&nothing);
            let shape = [&[items], &self.item[..]].concat();
            match self.model.start(&[Input { shape, parts }], &wanted) {
                Ok(run) => {
                    self.take(&wanted, taken);
                    return Some(Pass { run, items, shares });
                }
                Err(error) if error.is_memory() && !is_idle => return None,
                Err(error) if error.is_memory() && self.fixed.is_none() && items > 1 => self.most = items / 2,
                Err(error) => {
                    self.waiting.retain(|job| !shares.iter().any(|(results, _)| Rc::ptr_eq(results, &job.results)));
                    shares.iter().for_each(|(results, _)| results.borrow_mut().fail(&error));
                    return None;
                }
            }
        }
    }

    /// Counts the first items of that kind as taken.
    fn take(&mut self, wanted: &[String], mut items: usize) {
        for job in self.waiting.iter_mut().filter(|job| job.items.wanted == wanted) {
            let share = items.min(job.items.count - job.taken);
            job.taken += share;
            items -= share;
        }
        self.waiting.retain(|job| job.taken < job.items.count);
    }
}

impl Pass<'_> {
    /// Hands the results to the jobs.
    fn finish(self) {
        let whole = |tensors: Vec<Tensor>| match tensors.iter().find(|tensor| tensor.shape.first() != Some(&self.items))
        {
            Some(tensor) => {
                let reason = format!("it gave a tensor of {:?} for {} items", tensor.shape, self.items);
                Err(Error::Graph { reason })
            }
            None => Ok(tensors),
        };
        match self.run.wait().and_then(whole) {
            Err(error) => self.shares.iter().for_each(|(results, _)| results.borrow_mut().fail(&error)),
            Ok(tensors) => {
                let mut first = 0;
                for (results, share) in &self.shares {
                    results.borrow_mut().add(&tensors, first, *share, self.items);
                    first += share;
                }
            }
        }
    }
}

impl Results {
    /// Adds items of a pass.
    fn add(&mut self, tensors: &[Tensor], first: usize, share: usize, items: usize) {
        if self.tensors.is_empty() {
            self.tensors =
                tensors.iter().map(|tensor| Tensor { shape: tensor.shape.clone(), values: Vec::new() }).collect();
        }
        for (mine, tensor) in self.tensors.iter_mut().zip(tensors) {
            let size = tensor.values.len() / items;
            mine.values.extend_from_slice(&tensor.values[first * size..][..share * size]);
            if let Some(batch) = mine.shape.first_mut() {
                *batch = self.ready + share;
            }
        }
        self.ready += share;
        if self.ready == self.items {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(done) = self.done.take() {
            done(Ok(std::mem::take(&mut self.tensors)));
        }
    }

    fn fail(&mut self, error: &Error) {
        if let Some(done) = self.done.take() {
            done(Err(error.clone()));
        }
    }
}
