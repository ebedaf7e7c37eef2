//! Dispatch of micro-batches to the workers, and what happens when there is no permit or no memory for the next one.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::human_readable_size;
use datafusion::error::Result;
use tokio::sync::oneshot;

use super::{DispatchOutcome, InFlight, InferStream};
use crate::error::Error;
use crate::infer::compute::Predictions;
use crate::infer::image_rows::Image;
use crate::infer::input::InferInput;
use crate::infer::micro_batch::MicroBatch;
use crate::infer::reservation::ReservationGuard;
use crate::runtime::WorkerPermit;

impl InferStream {
    /// Gives a worker the next rows.
    pub(super) async fn dispatch(&mut self) -> Result<DispatchOutcome> {
        Arc::clone(&self.spec).load().await?;
        let Some(batch) = &self.batch else { return Ok(DispatchOutcome::NoMemory) };
        let Some(permit) = self.spec.compute.workers.try_acquire() else { return Ok(DispatchOutcome::NoPermit) };
        let columns = self.columns();
        let (micro_batch, sources) = columns.next_micro_batch(batch, self.limits, &self.index)?;
        let bytes = columns.bytes(&micro_batch.rows)?;
        let encoded = match &mut self.batch_reservation {
            Some(waiting) => waiting.split(bytes),
            // Only what the worker needs, as `relieve_pressure` counts it: copies of an image must not keep it from being run.
            None => match ReservationGuard::try_reserve(&self.memory, micro_batch.bytes) {
                Some(encoded) => encoded,
                None => return Ok(DispatchOutcome::NoMemory),
            },
        };
        let working = columns.peak_working_bytes(&micro_batch, self.spec.compute.max_pixels)?;
        let Some(working) = ReservationGuard::try_reserve(&self.memory, working) else {
            if let Some(waiting) = &mut self.batch_reservation {
                waiting.merge(encoded);
            }
            return Ok(DispatchOutcome::NoMemory);
        };
        self.metrics.peak_bytes.set_max(self.memory.size());
        let taken = sources.len();
        let remaining = batch.slice(taken, batch.num_rows() - taken);
        self.batch = (remaining.num_rows() > 0).then_some(remaining);
        if self.batch.is_none() {
            // What is left was for images that could not be read after all.
            self.batch_reservation = None;
        }
        let micro_batch = Arc::new(micro_batch);
        self.index.add(&micro_batch);
        let done = self.spawn(&micro_batch, permit, working);
        self.in_flight.push_back(InFlight {
            micro_batch,
            sources,
            offset: self.offset,
            done,
            bytes,
            _encoded: encoded,
        });
        self.offset += taken;
        Ok(DispatchOutcome::Dispatched)
    }

    /// Puts a micro_batch in the workers' queue.
    fn spawn(
        &self,
        micro_batch: &Arc<MicroBatch>,
        permit: WorkerPermit,
        mut pixels: ReservationGuard,
    ) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        if micro_batch.images.is_empty() {
            // All its rows have their answers elsewhere.
            let _ = micro_batch.predictions.set(Default::default());
            let _ = sender.send(Ok(()));
            return receiver;
        }
        let (micro_batch, columns, metrics) = (Arc::clone(micro_batch), self.columns(), self.metrics.clone());
        let spec = Arc::clone(&self.spec);
        // The pixels are gone before a device has run the tensors.
        let tensors = pixels.split(micro_batch.images.len() * columns.tensor);
        self.spec.compute.workers.spawn(permit, move |permit| {
            let timer = metrics.baseline.elapsed_compute().timer();
            let columns = columns.images(&micro_batch.rows);
            let images = columns.map(|images| {
                micro_batch.images.iter().filter_map(|&row| images.get(row)).collect::<Vec<EncodedImage>>()
            });
            let sender = Arc::new(Mutex::new(Some(sender)));
            let (waiting, own, counts) = (Arc::clone(&sender), Arc::clone(&micro_batch), metrics.clone());
            let done = move |predictions: Result<Predictions>, permit: WorkerPermit| {
                let done = predictions.map(|predictions| {
                    counts.images_run.add(predictions.images.iter().filter(|image| image.is_ok()).count());
                    let _ = own.predictions.set(predictions);
                });
                // Whoever waits for the permit finds the memory free.
                drop(tensors);
                drop(permit);
                // Nobody waits for the rows of a dropped stream.
                if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = sender.send(done);
                }
            };
            let is_cancelled = move || {
                let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                sender.as_ref().is_none_or(|sender| sender.is_closed())
            };
            match images {
                Ok(images) => {
                    spec.compute.run_async(&images, &metrics.times, Arc::new(is_cancelled), (permit, pixels), done);
                }
                Err(error) => done(Err(error), permit),
            }
            timer.done();
        });
        receiver
    }

    /// With nothing under way here, and no permit or memory for the next micro_batch: waits for other partitions and queries, makes the
    /// micro_batch smaller, or gives up.
    pub(super) async fn relieve_pressure(&mut self) -> Result<()> {
        let workers = Arc::clone(&self.spec.compute.workers);
        if workers.try_acquire().is_none() {
            workers.wait_for_permit().await;
            return Ok(());
        }
        if workers.is_busy() {
            workers.wait_for_completion().await;
            return Ok(());
        }
        if self.limits.images > 1 {
            self.limits.images /= 2;
            return Ok(());
        }
        let Some(batch) = &self.batch else { return Ok(()) };
        let columns = self.columns();
        let (micro_batch, _) = columns.next_micro_batch(batch, self.limits, &self.index)?;
        // The rows that wait are there, counted or not; what counts is the next one.
        self.batch_reservation = None;
        if let InferInput::ByUri(fetch) = &mut self.input {
            fetch.release();
        }
        let needed = micro_batch.bytes + columns.peak_working_bytes(&micro_batch, self.spec.compute.max_pixels)?;
        // The last chance: another operator may have let go of some meanwhile.
        if ReservationGuard::try_reserve(&self.memory, needed).is_some() {
            return Ok(());
        }
        let row = micro_batch.images.first().copied().unwrap_or(0);
        let image = self.spec.row_label(&micro_batch, self.offset, row)?;
        let (needed, limit) = (human_readable_size(needed), self.memory.display_limit());
        Err(Error::ImageExceedsMemoryLimit { image, needed, limit }.into())
    }
}
