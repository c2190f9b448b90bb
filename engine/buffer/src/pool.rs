use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::chunk::{Chunk, ChunkWriter};

/// Chunk sizes that a pool keeps, in bytes. The smallest is a block, so that a partition that
/// gets one small record a minute does not pin a large buffer; the largest is a write-back piece.
pub const CLASSES_BYTES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Idle memory of one class that a pool keeps rather than frees, in bytes: 4 MiB a class, so an
/// idle shard holds at most 16 MiB.
const IDLE_BYTES_MAX: usize = 4 << 20;

/// Idle memory of all classes that a pool keeps, in bytes.
pub const POOL_IDLE_BYTES_MAX: usize = IDLE_BYTES_MAX * CLASSES_BYTES.len();

/// Which part of a pool's budget may be room ahead in chunks that are being filled.
const AHEAD_SHARE: usize = 8;

/// A shard's chunks. Only the owner takes from it; any thread may drop the last reference to a
/// chunk, which puts it back through a lock-free queue.
pub struct Pool {
    shelf: Arc<Shelf>,
    /// What its chunks should take at most, in bytes.
    budget_bytes: usize,
}

/// The idle chunks of a pool, by class.
pub(crate) struct Shelf {
    idle: [ArrayQueue<Box<Chunk>>; CLASSES_BYTES.len()],
    outstanding_bytes: AtomicUsize,
    /// How many chunks are being filled.
    writers: AtomicUsize,
    /// Set when the pool is dropped: from then on chunks are freed. (An idle chunk refers to its
    /// shelf, so a shelf that kept any would never be freed itself.)
    closed: AtomicBool,
}

impl Shelf {
    pub(crate) fn writer_ended(&self) {
        self.writers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn put_back(&self, chunk: Box<Chunk>) {
        self.outstanding_bytes
            .fetch_sub(chunk.capacity(), Ordering::Relaxed);
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        if let Some(class) = CLASSES_BYTES.iter().position(|c| *c == chunk.capacity()) {
            // A full shelf frees the chunk.
            let _ = self.idle[class].push(chunk);
        }
    }

    fn take(&self, class: usize) -> Option<Box<Chunk>> {
        self.idle[class].pop()
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new()
    }
}

impl Pool {
    /// An empty pool without a budget.
    pub fn new() -> Pool {
        Pool::with_budget(usize::MAX)
    }

    /// An empty pool whose chunks should take `budget_bytes` at most. Its owner sees to that, by
    /// [`Self::is_over_budget`]; the pool itself never refuses.
    pub fn with_budget(budget_bytes: usize) -> Pool {
        let idle = CLASSES_BYTES.map(|bytes| ArrayQueue::new(IDLE_BYTES_MAX / bytes));
        let shelf = Shelf {
            idle,
            outstanding_bytes: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        Pool {
            shelf: Arc::new(shelf),
            budget_bytes,
        }
    }

    /// A chunk of the smallest class that holds `capacity` bytes; above the largest class, one of
    /// just that size, which is freed after use.
    pub fn chunk(&self, capacity: usize) -> ChunkWriter {
        let class = CLASSES_BYTES.iter().position(|bytes| *bytes >= capacity);
        let idle = class.and_then(|class| self.shelf.take(class));
        let chunk = idle.unwrap_or_else(|| {
            let bytes = class.map_or(capacity, |class| CLASSES_BYTES[class]);
            Chunk::allocate(bytes, Some(self.shelf.clone()))
        });
        self.shelf
            .outstanding_bytes
            .fetch_add(chunk.capacity(), Ordering::Relaxed);
        self.shelf.writers.fetch_add(1, Ordering::Relaxed);
        ChunkWriter::new(chunk)
    }

    /// How large a chunk may be that is taken for what will come, in bytes: with many of them being
    /// filled at the same time, small ones, so that their free room stays a part of the budget.
    pub fn ahead_bytes_max(&self) -> usize {
        let writers = self.shelf.writers.load(Ordering::Relaxed);
        self.budget_bytes / AHEAD_SHARE / writers.max(1)
    }

    /// Whether the chunks in use take more than they should.
    pub fn is_over_budget(&self) -> bool {
        self.outstanding_bytes() > self.budget_bytes
    }

    /// Memory of chunks that are in use, in bytes.
    pub fn outstanding_bytes(&self) -> usize {
        self.shelf.outstanding_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shelf.closed.store(true, Ordering::Release);
        for class in 0..CLASSES_BYTES.len() {
            while self.shelf.take(class).is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_chunk_is_used_again() {
        let pool = Pool::new();
        let mut writer = pool.chunk(5000);
        assert_eq!(writer.capacity(), 16 << 10);
        let address = writer.spare_mut().as_ptr() as usize;
        let slice = writer.append(b"x");
        drop(writer);
        assert_eq!(pool.outstanding_bytes(), 16 << 10);
        std::thread::spawn(move || drop(slice)).join().unwrap();
        assert_eq!(pool.outstanding_bytes(), 0);
        assert_eq!(pool.chunk(16 << 10).spare_mut().as_ptr() as usize, address);
    }

    #[test]
    fn many_chunks_that_are_being_filled_leave_each_less_room_ahead() {
        let pool = Pool::with_budget(8 << 20);
        let first = pool.chunk(1);
        assert_eq!(pool.ahead_bytes_max(), 1 << 20);
        let others: Vec<ChunkWriter> = (1..64).map(|_| pool.chunk(1)).collect();
        assert_eq!(pool.ahead_bytes_max(), 16 << 10);
        drop(others);
        assert_eq!(pool.ahead_bytes_max(), 1 << 20);
        drop(first);
    }

    #[test]
    fn what_is_still_referred_to_counts_against_the_budget_after_its_writer_has_gone() {
        let pool = Pool::with_budget(4 << 10);
        let kept = pool.chunk(1).append(b"x");
        assert!(!pool.is_over_budget());
        let more = pool.chunk(1);
        assert!(pool.is_over_budget());
        drop(kept);
        assert!(!pool.is_over_budget());
        drop(more);
    }

    #[test]
    fn a_huge_chunk_is_made_to_measure_and_not_kept() {
        let pool = Pool::new();
        let writer = pool.chunk((256 << 10) + 1);
        assert_eq!(writer.capacity(), (256 << 10) + 4096);
        drop(writer);
        assert_eq!(pool.outstanding_bytes(), 0);
    }
}
