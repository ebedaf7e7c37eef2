//! [`WorkerPool`]: the threads that decode images, run models and multiply matrices, one pool per session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rten::ThreadPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A pool of CPU threads, started on first use.
///
/// Decoding and models share it: a model splits its operators over idle workers, so that a single image uses all cores and many images
/// use them without contention. CPU-bound work never runs on the threads of the async runtime.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    threads: usize,
    /// One permit per running or queued job, over all queries.
    permits: Arc<Semaphore>,
    /// The number of queued and running jobs.
    in_flight: Arc<AtomicUsize>,
    /// Notified when a job completes.
    completed: Arc<Notify>,
    pool: OnceLock<Arc<ThreadPool>>,
}

impl WorkerPool {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        // One more job than threads is queued, so that no worker is idle.
        Self {
            threads,
            permits: Arc::new(Semaphore::new(threads + 1)),
            in_flight: Arc::default(),
            completed: Arc::default(),
            pool: OnceLock::new(),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The thread pool, for backends that parallelize over it.
    pub(crate) fn pool(&self) -> &Arc<ThreadPool> {
        self.pool.get_or_init(|| Arc::new(ThreadPool::with_num_threads(self.threads)))
    }

    /// A permit to queue a job, `None` if all are taken.
    pub(crate) fn try_acquire(&self) -> Option<WorkerPermit> {
        Arc::clone(&self.permits)
            .try_acquire_owned()
            .ok()
            .map(|permit| WorkerPermit { permit: Some(permit), job: None })
    }

    /// Whether a job is queued or running.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Waits until a permit is available (back-pressure).
    ///
    /// Waiting does not acquire a permit: an idle query would otherwise starve the others.
    pub(crate) async fn wait_for_permit(&self) {
        let completion = self.completed.notified();
        // Permits without a job are released at once.
        if self.permits.available_permits() == 0 && self.is_busy() {
            completion.await;
        }
    }

    /// Waits until a queued or running job completes, if there is one.
    pub(crate) async fn wait_for_completion(&self) {
        let completion = self.completed.notified();
        if self.is_busy() {
            completion.await;
        }
    }

    /// Queues a job and returns immediately. The job must not panic.
    ///
    /// Entering the pool blocks until a worker is free, so a blocking thread of Tokio does it.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub(crate) fn spawn(self: &Arc<Self>, mut permit: WorkerPermit, job: impl FnOnce(WorkerPermit) + Send + 'static) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        permit.job = Some((Arc::clone(&self.in_flight), Arc::clone(&self.completed)));
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || workers.pool().run(|| job(permit)));
    }
}

/// A permit to queue a job, released when it is dropped.
#[derive(Debug)]
pub(crate) struct WorkerPermit {
    permit: Option<OwnedSemaphorePermit>,
    /// Set once a job is queued: its counter, and the notification of its completion.
    job: Option<(Arc<AtomicUsize>, Arc<Notify>)>,
}

impl WorkerPermit {
    /// Releases the permit for the next job. This job still counts as running until the value is dropped, because it may hold memory
    /// that others wait for.
    pub(crate) fn release(&mut self) {
        drop(self.permit.take());
        if let Some((_, completed)) = &self.job {
            completed.notify_waiters();
        }
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Some((in_flight, completed)) = &self.job {
            in_flight.fetch_sub(1, Ordering::AcqRel);
            completed.notify_waiters();
        }
    }
}
