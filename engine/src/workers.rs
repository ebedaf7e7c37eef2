//! [`Workers`]: the threads that decode images and run models, one set for a whole session.

use std::sync::{Arc, OnceLock};

use rten::ThreadPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A pool of CPU threads, started when it is first used.
///
/// Decoding and models share it: a model splits its operators over the workers that have nothing else to do, so that one
/// image uses all cores and many images use them without waiting for each other. The async runtime's threads never do
/// such work.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: usize,
    /// One for each job that a worker has or is to have next, over all queries.
    slots: Arc<Semaphore>,
    /// Told of each that is given back.
    done: Arc<Notify>,
    pool: OnceLock<Arc<ThreadPool>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        // One that waits, so that no worker does.
        Self { threads, slots: Arc::new(Semaphore::new(threads + 1)), done: Arc::default(), pool: OnceLock::new() }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The pool itself, for a backend that splits its work over it.
    pub(crate) fn pool(&self) -> &Arc<ThreadPool> {
        self.pool.get_or_init(|| Arc::new(ThreadPool::with_num_threads(self.threads)))
    }

    /// A place in the queue, when there is one.
    pub(crate) fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .ok()
            .map(|permit| Slot { permit: Some(permit), done: Arc::clone(&self.done) })
    }

    /// Whether some job is in the queue or at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.slots.available_permits() <= self.threads
    }

    /// Waits until a place in the queue is free.
    ///
    /// Whoever waits takes none: a query that nobody reads from would keep it from others.
    pub(crate) async fn any_slot(&self) {
        let done = self.done.notified();
        if self.slots.available_permits() == 0 {
            done.await;
        }
    }

    /// Waits until a job that is in the queue or at work is done, if there is one.
    pub(crate) async fn any_done(&self) {
        let done = self.done.notified();
        if self.is_busy() {
            done.await;
        }
    }

    /// Queues a job and returns at once. The job must not panic.
    ///
    /// Entering the pool waits until a worker is free, so a thread that may wait does it.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(crate) fn spawn(self: &Arc<Self>, slot: Slot, job: impl FnOnce(Slot) + Send + 'static) {
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || workers.pool().run(|| job(slot)));
    }
}

/// A place in the queue of the workers. Who has one gives it back by dropping it.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    done: Arc<Notify>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.done.notify_waiters();
    }
}
