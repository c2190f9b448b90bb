use std::collections::BTreeSet;
use std::sync::Arc;

use sillon_group::GroupConfig;
use sillon_journal::{Incarnation, JournalId, RingLayout};
use sillon_record::BrokerId;

use crate::ShardId;

/// What a shard is given when it opens: who it is, where its journal lies and what it may use.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard of the node.
    pub shard: ShardId,
    /// How many the node has.
    pub shards: u16,
    /// The node.
    pub broker: BrokerId,
    /// Its journal.
    pub journal: JournalId,
    /// That journal's files.
    pub ring: RingLayout,
    /// Random, new at every open: what is written from now on belongs to this life.
    pub incarnation: Incarnation,
    /// Where the data folder is, for messages.
    pub place: Arc<str>,
    /// What it may keep in memory.
    pub memory: ShardMemory,
    /// What its consumer groups are held to.
    pub groups: GroupConfig,
    /// Journal bytes after which a checkpoint begins: bounds what a restart replays.
    pub recovery_bytes_max: u64,
    /// How often segments are looked through for what retention lets go, in ms.
    pub retention_check_ms: u64,
    /// How compaction works.
    pub compaction: CompactionConfig,
    /// How much of a fresh ring is zeroed already, in bytes of each file in turn; the rest is
    /// zeroed in the background. `None`: all of it, or it does not matter.
    pub ring_zeroed_bytes: Option<u64>,
    /// Partition folders that are there and belong to the partition of that name.
    pub folders: Arc<BTreeSet<String>>,
    /// Folders of deleted partitions, to be removed in the background.
    pub leftovers: Vec<String>,
}

/// How compaction works on a node, or on one of its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionConfig {
    /// `log.cleaner.backoff.ms`: how long a shard with nothing to compact rests before it looks
    /// again.
    pub backoff_ms: u64,
    /// `log.cleaner.dedupe.buffer.size`: what passes remember of keys at most, in bytes;
    /// [`ShardMemory::compaction_bytes`] may be less.
    pub map_bytes: u64,
    /// `log.cleaner.io.max.bytes.per.second`: what passes read and write, in bytes a second. They
    /// keep to the disk's background budget in any case.
    pub bytes_per_second: u64,
}

impl Default for CompactionConfig {
    fn default() -> CompactionConfig {
        CompactionConfig {
            backoff_ms: 15_000,
            map_bytes: 128 << 20,
            bytes_per_second: u64::MAX,
        }
    }
}

impl CompactionConfig {
    /// A shard's share of a node's.
    pub(crate) fn share(self, shards: u16) -> CompactionConfig {
        let shards = u64::from(shards.max(1));
        CompactionConfig {
            backoff_ms: self.backoff_ms,
            map_bytes: self.map_bytes / shards,
            bytes_per_second: (self.bytes_per_second / shards).max(1),
        }
    }
}

/// A shard's share of `--memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardMemory {
    /// Newest records that are kept for tailing readers although they are in the segment files,
    /// in bytes.
    pub tail_bytes: u64,
    /// Records that are not in the segment files yet, in bytes. Beyond it producers wait.
    pub dirty_bytes: u64,
    /// The chunks that hold both, with the room in them, and those that only responses on their way
    /// out still hold, in bytes. Beyond it the tail is shortened.
    pub chunk_bytes: u64,
    /// Idempotent producers that are remembered, over all partitions.
    pub producers_max: usize,
    /// What a pass of compaction remembers of keys at most, in bytes. Taken only while one runs.
    pub compaction_bytes: u64,
    /// Consumer groups, in bytes. Beyond it they are not allowed to grow.
    pub groups_bytes: u64,
}

impl ShardMemory {
    /// What one remembered producer takes, with its five batches, in bytes.
    pub const PRODUCER_BYTES: u64 = 300;

    /// Splits a node's `--memory` over its shards: a quarter for what is not written back yet, a
    /// quarter for the tail and an eighth for responses on their way out, all of them in chunks; a
    /// sixteenth for producers' state and one for compaction, three quarters of one for groups. The
    /// rest is for the server.
    pub fn of(memory_bytes: u64, shards: u16) -> ShardMemory {
        let share = memory_bytes / u64::from(shards.max(1));
        ShardMemory {
            tail_bytes: share / 4,
            dirty_bytes: share / 4,
            chunk_bytes: share / 8 * 5,
            producers_max: (share / 16 / Self::PRODUCER_BYTES) as usize,
            compaction_bytes: share / 16,
            groups_bytes: share / 64 * 3,
        }
    }
}
