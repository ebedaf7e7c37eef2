//! Dispatch of micro-batches to the workers, and what happens when there is no permit or no memory for the next one.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::human_readable_size;
use datafusion::error::Result;
use tokio::sync::oneshot;

use super::{Partition, Pending};
use crate::error::Error;
use crate::infer::compute::Findings;
use crate::infer::image_rows::Image;
use crate::infer::input::Input;
use crate::infer::micro_batch::Job;
use crate::infer::reservation::Held;
use crate::runtime::WorkerPermit;

/// Whether a worker got the next rows, or what there is none of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Started {
    Yes,
    NoSlot,
    NoMemory,
}

impl Partition {
    /// Gives a worker the next rows.
    pub(super) async fn start(&mut self) -> Result<Started> {
        Arc::clone(&self.infer).load().await?;
        let Some(batch) = &self.batch else { return Ok(Started::NoMemory) };
        let Some(slot) = self.infer.compute.workers.try_acquire() else { return Ok(Started::NoSlot) };
        let columns = self.columns();
        let (job, sources) = columns.take(batch, self.share, &self.recent)?;
        let bytes = columns.bytes(&job.rows)?;
        let encoded = match &mut self.waiting {
            Some(waiting) => waiting.split(bytes),
            // Only what the worker needs, as `make_room` counts it: copies of an image must not keep it from being run.
            None => match Held::take(&self.memory, job.bytes) {
                Some(encoded) => encoded,
                None => return Ok(Started::NoMemory),
            },
        };
        let working = columns.working_bytes(&job, self.infer.compute.max_pixels)?;
        let Some(working) = Held::take(&self.memory, working) else {
            if let Some(waiting) = &mut self.waiting {
                waiting.join(encoded);
            }
            return Ok(Started::NoMemory);
        };
        self.metrics.peak_bytes.set_max(self.memory.size());
        let taken = sources.len();
        let rest = batch.slice(taken, batch.num_rows() - taken);
        self.batch = (rest.num_rows() > 0).then_some(rest);
        if self.batch.is_none() {
            // What is left was for images that could not be read after all.
            self.waiting = None;
        }
        let job = Arc::new(job);
        self.recent.add(&job);
        let done = self.spawn(&job, slot, working);
        self.pending.push_back(Pending { job, sources, offset: self.offset, done, bytes, _encoded: encoded });
        self.offset += taken;
        Ok(Started::Yes)
    }

    /// Puts a job in the workers' queue.
    fn spawn(&self, job: &Arc<Job>, slot: WorkerPermit, mut pixels: Held) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        if job.images.is_empty() {
            // All its rows have their answers elsewhere.
            let _ = job.findings.set(Default::default());
            let _ = sender.send(Ok(()));
            return receiver;
        }
        let (job, columns, metrics) = (Arc::clone(job), self.columns(), self.metrics.clone());
        let infer = Arc::clone(&self.infer);
        // The pixels are gone before a device has run the tensors.
        let tensors = pixels.split(job.images.len() * columns.tensor);
        self.infer.compute.workers.spawn(slot, move |slot| {
            let timer = metrics.baseline.elapsed_compute().timer();
            let columns = columns.images(&job.rows);
            let images =
                columns.map(|images| job.images.iter().filter_map(|&row| images.get(row)).collect::<Vec<Image>>());
            let sender = Arc::new(Mutex::new(Some(sender)));
            let (waiting, own, counts) = (Arc::clone(&sender), Arc::clone(&job), metrics.clone());
            let done = move |findings: Result<Findings>, slot: WorkerPermit| {
                let done = findings.map(|findings| {
                    counts.images_run.add(findings.images.iter().filter(|image| image.is_ok()).count());
                    let _ = own.findings.set(findings);
                });
                // Whoever waits for the slot finds the memory free.
                drop(tensors);
                drop(slot);
                // Nobody waits for the rows of a dropped stream.
                if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = sender.send(done);
                }
            };
            let is_wanted = move || {
                let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                sender.as_ref().is_some_and(|sender| !sender.is_closed())
            };
            match images {
                Ok(images) => {
                    infer.compute.start(&images, &metrics.times, Arc::new(is_wanted), (slot, pixels), done);
                }
                Err(error) => done(Err(error), slot),
            }
            timer.done();
        });
        receiver
    }

    /// With nothing under way here, and no slot or memory for the next job: waits for other partitions and queries, makes the
    /// job smaller, or gives up.
    pub(super) async fn make_room(&mut self) -> Result<()> {
        let workers = Arc::clone(&self.infer.compute.workers);
        if workers.try_acquire().is_none() {
            workers.wait_for_permit().await;
            return Ok(());
        }
        if workers.is_busy() {
            workers.wait_for_completion().await;
            return Ok(());
        }
        if self.share.images > 1 {
            self.share.images /= 2;
            return Ok(());
        }
        let Some(batch) = &self.batch else { return Ok(()) };
        let columns = self.columns();
        let (job, _) = columns.take(batch, self.share, &self.recent)?;
        // The rows that wait are there, counted or not; what counts is the next one.
        self.waiting = None;
        if let Input::Named(fetch) = &mut self.input {
            fetch.release();
        }
        let needed = job.bytes + columns.working_bytes(&job, self.infer.compute.max_pixels)?;
        // The last chance: another operator may have let go of some meanwhile.
        if Held::take(&self.memory, needed).is_some() {
            return Ok(());
        }
        let row = job.images.first().copied().unwrap_or(0);
        let place = self.infer.place(&job, self.offset, row)?;
        let (needed, limit) = (human_readable_size(needed), self.memory.shown_limit());
        Err(Error::ImageExceedsMemoryLimit { image: place, needed, limit }.into())
    }
}
