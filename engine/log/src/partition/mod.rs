//! One partition's log: what is appended, where it lies, and what of it is in memory.
//!
//! Owned by the partition's shard. Nothing here survives a crash by itself: the journal and the
//! segment files do, and recovery builds this again by the same [`PartitionLog::append`] steps.

mod compacted;
mod read;
mod start;
mod tail;

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{CLASSES_BYTES, ChunkWriter, Pool, Slice};
use sillon_record::{BatchInfo, LeaderEpoch, Offset, ValidBatch};

pub use compacted::CompactedSegment;
pub use read::ReadPlan;
pub use start::Retention;
pub use tail::{TailBatch, WriteBackPiece};

use crate::{LeaderEpochs, PartitionCheckpoint, Producers, SegmentIndex, SegmentInfo};
use tail::Tail;

/// Index entries of the active segment that a checkpoint keeps: 256 x 16 bytes, so that the
/// checkpoint of 1,000 partitions stays under 4 MiB.
pub const CHECKPOINT_INDEX_ENTRIES_MAX: usize = 256;

/// One segment of a partition.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Offset of its first record: its name.
    pub base_offset: Offset,
    /// The offset behind its last record.
    pub next_offset: Offset,
    /// Bytes appended.
    pub size_bytes: u64,
    /// Largest timestamp of its records, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// When its first record was appended (broker's clock), in ms since the Unix epoch.
    pub created_ms: i64,
    /// How often it has been compacted. Goes up each time, and tells the files of one name apart.
    pub generation: u32,
    /// Its index: always there for the active segment, for closed ones when it has been loaded.
    pub index: Option<SegmentIndex>,
}

/// Where a batch was put.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Base offset of its segment.
    pub segment_base: Offset,
    /// Where it begins in the segment, in bytes.
    pub position: u64,
    /// The log's copy.
    pub bytes: Slice,
    /// What its header says now.
    pub info: BatchInfo,
}

/// Why a journal entry does not fit the log that it is replayed into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not at the end of the log.
    #[error(
        "the journal has offset {base_offset} at segment {segment_base}, byte {position}; the log \
         goes on with offset {next_offset} at segment {active_base}, byte {size_bytes}"
    )]
    NotAtEnd {
        /// The entry's first offset.
        base_offset: Offset,
        /// The entry's segment.
        segment_base: Offset,
        /// The entry's position, in bytes.
        position: u64,
        /// The log's next offset.
        next_offset: Offset,
        /// The log's active segment.
        active_base: Offset,
        /// Its size, in bytes.
        size_bytes: u64,
    },
    /// Not a record batch.
    #[error("the journal's entry for offset {0} is no record batch")]
    NoBatch(Offset),
}

/// A partition's log.
pub struct PartitionLog {
    log_start: Offset,
    /// What `log_start` will be once the journal has flushed it.
    planned_start: Offset,
    next_offset: Offset,
    /// Everything below has been through a pass of compaction.
    compacted_to: Offset,
    /// Ascending; the last is the active one.
    segments: Vec<Segment>,
    epochs: LeaderEpochs,
    producers: Producers,
    tail: Tail,
    chunk: Option<ChunkWriter>,
    /// Which of [`CLASSES_BYTES`] the next chunk has: small for a partition that gets little.
    chunk_class: usize,
}

impl Segment {
    fn new(base_offset: Offset, now_ms: i64) -> Segment {
        Segment {
            base_offset,
            next_offset: base_offset,
            size_bytes: 0,
            max_timestamp_ms: -1,
            created_ms: now_ms,
            generation: 0,
            index: Some(SegmentIndex::new(base_offset)),
        }
    }
}

impl PartitionLog {
    /// An empty log that begins at offset 0.
    pub fn new(now_ms: i64) -> PartitionLog {
        PartitionLog {
            log_start: Offset::ZERO,
            planned_start: Offset::ZERO,
            next_offset: Offset::ZERO,
            compacted_to: Offset::ZERO,
            segments: vec![Segment::new(Offset::ZERO, now_ms)],
            epochs: LeaderEpochs::default(),
            producers: Producers::default(),
            tail: Tail::new(Offset::ZERO, 0),
            chunk: None,
            chunk_class: 0,
        }
    }

