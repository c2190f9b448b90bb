use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sillon_controller::TopicConfig;
use sillon_log::partition::PartitionLog;
use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation, TopicPartition};
use sillon_replication::Replicas;

use crate::{Appended, FileId, SegmentFile};

/// One partition as its shard holds it.
pub(crate) struct Partition {
    pub(crate) id: TopicPartition,
    pub(crate) incarnation: PartitionIncarnation,
    pub(crate) topic_name: Arc<str>,
    /// Its folder's name below the data folder.
    pub(crate) folder: Arc<str>,
    pub(crate) log: PartitionLog,
    pub(crate) replicas: Replicas,
    pub(crate) config: TopicConfig,
    /// Segment files that are open for writing, ascending by base offset.
    pub(crate) open: Vec<OpenSegment>,
    /// Segment files as readers share them.
    pub(crate) readers: BTreeMap<Offset, Arc<SegmentFile>>,
    pub(crate) readiness: Readiness,
    /// Produce entries that wait for room, in order: (request, entry).
    pub(crate) blocked: VecDeque<(usize, usize)>,
    /// Appends that wait for the high watermark, in order of their ends.
    pub(crate) waiters: VecDeque<Waiter>,
    /// Fetches that wait for the high watermark.
    pub(crate) fetchers: Vec<usize>,
    /// The next append rewrites a durable, partly filled block for the first time since the last
    /// checkpoint, so its bytes go into the journal with it.
    pub(crate) image_is_due: bool,
    /// The last checkpoint that has a copy of this partition's state.
    pub(crate) encoded_in: u64,
    /// Records appended since the last flush; counts at levels above 1 only.
    pub(crate) unflushed_records: u64,
    pub(crate) is_writing_back: bool,
    /// Whether [`crate::state::State::stalled`] has this partition.
    pub(crate) is_stalled: bool,
    /// The file of a segment that was read last, open for reading.
    pub(crate) reading: Option<(Offset, FileId)>,
    /// A pass of compaction works in its folder, or the removal of what one replaced.
    pub(crate) is_compacting: bool,
    /// Compaction has failed on it, and tries no more in this life.
    pub(crate) is_uncompactable: bool,
    /// The compacted segment whose files have not taken their places yet.
    pub(crate) swapping: Option<Offset>,
    /// A compacted segment waits for those who search in files.
    pub(crate) swap_waits: bool,
    /// Procedures that search in its files.
    pub(crate) users: usize,
    /// Files that compaction has replaced, while somebody may read them.
    pub(crate) retired: Vec<Arc<SegmentFile>>,
    /// Where recent reads of files ended.
    pub(crate) places: RecentPlaces,
}

/// Whether a partition can be appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its active segment is not open.
    Cold,
    /// A procedure opens the segment or reserves space in it.
    Preparing,
    /// Open; an append may use what is allocated.
    Ready,
    /// The folder is being made.
    Creating,
    /// Damaged or without space for good; the text says where.
    Offline(String),
}

/// A segment file that is open for writing.
#[derive(Clone, Debug)]
pub(crate) struct OpenSegment {
    pub(crate) base_offset: Offset,
    pub(crate) file: FileId,
    /// Bytes that have space reserved.
    pub(crate) allocated_bytes: u64,
    /// Written since its last fdatasync.
    pub(crate) is_unsynced: bool,
    /// A procedure reserves more space.
    pub(crate) is_allocating: bool,
    /// Its name may not be durable.
    pub(crate) is_new: bool,
}

/// An append that is acknowledged when the high watermark reaches `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) end: Offset,
    pub(crate) request: usize,
    pub(crate) entry: usize,
    pub(crate) appended: Appended,
}

/// Places in segment files where readers stopped, so that the next fetch of a reader that catches
/// up begins there without a search. 8 readers a partition; the oldest place is forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecentPlaces {
    places: [Option<(Offset, Offset, u64)>; 8],
    next: usize,
}

impl RecentPlaces {
    /// `offset` begins at `position` of the segment `segment_base`.
    pub(crate) fn note(&mut self, offset: Offset, segment_base: Offset, position: u64) {
        self.places[self.next] = Some((offset, segment_base, position));
        self.next = (self.next + 1) % self.places.len();
    }

    pub(crate) fn find(&self, offset: Offset, segment_base: Offset) -> Option<u64> {
        let mut known = self.places.iter().flatten();
        known
            .find(|(at, segment, _)| *at == offset && *segment == segment_base)
            .map(|(_, _, position)| *position)
    }
}

impl Partition {
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.replicas.leader_epoch()
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        self.replicas.high_watermark()
    }

    /// The open file of the segment that is appended to.
    pub(crate) fn active_file(&mut self) -> Option<&mut OpenSegment> {
        let active = self.log.active().base_offset;
        self.open_file(active)
    }

    pub(crate) fn open_file(&mut self, base_offset: Offset) -> Option<&mut OpenSegment> {
        self.open
            .iter_mut()
            .find(|open| open.base_offset == base_offset)
    }

    /// The file of a segment, for readers.
    pub(crate) fn reader(&mut self, base_offset: Offset) -> Arc<SegmentFile> {
        if let Some(known) = self.readers.get(&base_offset) {
            return known.clone();
        }
        let path = sillon_log::segment_path(&self.folder, base_offset);
        let mut file = SegmentFile::new(path.as_str().into());
        if self.swapping == Some(base_offset)
            && let Some(segment) = self.log.segment(base_offset)
        {
            let interim = sillon_log::swap_path(&path, segment.generation);
            file.interim_path = Some(interim.into());
        }
        let file = Arc::new(file);
        self.readers.insert(base_offset, file.clone());
        file
    }
}
