//! [`Workers`]: the threads that decode images and run models, one set for a whole session.

use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Jobs in the queue or at work.
    jobs: Arc<AtomicUsize>,
    /// Told of the end of each.
    done: Arc<Notify>,
    pool: OnceLock<Arc<ThreadPool>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        // One that waits, so that no worker does.
        Self {
            threads,
            slots: Arc::new(Semaphore::new(threads + 1)),
            jobs: Arc::default(),
            done: Arc::default(),
            pool: OnceLock::new(),
        }
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
        Arc::clone(&self.slots).try_acquire_owned().ok().map(|permit| Slot { permit: Some(permit), job: None })
    }

    /// Whether some job is in the queue or at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.jobs.load(Ordering::Acquire) > 0
    }

    /// Waits until a place in the queue is free.
    ///
    /// Whoever waits takes none: a query that nobody reads from would keep it from others.
    pub(crate) async fn any_slot(&self) {
        let done = self.done.notified();
        // Without a job, whoever has the slots gives them back at once.
        if self.slots.available_permits() == 0 && self.is_busy() {
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
    pub(crate) fn spawn(self: &Arc<Self>, mut slot: Slot, job: impl FnOnce(Slot) + Send + 'static) {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        slot.job = Some((Arc::clone(&self.jobs), Arc::clone(&self.done)));
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || workers.pool().run(|| job(slot)));
    }
}

/// A place in the queue of the workers. Who has one gives it back by dropping it.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    /// Of a job that was queued: where it is counted, and who is told of its end.
    job: Option<(Arc<AtomicUsize>, Arc<Notify>)>,
}

impl Slot {
    /// Lets the next job in. This one still counts as at work until the slot is dropped: it may hold what others wait for.
    pub(crate) fn free(&mut self) {
        drop(self.permit.take());
        if let Some((_, done)) = &self.job {
            done.notify_waiters();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Some((jobs, done)) = &self.job {
            jobs.fetch_sub(1, Ordering::AcqRel);
            done.notify_waiters();
        }
    }
}
