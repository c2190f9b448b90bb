use std::collections::VecDeque;

use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_record::Offset;

use super::PartitionLog;

/// One batch of the tail: in memory, and in the journal as part of `round`.
#[derive(Clone, Debug)]
pub struct TailBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Base offset of its segment.
    pub segment_base: Offset,
    /// Where it begins in the segment, in bytes.
    pub position: u64,
    /// Its largest timestamp, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// Sequence of its journal round.
    pub round: u64,
    /// The batch as it goes on the wire.
    pub bytes: Slice,
}

impl TailBatch {
    /// Where the batch ends in the segment, in bytes.
    pub fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// The newest batches of a partition, oldest first. Those not yet in the segment file are dirty
/// and stay; the others may be evicted.
pub(super) struct Tail {
    pub(super) batches: VecDeque<TailBatch>,
    /// How many of them, from the front, are in the segment file.
    pub(super) clean_count: usize,
    pub(super) dirty_bytes: u64,
    /// The segment that is being written, and how far: the place of the first dirty batch.
    pub(super) written_segment: Offset,
    pub(super) written_bytes: u64,
    /// The bytes of the last written block when it is partly filled; `None`: not loaded.
    pub(super) prefix: Option<Slice>,
}

/// What is to be written to a segment file, in whole blocks.
#[derive(Debug)]
pub struct WriteBackPiece {
    /// Which segment.
    pub segment_base: Offset,
    /// Where: a multiple of the block size, in bytes.
    pub position: u64,
    /// What: the last block is filled up with zeros by the disk.
    pub pieces: Vec<Slice>,
    /// How many batches it completes.
    pub batches: usize,
    /// Where the last of them ends, in bytes.
    pub end: u64,
}

fn floor(position: u64) -> u64 {
    position - position % BLOCK_BYTES as u64
}

impl Tail {
    pub(super) fn new(written_segment: Offset, written_bytes: u64) -> Tail {
        Tail {
            batches: VecDeque::new(),
            clean_count: 0,
            dirty_bytes: 0,
            written_segment,
            written_bytes,
            prefix: (written_bytes == floor(written_bytes)).then(Slice::default),
        }
    }

    pub(super) fn push(&mut self, batch: TailBatch) {
        self.dirty_bytes += batch.bytes.len() as u64;
        self.batches.push_back(batch);
    }

    fn first_dirty(&self) -> Option<&TailBatch> {
        self.batches.get(self.clean_count)
    }

    /// The last `count` bytes before the end of `batches[..behind]`, which begin no earlier than
    /// the prefix.
    fn bytes_before(&self, behind: usize, end: u64, segment: Offset) -> Vec<u8> {
        let begin = floor(end);
        let mut block = vec![0; (end - begin) as usize];
        let mut missing_to = end;
        for batch in self.batches.range(..behind).rev() {
            if batch.segment_base != segment || missing_to <= begin {
                break;
            }
            let from = batch.position.max(begin);
            let source = &batch.bytes[(from - batch.position) as usize..];
            let length = (missing_to - from) as usize;
            block[(from - begin) as usize..][..length].copy_from_slice(&source[..length]);
            missing_to = from;
        }
        if missing_to > begin {
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let length = (missing_to - begin) as usize;
            block[..length].copy_from_slice(&prefix[..length]);
        }
        block
    }
}

impl PartitionLog {
    /// Bytes that are not in the segment file yet.
    pub fn dirty_bytes(&self) -> u64 {
        self.tail.dirty_bytes
    }

    /// The round of the oldest batch that is not in the segment file yet.
    pub fn dirty_since_round(&self) -> Option<u64> {
        self.tail.first_dirty().map(|batch| batch.round)
    }

    /// The segment of the oldest batch that is not in its file yet.
    pub fn dirty_segment(&self) -> Option<Offset> {
        self.tail.first_dirty().map(|batch| batch.segment_base)
    }

    /// How far the segment `base_offset` has been written, in bytes.
    pub fn written_bytes(&self, base_offset: Offset) -> u64 {
        if base_offset == self.tail.written_segment {
            return self.tail.written_bytes;
        }
        match self.segment(base_offset) {
            Some(segment) if base_offset < self.tail.written_segment => segment.size_bytes,
            _ => 0,
        }
    }

    /// The segment that is being written back.
    pub fn written_segment(&self) -> Offset {
        self.tail.written_segment
    }

    /// The partly filled block of a segment that will be written again: where it begins, in bytes,
    /// and what it holds. Readers take it from here and everything before it from the file, so that
    /// no reader's page is ever rewritten. `None`: there is none, or it is not in memory.
    pub fn shared_block(&self, segment_base: Offset) -> Option<(u64, &Slice)> {
        let prefix = self.tail.prefix.as_ref()?;
        let is_there = segment_base == self.tail.written_segment && !prefix.is_empty();
        is_there.then(|| (floor(self.tail.written_bytes), prefix))
    }

