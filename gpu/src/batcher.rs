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

use crate::error::Error;
use crate::model::{Input, Model, Run, Tensor};

/// Called with the results of a job, on the batcher's thread.
pub type Done = Box<dyn FnOnce(Result<Vec<Tensor>, Error>) + Send>;

/// A thread that feeds one model. It ends when this is dropped and all jobs are done.
#[derive(Debug)]
pub struct Batcher {
    jobs: mpsc::Sender<Job>,
    most: usize,
}

/// Items that came together.
struct Job {
    /// Numbers of all of them, one item behind the other.
    values: Vec<f32>,
    items: usize,
    wanted: Vec<String>,
    done: Done,
}

/// Passes under way: one that runs, one that is copied meanwhile.
const UNDER_WAY: usize = 2;

/// No card gains by more.
const LARGEST_BATCH: usize = 256;

impl Batcher {
    /// Starts the thread of a model with one input, of which an item has the shape `item`; `wanted` is what is asked for most.
    ///
    /// Batches are as large as a quarter of the device's memory allows for, 256 items at most.
    ///
    /// # Errors
    /// When the graph cannot be planned for one item.
    pub fn new(model: Arc<Model>, item: Vec<usize>, wanted: &[String]) -> Result<Self, Error> {
        let most = largest_batch(&model, &item, wanted)?;
        let (jobs, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("ocelli-gpu".to_owned());
        let spawned =
            thread.spawn(move || Feeder { model: &model, item, most, waiting: VecDeque::new() }.feed(&receiver));
        spawned.map_err(|error| Error::Lost { reason: format!("its thread does not start: {error}") })?;
        Ok(Self { jobs, most })
    }

    /// The most items of a pass.
    pub fn largest_batch(&self) -> usize {
        self.most
    }

    /// Hands in some items; `done` is called with the tensors `wanted` of them, whose first axis counts items.
    pub fn push(&self, values: Vec<f32>, items: usize, wanted: Vec<String>, done: Done) {
        let job = Job { values, items, wanted, done };
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
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
    values: Vec<f32>,
    items: usize,
    wanted: Vec<String>,
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
                if let Some(pass) = self.start() {
                    passes.push_back(pass);
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

    fn accept(&mut self, Job { values, items, wanted, done }: Job) {
        let results = Results { tensors: Vec::new(), ready: 0, items, done: Some(done) };
        let results = Rc::new(RefCell::new(results));
        if items == 0 {
            results.borrow_mut().end();
            return;
        }
        self.waiting.push_back(Begun { values, items, wanted, taken: 0, results });
    }

    /// Items at the front that can be in one pass.
    fn gathered(&self) -> usize {
        let Some(first) = self.waiting.front() else { return 0 };
        self.waiting.iter().take_while(|job| job.wanted == first.wanted).map(|job| job.items - job.taken).sum()
    }

    /// Starts a pass over the items at the front, or tells their jobs why there is none.
    fn start(&mut self) -> Option<Pass<'m>> {
        let wanted = self.waiting.front()?.wanted.clone();
        let size = self.item.iter().product::<usize>();
        loop {
            let items = 1 << self.gathered().min(self.most).ilog2();
            let (mut parts, mut shares, mut rest) = (Vec::new(), Vec::new(), items);
            for job in &self.waiting {
                let share = rest.min(job.items - job.taken);
                parts.push(&job.values[job.taken * size..][..share * size]);
                shares.push((Rc::clone(&job.results), share));
                rest -= share;
                if rest == 0 {
                    break;
                }
            }
            let shape = [&[items], &self.item[..]].concat();
            match self.model.start(&[Input { shape, parts }], &wanted) {
                Ok(run) => {
                    self.take(items);
                    return Some(Pass { run, items, shares });
                }
                Err(error) if error.is_memory() && items > 1 => self.most = items / 2,
                Err(error) => {
                    self.waiting.retain(|job| !shares.iter().any(|(results, _)| Rc::ptr_eq(results, &job.results)));
                    shares.iter().for_each(|(results, _)| results.borrow_mut().fail(&error));
                    return None;
                }
            }
        }
    }

    /// Counts the items at the front as taken.
    fn take(&mut self, mut items: usize) {
        while let Some(job) = self.waiting.front_mut().filter(|_| items > 0) {
            let share = items.min(job.items - job.taken);
            job.taken += share;
            items -= share;
            if job.taken == job.items {
                self.waiting.pop_front();
            }
        }
    }
}

impl Pass<'_> {
    /// Hands the results to the jobs.
    fn finish(self) {
        match self.run.wait() {
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