    /// The log that a checkpoint describes: all of it is in segment files.
    pub fn from_checkpoint(checkpoint: PartitionCheckpoint) -> PartitionLog {
        let mut segments: Vec<Segment> = checkpoint
            .segments
            .iter()
            .map(|info| Segment {
                base_offset: info.base_offset,
                next_offset: info.next_offset,
                size_bytes: info.size_bytes,
                max_timestamp_ms: info.max_timestamp_ms,
                created_ms: info.created_ms,
                generation: info.generation,
                index: None,
            })
            .collect();
        if segments.is_empty() {
            segments.push(Segment::new(checkpoint.next_offset, 0));
        }
        let active = segments.last_mut().expect("one was pushed");
        let index = SegmentIndex::from_entries(active.base_offset, checkpoint.active_index);
        active.index = Some(index);
        let tail = Tail::new(active.base_offset, active.size_bytes);
        let mut epochs = checkpoint.epochs;
        epochs.truncate_from_start(checkpoint.log_start);
        PartitionLog {
            log_start: checkpoint.log_start,
            planned_start: checkpoint.log_start,
            next_offset: checkpoint.next_offset,
            compacted_to: checkpoint.compacted_to,
            segments,
            epochs,
            producers: checkpoint.producers,
            tail,
            chunk: None,
            chunk_class: 0,
        }
    }

    /// First offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets: Kafka's log end offset.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// All segments, ascending; the last is the active one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment that is appended to.
    pub fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    /// The segment that holds `offset`: the last one that begins at or before it.
    pub fn segment_of(&self, offset: Offset) -> &Segment {
        let behind = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        &self.segments[behind.max(1) - 1]
    }

    /// The segment of that name.
    pub fn segment(&self, base_offset: Offset) -> Option<&Segment> {
        let found = self
            .segments
            .binary_search_by_key(&base_offset, |segment| segment.base_offset);
        found.ok().map(|index| &self.segments[index])
    }

    /// Keeps the loaded index of a closed segment.
    pub fn set_index(&mut self, base_offset: Offset, index: Option<SegmentIndex>) {
        let found = self
            .segments
            .binary_search_by_key(&base_offset, |segment| segment.base_offset);
        if let Ok(at) = found {
            self.segments[at].index = index;
        }
    }

