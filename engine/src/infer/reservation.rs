//! [`Memory`]: what one partition holds of the query's memory, and [`Held`], the parts of it.

use std::sync::Arc;

use datafusion::common::human_readable_size;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use tokio::sync::Notify;

/// The memory of one partition: a part of the query's.
pub(super) struct Memory {
    reservation: MemoryReservation,
    pool: Arc<dyn MemoryPool>,
    given_back: Notify,
}

impl Memory {
    pub(super) fn new(reservation: MemoryReservation, pool: Arc<dyn MemoryPool>) -> Arc<Self> {
        Arc::new(Self { reservation, pool, given_back: Notify::new() })
    }

    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        self.reservation.size()
    }

    /// Waits until some was given back since the last call, for one caller.
    pub(super) async fn given_back(&self) {
        self.given_back.notified().await;
    }

    /// Of all queries together.
    pub(super) fn limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }

    /// Whether half of it is free when so many bytes more are taken.
    pub(super) fn leaves_half(&self, bytes: usize) -> bool {
        match self.limit() {
            MemoryLimit::Finite(limit) => self.pool.reserved().saturating_add(bytes) <= limit / 2,
            _ => true,
        }
    }

    /// ` of 256.0 MB`, empty when there is no limit.
    pub(super) fn shown_limit(&self) -> String {
        match self.limit() {
            MemoryLimit::Finite(bytes) => format!(" of {}", human_readable_size(bytes)),
            _ => String::new(),
        }
    }
}

/// A part of it, given back when it is dropped.
pub(super) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Held {
    /// `None` when the pool has no more.
    pub(super) fn take(memory: &Arc<Memory>, bytes: usize) -> Option<Self> {
        memory.reservation.try_grow(bytes).ok()?;
        Some(Self { memory: Arc::clone(memory), bytes })
    }

    /// A part of it, to be given back by itself.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { memory: Arc::clone(&self.memory), bytes }
    }

    /// Takes a part back.
    pub(super) fn join(&mut self, mut part: Self) {
        self.bytes += std::mem::take(&mut part.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.reservation.shrink(self.bytes);
            self.memory.given_back.notify_one();
        }
    }
}
