//! [`Workers`]: the threads that decode images and run models, one set for a whole session.

use std::sync::{Arc, OnceLock};

use rten::ThreadPool;

/// A pool of CPU threads, started when it is first used.
///
/// Decoding and models share it: a model splits its operators over the workers that have nothing else to do, so that one
/// image uses all cores and many images use them without waiting for each other. The async runtime's threads never do
/// such work.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: usize,
    pool: OnceLock<Arc<ThreadPool>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), pool: OnceLock::new() }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The pool itself, for a backend that splits its work over it.
    pub(crate) fn pool(&self) -> &Arc<ThreadPool> {
        self.pool.get_or_init(|| Arc::new(ThreadPool::with_num_threads(self.threads)))
    }

    /// Queues a job and returns at once. The job must not panic.
    ///
    /// Entering the pool waits until a worker is free, so a thread that may wait does it.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(crate) fn spawn(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || workers.pool().run(job));
    }
}