    /// Leader epochs and where they began.
    pub fn epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// A leader of this epoch goes on at the log's end.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.next_offset);
    }

    /// What is known of idempotent producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// To expire producers.
    pub fn producers_mut(&mut self) -> &mut Producers {
        &mut self.producers
    }

    /// Closes the active segment and begins the next one.
    pub fn roll(&mut self, now_ms: i64) {
        let next = Segment::new(self.next_offset, now_ms);
        assert!(
            next.base_offset > self.active().base_offset,
            "an empty segment is not rolled"
        );
        self.segments.push(next);
    }

    /// Appends a checked batch: offset and epoch are given in the log's own copy, which goes to
    /// the tail as part of journal round `round`.
    pub fn append(
        &mut self,
        batch: &ValidBatch,
        epoch: LeaderEpoch,
        append_time_ms: Option<i64>,
        now_ms: i64,
        round: u64,
        pool: &Pool,
    ) -> Placed {
        let mut base_offset = self.next_offset;
        if planted::is(Bug::OffsetTwice) && base_offset.0 % 7 == 6 {
            base_offset = Offset(base_offset.0 - 1);
        }
        let len = batch.bytes().len();
        let writer = self.chunk_for(len, pool);
        let copy = &mut writer.spare_mut()[..len];
        copy.copy_from_slice(batch.bytes());
        let info = batch.stamp(copy, base_offset, epoch, append_time_ms);
        let bytes = writer.publish(len);
        let position = self.active().size_bytes;
        self.epochs.assign(epoch, base_offset);
        self.note(&info, base_offset, bytes.clone(), now_ms, round);
        Placed {
            base_offset,
            segment_base: self.active().base_offset,
            position,
            bytes,
            info,
        }
    }

    /// Appends a batch that the journal has, at the place that the journal says.
    ///
    /// # Errors
    /// The entry does not go on where the log ends.
    pub fn replay(
        &mut self,
        segment_base: Offset,
        position: u64,
        bytes: Slice,
        now_ms: i64,
        round: u64,
    ) -> Result<(), ReplayError> {
        let header = sillon_record::BatchHeader::peek(&bytes);
        let header = header.ok_or(ReplayError::NoBatch(segment_base))?;
        let (base_offset, epoch) = (header.base_offset(), header.leader_epoch());
        let info = BatchInfo::of(header).map_err(|_| ReplayError::NoBatch(base_offset))?;
        let rolls = segment_base == self.next_offset
            && position == 0
            && segment_base > self.active().base_offset;
        let goes_on =
            segment_base == self.active().base_offset && position == self.active().size_bytes;
        if base_offset != self.next_offset || !(rolls || goes_on) {
            return Err(ReplayError::NotAtEnd {
                base_offset,
                segment_base,
                position,
                next_offset: self.next_offset,
                active_base: self.active().base_offset,
                size_bytes: self.active().size_bytes,
            });
        }
        if rolls {
            self.roll(now_ms);
        }
        self.epochs.assign(epoch, base_offset);
        self.note(&info, base_offset, bytes, now_ms, round);
        Ok(())
    }

    /// What every append does, live or replayed, once the bytes are in place.
    fn note(
        &mut self,
        info: &BatchInfo,
        base_offset: Offset,
        bytes: Slice,
        now_ms: i64,
        round: u64,
    ) {
        let next_offset = base_offset.plus(info.offsets_count());
        let last_offset = Offset(next_offset.0 - 1);
        let segment = self.segments.last_mut().expect("a log has a segment");
        let position = segment.size_bytes;
        let index = segment
            .index
            .as_mut()
            .expect("the active segment has its index");
        index.appended(
            last_offset,
            position as u32,
            bytes.len() as u32,
            info.max_timestamp_ms,
        );
        segment.size_bytes += bytes.len() as u64;
        segment.next_offset = next_offset;
        segment.max_timestamp_ms = segment.max_timestamp_ms.max(info.max_timestamp_ms);
        if info.producer.is_some() {
            self.producers.appended(info, base_offset, now_ms);
        }
        self.tail.push(TailBatch {
            base_offset,
            last_offset,
            segment_base: segment.base_offset,
            position,
            max_timestamp_ms: info.max_timestamp_ms,
            round,
            bytes,
        });
        self.next_offset = next_offset;
    }

    fn chunk_for(&mut self, len: usize, pool: &Pool) -> &mut ChunkWriter {
        let has_room = self
            .chunk
            .as_ref()
            .is_some_and(|chunk| chunk.remaining() >= len);
        if !has_room {
            let ahead_bytes_max = pool.ahead_bytes_max();
            let fits = |class: &usize| CLASSES_BYTES[*class] <= ahead_bytes_max;
            let largest = (0..CLASSES_BYTES.len()).rev().find(fits).unwrap_or(0);
            let grown = self.chunk_class + usize::from(self.chunk.is_some());
            self.chunk_class = grown.min(largest);
            let capacity = CLASSES_BYTES[self.chunk_class].max(len);
            self.chunk = Some(pool.chunk(capacity));
        }
        self.chunk.as_mut().expect("made above")
    }

    /// What the checkpoint keeps of the log.
    pub fn segment_infos(&self) -> Vec<SegmentInfo> {
        let info = |segment: &Segment| SegmentInfo {
            base_offset: segment.base_offset,
            next_offset: segment.next_offset,
            size_bytes: segment.size_bytes,
            max_timestamp_ms: segment.max_timestamp_ms,
            created_ms: segment.created_ms,
            generation: segment.generation,
        };
        self.segments.iter().map(info).collect()
    }
}
