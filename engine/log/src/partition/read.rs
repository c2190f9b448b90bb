use sillon_buffer::Slice;
use sillon_record::Offset;

use super::{PartitionLog, TailBatch};

/// Where the records from an offset on are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPlan {
    /// Nothing is readable there yet.
    Empty,
    /// In memory, as pushed; this many bytes.
    Memory(u64),
    /// In the file of this segment, but for [`PartitionLog::shared_block`].
    File {
        /// The segment.
        segment_base: Offset,
        /// Where the part ends that is written, on a batch's border, in bytes.
        limit: u64,
    },
}

impl PartitionLog {
    /// Plans a read of whole batches from the one that holds `offset` (between log start and log
    /// end) on, of records below `end`: pushes slices of the tail, at most `bytes_max` bytes, but
    /// the first batch whole when `at_least_one`.
    pub fn read(
        &self,
        offset: Offset,
        end: Offset,
        bytes_max: u64,
        at_least_one: bool,
        mut push: impl FnMut(Slice),
    ) -> ReadPlan {
        if offset >= end {
            return ReadPlan::Empty;
        }
        let batches = &self.tail.batches;
        match batches.front() {
            Some(oldest) if oldest.base_offset <= offset => {}
            _ => return self.read_file(offset),
        }
        let first = batches.partition_point(|batch| batch.last_offset < offset);
        let mut total = 0;
        for batch in batches.range(first..) {
            let len = batch.bytes.len() as u64;
            let fits = total + len <= bytes_max || (total == 0 && at_least_one);
            if batch.last_offset >= end || !fits {
                break;
            }
            total += len;
            push(batch.bytes.clone());
        }
        if total == 0 {
            ReadPlan::Empty
        } else {
            ReadPlan::Memory(total)
        }
    }

    fn read_file(&self, offset: Offset) -> ReadPlan {
        let segment_base = self.segment_of(offset).base_offset;
        ReadPlan::File {
            segment_base,
            limit: self.file_limit(segment_base),
        }
    }

    /// Below which position a segment is read from its file, in bytes: from there on it is in
    /// memory.
    pub fn file_limit(&self, segment_base: Offset) -> u64 {
        match self.tail.batches.front() {
            Some(oldest) if oldest.segment_base == segment_base => oldest.position,
            Some(oldest) if oldest.segment_base < segment_base => 0,
            _ => self.written_bytes(segment_base),
        }
    }

    /// The oldest batch in memory.
    pub fn oldest_in_memory(&self) -> Option<&TailBatch> {
        self.tail.batches.front()
    }
}
