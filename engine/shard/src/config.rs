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
    /// What it may keep in memory.
    pub memory: ShardMemory,
    /// What its consumer groups are held to.
    pub groups: GroupConfig,
    /// Journal bytes after which a checkpoint begins: bounds what a restart replays.
    pub recovery_bytes_max: u64,
    /// How often segments are looked through for what retention lets go, in ms.
    pub retention_check_ms: u64,
    /// How much of a fresh ring is zeroed already, in bytes of each file in turn; the rest is
    /// zeroed in the background. `None`: all of it, or it does not matter.
    pub ring_zeroed_bytes: Option<u64>,
    /// Partition folders that are there and belong to the partition of that name.
    pub folders: Arc<BTreeSet<String>>,
    /// Folders of deleted partitions, to be removed in the background.
    pub leftovers: Vec<String>,
}

/// A shard's share of `--memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardMemory {
    /// Newest records that are kept for tailing readers although they are in the segment files,
    /// in bytes.
    pub tail_bytes: u64,
    /// Records that are not in the segment files yet, in bytes. Beyond it producers wait.
    pub dirty_bytes: u64,
    /// Idempotent producers that are remembered, over all partitions.
    pub producers_max: usize,
}

/// What one remembered producer takes, with its five batches, in bytes.
const PRODUCER_BYTES: u64 = 300;

impl ShardMemory {
    /// Splits a node's `--memory` over its shards: a quarter for what is not written back yet and
    /// a quarter for the tail, a sixteenth for producers' state; the rest is for receive buffers
    /// and indexes.
    pub fn of(memory_bytes: u64, shards: u16) -> ShardMemory {
        let share = memory_bytes / u64::from(shards.max(1));
        ShardMemory {
            tail_bytes: share / 4,
            dirty_bytes: share / 4,
            producers_max: (share / 16 / PRODUCER_BYTES) as usize,
        }
    }
}
