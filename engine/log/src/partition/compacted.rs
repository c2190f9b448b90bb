//! What compaction does to a log: closed segments give way to one with the same offsets.

use sillon_buffer::Slice;
use sillon_record::Offset;

use super::{PartitionLog, Segment};
use crate::SegmentIndex;
use crate::compaction::SegmentRun;

/// A segment that compaction has written.
#[derive(Debug)]
pub struct CompactedSegment {
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Largest timestamp of its records, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// Its generation, above that of all that it replaces.
    pub generation: u32,
    /// Its index.
    pub index: SegmentIndex,
}

impl PartitionLog {
    /// Everything below has been through a pass of compaction.
    pub fn compacted_to(&self) -> Offset {
        self.compacted_to.max(self.log_start)
    }

    /// A pass has seen everything below `offset`.
    pub fn set_compacted_to(&mut self, offset: Offset) {
        self.compacted_to = self.compacted_to.max(offset);
    }

    /// Whether these closed segments are still there as they were, one behind the other.
    pub fn has_run(&self, run: &SegmentRun) -> bool {
        let first = run.base_offset();
        let Ok(at) = self
            .segments
            .binary_search_by_key(&first, |segment| segment.base_offset)
        else {
            return false;
        };
        let closed = &self.segments[at..self.segments.len() - 1];
        let same = closed
            .iter()
            .zip(&run.segments)
            .take_while(|(segment, (base, size))| {
                segment.base_offset == *base && segment.size_bytes == *size
            });
        same.count() == run.segments.len()
    }

    /// Whether all that lies before `offset`, a segment's border, is in files that nothing is
    /// written to any more.
    pub fn is_settled_below(&self, offset: Offset) -> bool {
        offset <= self.tail.written_segment
    }

    /// When all is written and the active segment has nothing yet, counts the active segment as
    /// the one that is being written, as after a restart: those before it are settled then.
    pub fn settle_tail(&mut self) {
        let active = self.active();
        let (base, is_empty) = (active.base_offset, active.size_bytes == 0);
        if is_empty && self.tail.dirty_bytes == 0 && self.tail.written_segment < base {
            self.tail.written_segment = base;
            self.tail.written_bytes = 0;
            self.tail.prefix = Some(Slice::default());
        }
    }

    /// Drops the batches from memory that lie before `offset`, a segment's border, all of which
    /// are settled. Returns their bytes and their number.
    pub fn evict_below(&mut self, offset: Offset) -> (u64, usize) {
        assert!(self.is_settled_below(offset), "only what is in files goes");
        let tail = &mut self.tail;
        let (mut bytes, mut count) = (0, 0);
        while let Some(oldest) = tail.batches.front()
            && oldest.base_offset < offset
        {
            bytes += oldest.bytes.len() as u64;
            count += 1;
            tail.batches.pop_front();
        }
        tail.clean_count -= count;
        if tail.batches.is_empty() {
            self.chunk = None;
            self.chunk_class = 0;
        }
        (bytes, count)
    }

    /// Puts the segment that compaction has made in the place of those it comes from.
    ///
    /// # Panics
    /// When these are not there as they were, not settled, or in memory.
    pub fn replace_run(&mut self, run: &SegmentRun, by: CompactedSegment) {
        assert!(self.has_run(run), "a run is replaced as it was read");
        assert!(self.is_settled_below(run.next_offset));
        let in_memory = self.tail.batches.front();
        assert!(in_memory.is_none_or(|oldest| oldest.base_offset >= run.next_offset));
        let first = run.base_offset();
        let at = self
            .segments
            .partition_point(|segment| segment.base_offset < first);
        let compacted = Segment {
            base_offset: first,
            next_offset: run.next_offset,
            size_bytes: by.size_bytes,
            max_timestamp_ms: by.max_timestamp_ms,
            created_ms: run.created_ms,
            generation: by.generation,
            index: Some(by.index),
        };
        self.segments
            .splice(at..at + run.segments.len(), [compacted]);
    }
}