    /// Whether the partly filled block must be read before anything is appended or read there: how
    /// much of it, and where it begins, in bytes of the written segment.
    pub fn missing_prefix(&self) -> Option<(u64, u64)> {
        let end = self.tail.written_bytes;
        let is_missing = self.tail.prefix.is_none();
        is_missing.then(|| (floor(end), end - floor(end)))
    }

    /// Gives the bytes of the partly filled block: from the file, or from a tail image.
    pub fn set_prefix(&mut self, prefix: Slice) {
        let expected = self.tail.written_bytes - floor(self.tail.written_bytes);
        assert_eq!(prefix.len() as u64, expected, "the partly filled block");
        self.tail.prefix = Some(prefix);
    }

    /// Whether the next append shares a partly filled block with what is there.
    pub fn ends_within_a_block(&self) -> bool {
        let end = self.active().size_bytes;
        end != floor(end)
    }

    /// What a tail image holds: the bytes of the partly filled block that the next append will
    /// share. Empty when the log ends at a block's border.
    pub fn block_prefix(&self) -> Vec<u8> {
        let active = self.active();
        let end = active.size_bytes;
        if active.base_offset != self.tail.written_segment && end == 0 {
            return Vec::new();
        }
        self.tail
            .bytes_before(self.tail.batches.len(), end, active.base_offset)
    }

    /// The next piece to write back: whole batches of rounds up to `through_round`, of one
    /// segment, of at most `bytes_max` (one batch may be larger).
    pub fn write_back_piece(&self, through_round: u64, bytes_max: u64) -> Option<WriteBackPiece> {
        let tail = &self.tail;
        let first = tail
            .first_dirty()
            .filter(|batch| batch.round <= through_round)?;
        let (segment_base, begin) = (first.segment_base, first.position);
        let position = floor(begin);
        let mut pieces: Vec<Slice> = Vec::new();
        if position < begin {
            debug_assert_eq!(segment_base, tail.written_segment);
            let prefix = tail.prefix.clone().expect("loaded before the first append");
            pieces.push(prefix);
        }
        let (mut batches, mut end) = (0, begin);
        for batch in tail.batches.range(tail.clean_count..) {
            let goes_on = batch.segment_base == segment_base && batch.round <= through_round;
            if !goes_on || (batches > 0 && batch.end() - begin > bytes_max) {
                break;
            }
            let joined = match pieces.last_mut() {
                Some(last) => last.join(batch.bytes.clone()),
                None => Err(batch.bytes.clone()),
            };
            if let Err(separate) = joined {
                pieces.push(separate);
            }
            batches += 1;
            end = batch.end();
        }
        Some(WriteBackPiece {
            segment_base,
            position,
            pieces,
            batches,
            end,
        })
    }

    /// A piece has been written: its batches are clean. Returns their bytes.
    pub fn written_back(&mut self, piece: &WriteBackPiece) -> u64 {
        let tail = &mut self.tail;
        let mut bytes = 0;
        for batch in tail.batches.range(tail.clean_count..).take(piece.batches) {
            bytes += batch.bytes.len() as u64;
        }
        let behind = tail.clean_count + piece.batches;
        let prefix = if piece.end == floor(piece.end) {
            Slice::default()
        } else {
            if tail.written_segment != piece.segment_base {
                tail.prefix = Some(Slice::default());
            }
            Slice::copy_of(&tail.bytes_before(behind, piece.end, piece.segment_base))
        };
        tail.prefix = Some(prefix);
        tail.clean_count = behind;
        tail.dirty_bytes -= bytes;
        tail.written_segment = piece.segment_base;
        tail.written_bytes = piece.end;
        bytes
    }

    /// Drops the oldest clean batch from memory; of the last one [`Self::shared_block`] stays.
    /// Returns its bytes.
    pub fn evict_one(&mut self) -> Option<u64> {
        let tail = &mut self.tail;
        if tail.clean_count == 0 {
            return None;
        }
        let bytes = tail.batches.pop_front()?.bytes.len() as u64;
        tail.clean_count -= 1;
        if tail.batches.is_empty() {
            // The chunk may have room yet, but it keeps memory for a partition that rests.
            self.chunk = None;
            self.chunk_class = 0;
        }
        Some(bytes)
    }

    /// What is in memory although it is in the segment files: bytes and batches.
    pub fn clean_in_memory(&self) -> (u64, usize) {
        let clean = self.tail.batches.range(..self.tail.clean_count);
        (
            clean.map(|batch| batch.bytes.len() as u64).sum(),
            self.tail.clean_count,
        )
    }

    /// The batches in memory, oldest first.
    pub fn tail(&self) -> impl ExactSizeIterator<Item = &TailBatch> + DoubleEndedIterator {
        self.tail.batches.iter()
    }
}
