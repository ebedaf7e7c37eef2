//! [`PartitionMemory`]: the memory reservation of a partition. [`ReservationGuard`]: a part of it.

use std::sync::Arc;

use datafusion::common::human_readable_size;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use tokio::sync::Notify;

/// The reservation of a partition in the memory pool of the session.
pub(super) struct PartitionMemory {
    reservation: MemoryReservation,
    pool: Arc<dyn MemoryPool>,
    /// Notified when a part of the reservation is released.
    released: Notify,
}

impl PartitionMemory {
    pub(super) fn new(reservation: MemoryReservation, pool: Arc<dyn MemoryPool>) -> Arc<Self> {
        Arc::new(Self { reservation, pool, released: Notify::new() })
    }

    /// The reserved bytes of the partition.
    pub(super) fn size(&self) -> usize {
        self.reservation.size()
    }

    /// Waits until memory has been released since the last call. Supports a single waiter.
    pub(super) async fn wait_for_release(&self) {
        self.released.notified().await;
    }

    /// The limit of the pool, shared by all queries.
    pub(super) fn limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }

    /// Whether at least half of the pool would stay free after reserving `bytes` more.
    pub(super) fn below_half_after(&self, bytes: usize) -> bool {
        match self.limit() {
            MemoryLimit::Finite(limit) => self.pool.reserved().saturating_add(bytes) <= limit / 2,
            _ => true,
        }
    }

    /// ` of 256.0 MB` for messages, empty without a limit.
    pub(super) fn display_limit(&self) -> String {
        match self.limit() {
            MemoryLimit::Finite(bytes) => format!(" of {}", human_readable_size(bytes)),
            _ => String::new(),
        }
    }
}

/// A part of a partition's reservation, released on drop.
pub(super) struct ReservationGuard {
    memory: Arc<PartitionMemory>,
    bytes: usize,
}

impl ReservationGuard {
    /// Reserves `bytes`. `None` if the pool is exhausted.
    pub(super) fn try_reserve(memory: &Arc<PartitionMemory>, bytes: usize) -> Option<Self> {
        memory.reservation.try_grow(bytes).ok()?;
        Some(Self { memory: Arc::clone(memory), bytes })
    }

    /// Splits off up to `bytes`, to be released separately.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { memory: Arc::clone(&self.memory), bytes }
    }

    /// Merges another guard of the same partition into this one.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for ReservationGuard {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.reservation.shrink(self.bytes);
            self.memory.released.notify_one();
        }
    }
}
