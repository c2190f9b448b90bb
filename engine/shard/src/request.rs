use std::sync::Arc;

use sillon_buffer::Slice;
use sillon_group::{GroupRequest, GroupResponse};
pub use sillon_log::KnownProducer;
use sillon_record::{LeaderEpoch, Offset, TopicPartition, ValidBatch};

/// A shard of this node, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// The shard that owns a partition when a node has `shards` of them: a topic's partitions go
/// round the shards, starting at one that its id picks.
pub fn owner(partition: TopicPartition, shards: u16) -> ShardId {
    let id = partition.topic.0;
    let start = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
    let turn = start.wrapping_add(partition.partition as u32);
    ShardId((turn % u32::from(shards.max(1))) as u16)
}

/// Where an answer goes: echoed, never looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The shard whose connection asked.
    pub shard: ShardId,
    /// That shard's name for the question, unique while it is open.
    pub key: u64,
}

/// A moment on a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The frame was complete.
    Received,
    /// Decoded and checked.
    Parsed,
    /// Taken up by the owning shard.
    Owned,
    /// In the log's tail.
    Appended,
    /// Its journal round was submitted.
    Submitted,
    /// Its journal round is on stable storage.
    Flushed,
    /// On every in-sync replica: the high watermark is past it.
    Replicated,
    /// Its response is in the connection's queue.
    Queued,
    /// Its response has been handed to the kernel.
    Written,
}

/// Number of [`Stage`]s.
pub const STAGES: usize = 9;

/// When a request passed each stage, in ns of [`crate::Now::mono_ns`]; 0 where it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// By [`Stage`].
    pub at_ns: [u64; STAGES],
    /// The shard that owned the (last stamped) partition.
    pub owner: ShardId,
}

impl Stamps {
    /// Notes that `stage` was passed.
    pub fn mark(&mut self, stage: Stage, now_ns: u64) {
        self.at_ns[stage as usize] = now_ns;
    }
}

/// What became of an entry of a request; `None` until its owner fills it in.
pub type Outcome<T> = Option<Result<T, Refusal>>;

/// What a connection asks of the shard that owns some partitions. It travels there and back with
/// its vectors, which its connection uses again: nothing is allocated on the way.
#[derive(Debug)]
pub enum Request {
    /// Append batches.
    Produce(Produce),
    /// Read records.
    Fetch(Fetch),
    /// Find offsets by time, or the ends of the log.
    ListOffsets(Vec<ListOffset>),
    /// Find where leader epochs end (KIP-101, KIP-320).
    EpochEnds(Vec<EpochEnd>),
    /// Say how large partitions are and who writes to them, for people.
    Describe(Vec<Describe>),
    /// Give up the records before an offset.
    DeleteRecords(Vec<DeleteRecords>),
    /// Something about consumer groups, for the shard that owns their partition
    /// ([`crate::group_partition`]).
    Group(Box<GroupCall>),
}

/// The topic that has the groups' records.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A question about consumer groups, or its answer.
#[derive(Debug)]
pub enum GroupCall {
    /// To the shard.
    Ask(GroupRequest),
    /// Back.
    Answer(GroupResponse),
}

/// Batches for partitions of one shard.
#[derive(Debug, Default)]
pub struct Produce {
    /// Answered when every entry's outcome is known.
    pub entries: Vec<ProduceEntry>,
    /// Whether the producer waits for the high watermark (acks 1 and all) or for nothing (0).
    pub wait: bool,
    /// When it passed the stages.
    pub stamps: Stamps,
}

/// One batch for one partition.
#[derive(Debug, Default)]
pub struct ProduceEntry {
    /// Where to.
    pub partition: TopicPartition,
    /// What. Taken by the append.
    pub batch: ValidBatch,
    /// Filled in by the owner.
    pub outcome: Outcome<Appended>,
}

/// A batch that is in the log below the high watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's time, under LogAppendTime, in ms since the Unix epoch; else -1.
    pub log_append_time_ms: i64,
    /// First offset of the partition.
    pub log_start_offset: Offset,
}

/// A read of partitions of one shard.
#[derive(Debug, Default)]
pub struct Fetch {
    /// In the order in which they are to be filled.
    pub entries: Vec<FetchEntry>,
    /// Wait until this many bytes are there...
    pub min_bytes: u64,
    /// ... or until this moment of [`crate::Now::mono_ns`]. An error ends the wait at once.
    pub deadline_ns: u64,
    /// Give no more than this, except that the first batch is given whole (KIP-74).
    pub max_bytes: u64,
    /// When it passed the stages.
    pub stamps: Stamps,
}

/// A read of one partition.
#[derive(Debug, Default)]
pub struct FetchEntry {
    /// Which.
    pub partition: TopicPartition,
    /// From this offset on.
    pub offset: Offset,
    /// The epoch that the client believes in (KIP-320); `None` is unchecked.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record that the client has (KIP-595): asks for divergence.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// No more than this from this partition.
    pub max_bytes: u64,
    /// Filled in by the owner.
    pub outcome: Outcome<Fetched>,
}

