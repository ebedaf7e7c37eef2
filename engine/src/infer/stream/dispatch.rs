//! Dispatch of micro-batches to the worker pool, and the back-off if there is no permit or no memory for the next one.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::human_readable_size;
use datafusion::error::Result;
use tokio::sync::oneshot;

use super::{DispatchOutcome, InFlight, InferStream};
use crate::error::Error;
use crate::infer::compute::Predictions;
use crate::infer::image_rows::EncodedImage;
use crate::infer::input::InferInput;
use crate::infer::micro_batch::MicroBatch;
use crate::infer::reservation::ReservationGuard;
use crate::runtime::WorkerPermit;

impl InferStream {
    /// Dispatches the next micro-batch of the current batch.
    pub(super) async fn dispatch(&mut self) -> Result<DispatchOutcome> {
        Arc::clone(&self.spec).load().await?;
        let Some(batch) = &self.batch else { return Ok(DispatchOutcome::NoMemory) };
        let Some(permit) = self.spec.pipeline.workers.try_acquire() else { return Ok(DispatchOutcome::NoPermit) };
        let columns = self.columns();
        let (micro_batch, sources) = columns.next_micro_batch(batch, self.limits, &self.in_flight_index)?;
        let encoded_bytes = columns.encoded_bytes(&micro_batch.rows)?;
        let reservation = match &mut self.batch_reservation {
            Some(batch_reservation) => batch_reservation.split(encoded_bytes),
            // Without duplicates, as in `relieve_pressure`: duplicates of an image must not prevent it from being run.
            None => match ReservationGuard::try_reserve(&self.memory, micro_batch.encoded_bytes) {
                Some(reservation) => reservation,
                None => return Ok(DispatchOutcome::NoMemory),
            },
        };
        let working_bytes = columns.peak_working_bytes(&micro_batch, self.spec.pipeline.max_pixels)?;
        let Some(working_reservation) = ReservationGuard::try_reserve(&self.memory, working_bytes) else {
            if let Some(batch_reservation) = &mut self.batch_reservation {
                batch_reservation.merge(reservation);
            }
            return Ok(DispatchOutcome::NoMemory);
        };
        self.metrics.peak_bytes.set_max(self.memory.size());
        let dispatched = sources.len();
        let remaining = batch.slice(dispatched, batch.num_rows() - dispatched);
        self.batch = (remaining.num_rows() > 0).then_some(remaining);
        if self.batch.is_none() {
            // The remainder was reserved for images whose fetch failed.
            self.batch_reservation = None;
        }
        let micro_batch = Arc::new(micro_batch);
        self.in_flight_index.add(&micro_batch);
        let done = self.spawn(&micro_batch, permit, working_reservation);
        self.in_flight.push_back(InFlight {
            micro_batch,
            sources,
            offset: self.offset,
            done,
            encoded_bytes,
            _reservation: reservation,
        });
        self.offset += dispatched;
        Ok(DispatchOutcome::Dispatched)
    }

    /// Queues a micro-batch on the worker pool. The receiver signals its completion.
    fn spawn(
        &self,
        micro_batch: &Arc<MicroBatch>,
        permit: WorkerPermit,
        mut working_reservation: ReservationGuard,
    ) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        if micro_batch.images.is_empty() {
            // All rows are masked or duplicates of images in flight.
            let _ = micro_batch.predictions.set(Default::default());
            let _ = sender.send(Ok(()));
            return receiver;
        }
        let (micro_batch, columns, metrics) = (Arc::clone(micro_batch), self.columns(), self.metrics.clone());
        let spec = Arc::clone(&self.spec);
        // Reserved separately: the decoded pixels are freed before a device has run the tensors.
        let tensor_reservation = working_reservation.split(micro_batch.images.len() * columns.tensor_bytes);
        let decode_reservation = working_reservation;
        self.spec.pipeline.workers.spawn(permit, move |permit| {
            let timer = metrics.baseline.elapsed_compute().timer();
            let images = columns.images(&micro_batch.rows).map(|images| {
                micro_batch.images.iter().filter_map(|&row| images.get(row)).collect::<Vec<EncodedImage>>()
            });
            let sender = Arc::new(Mutex::new(Some(sender)));
            let (cancel_sender, completed, counts) = (Arc::clone(&sender), Arc::clone(&micro_batch), metrics.clone());
            let done = move |predictions: Result<Predictions>, permit: WorkerPermit| {
                let result = predictions.map(|predictions| {
                    counts.images_run.add(predictions.images.iter().filter(|image| image.is_ok()).count());
                    let _ = completed.predictions.set(predictions);
                });
                // Memory is released before the permit, whose release wakes tasks that wait for memory.
                drop(tensor_reservation);
                drop(permit);
                // Sending fails if the stream was dropped, and its rows are no longer needed.
                if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = sender.send(result);
                }
            };
            let is_cancelled = move || {
                let sender = cancel_sender.lock().unwrap_or_else(PoisonError::into_inner);
                sender.as_ref().is_none_or(|sender| sender.is_closed())
            };
            match images {
                Ok(images) => {
                    let reservations = (permit, decode_reservation);
                    spec.pipeline.run_async(&images, &metrics.times, Arc::new(is_cancelled), reservations, done);
                }
                Err(error) => done(Err(error), permit),
            }
            timer.done();
        });
        receiver
    }

    /// Backs off if nothing is in flight here and there is no permit or memory for the next micro-batch: waits for other partitions and
    /// queries, then halves the micro-batch, then fails.
    pub(super) async fn relieve_pressure(&mut self) -> Result<()> {
        let workers = Arc::clone(&self.spec.pipeline.workers);
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
        let (micro_batch, _) = columns.next_micro_batch(batch, self.limits, &self.in_flight_index)?;
        // The batch stays in memory without its reservation, so that the next image can use that.
        self.batch_reservation = None;
        if let InferInput::ByUri(fetcher) = &mut self.input {
            fetcher.release();
        }
        let working_bytes = columns.peak_working_bytes(&micro_batch, self.spec.pipeline.max_pixels)?;
        let needed = micro_batch.encoded_bytes + working_bytes;
        // Another operator may have released memory since the last attempt.
        if ReservationGuard::try_reserve(&self.memory, needed).is_some() {
            return Ok(());
        }
        let row = micro_batch.images.first().copied().unwrap_or(0);
        let image = self.spec.row_label(&micro_batch, self.offset, row)?;
        let (needed, limit) = (human_readable_size(needed), self.memory.display_limit());
        Err(Error::ImageExceedsMemoryLimit { image, needed, limit }.into())
    }
}