/// What a read of one partition found.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Records below this offset may be read.
    pub high_watermark: Offset,
    /// First offset of the partition.
    pub log_start_offset: Offset,
    /// Whole batches, in order, as they go on the wire.
    pub records: Vec<Extent>,
    /// Their size, in bytes.
    pub records_bytes: u64,
    /// The reader's log has diverged from here (epoch, end offset).
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// Bytes of a log, where they are.
#[derive(Clone, Debug)]
pub enum Extent {
    /// In memory.
    Memory(Slice),
    /// In a segment file: durable there, and never rewritten.
    File {
        /// Which. Its file stays readable while this is held.
        segment: Arc<SegmentFile>,
        /// Where, in bytes.
        position: u64,
        /// How much, in bytes.
        len: u64,
    },
}

/// A segment's `.log` file, shared with whoever reads it: a shard removes the file only when it
/// holds the last reference.
#[derive(Debug)]
pub struct SegmentFile {
    /// Below the data folder.
    pub path: Arc<str>,
    /// The name that it has as long as it has not taken its place after compaction: to be tried
    /// first. Below the data folder.
    pub interim_path: Option<Arc<str>>,
    /// Room for an open descriptor, filled in by the first reader.
    pub descriptor: std::sync::OnceLock<std::os::fd::OwnedFd>,
    /// A reader could not read it: its partition goes offline at the next fetch.
    pub is_unreadable: std::sync::atomic::AtomicBool,
}

impl SegmentFile {
    /// A segment's file under its own name.
    pub fn new(path: Arc<str>) -> SegmentFile {
        SegmentFile {
            path,
            interim_path: None,
            descriptor: std::sync::OnceLock::new(),
            is_unreadable: false.into(),
        }
    }

    /// The names under which it may be found, in the order in which they are to be tried.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.interim_path.iter().chain([&self.path])
    }
}

/// A question for an offset.
#[derive(Debug, Default)]
pub struct ListOffset {
    /// Which partition.
    pub partition: TopicPartition,
    /// The epoch that the client believes in; `None` is unchecked.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// What is looked for.
    pub target: OffsetTarget,
    /// Filled in by the owner; `None`: there is no such offset.
    pub outcome: Outcome<Option<FoundOffset>>,
}

/// What offset is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetTarget {
    /// The high watermark (-1).
    #[default]
    Latest,
    /// The log start offset (-2 and, without tiers, -4).
    Earliest,
    /// The first record with the largest timestamp (-3).
    MaxTimestamp,
    /// The first record at or after this time, in ms since the Unix epoch.
    AtOrAfter(i64),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The record's offset.
    pub offset: Offset,
    /// The record's time in ms since the Unix epoch; -1 for the ends of the log.
    pub timestamp_ms: i64,
    /// The epoch it was written in, when known.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// A question for the end of a leader epoch.
#[derive(Debug, Default)]
pub struct EpochEnd {
    /// Which partition.
    pub partition: TopicPartition,
    /// The epoch that the client believes in; `None` is unchecked.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch asked for.
    pub leader_epoch: LeaderEpoch,
    /// Filled in by the owner: the largest epoch not above the one asked for and the offset
    /// behind its last record; `None` when the epoch is unknown.
    pub outcome: Outcome<Option<(LeaderEpoch, Offset)>>,
}

/// A question for what people want to know of a partition.
#[derive(Debug, Default)]
pub struct Describe {
    /// Which.
    pub partition: TopicPartition,
    /// Most producers that this and the request's earlier entries may name together.
    pub producers_max: usize,
    /// Filled in by the owner.
    pub outcome: Outcome<Described>,
}

/// What people want to know of a partition.
#[derive(Debug, Default)]
pub struct Described {
    /// What its segments take, in bytes.
    pub size_bytes: u64,
    /// Its idempotent producers, by id; `None`: they are too many.
    pub producers: Option<Vec<KnownProducer>>,
}

/// A wish to give up the records of a partition before an offset.
#[derive(Debug, Default)]
pub struct DeleteRecords {
    /// Which partition.
    pub partition: TopicPartition,
    /// The first offset that is kept; `None` is the high watermark.
    pub before: Option<Offset>,
    /// Filled in by the owner, when it is durable: the log start offset.
    pub outcome: Outcome<Offset>,
}

/// Why a shard does not do what is asked, each with one error code of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("this broker does not host the partition")]
    UnknownPartition,
    /// NOT_LEADER_OR_FOLLOWER
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// FENCED_LEADER_EPOCH
    #[error("the request's leader epoch is older than the partition's")]
    FencedLeaderEpoch,
    /// UNKNOWN_LEADER_EPOCH
    #[error("the request's leader epoch is newer than the partition's")]
    UnknownLeaderEpoch,
    /// OFFSET_OUT_OF_RANGE
    #[error("the offset is not between the log's start and its end")]
    OffsetOutOfRange,
    /// KAFKA_STORAGE_ERROR
    #[error("the record could not be made durable; whether it will be there is unknown")]
    Storage,
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("the batch does not follow its producer's last one")]
    OutOfOrderSequence,
    /// DUPLICATE_SEQUENCE_NUMBER
    #[error("the batch is older than the producer's last five")]
    DuplicateSequence,
    /// INVALID_PRODUCER_EPOCH
    #[error("a newer epoch of this producer has written")]
    InvalidProducerEpoch,
    /// MESSAGE_TOO_LARGE
    #[error("the batch is larger than max.message.bytes")]
    MessageTooLarge,
    /// The shard is stopping: NOT_LEADER_OR_FOLLOWER, so that clients look elsewhere.
    #[error("the broker is stopping")]
    Stopping,
}
