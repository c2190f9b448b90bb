//! What a node is told, and what follows from it for its journals.

use std::sync::Arc;

use sillon_controller::{Settings, TopicConfig};
use sillon_group::GroupConfig;
use sillon_journal::RingLayout;
use sillon_record::BrokerId;

use crate::CompactionConfig;

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The node's id in its cluster.
    pub broker: BrokerId,
    /// Where clients reach it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How many shards it has.
    pub shards: u16,
    /// What the node may use, in bytes.
    pub memory_bytes: u64,
    /// Size of the journal over all shards, in bytes; `None`: 512 MiB, at least 64 MiB a shard,
    /// at most 1 % of the file system.
    pub journal_bytes: Option<u64>,
    /// Where the data folder is, for messages.
    pub place: Arc<str>,
    /// Size of the file system that the data folder is on, in bytes.
    pub file_system_bytes: u64,
    /// Journal that a restart replays at most, in bytes over all shards.
    pub recovery_bytes_max: u64,
    /// `log.retention.check.interval.ms`
    pub retention_check_ms: u64,
    /// How compaction works, over all shards.
    pub compaction: CompactionConfig,
    /// Configuration of topics that say nothing else.
    pub topic_defaults: TopicConfig,
    /// The broker's configuration as it was given, by Kafka's names: what clients are told.
    pub settings: Arc<Settings>,
    /// What consumer groups are held to.
    pub groups: GroupConfig,
}

/// The largest batch that a journal of `journal_bytes` over `shards` shards takes, in bytes: a
/// quarter of a ring file, so that the end of a file never wastes more than that.
pub fn message_bytes_max(journal_bytes: u64, shards: u16) -> u64 {
    journal_bytes / u64::from(shards.max(1)) / u64::from(RING_FILES) / 4
}

/// Each shard's journal when a node makes it: `journal_bytes` is that of all shards, `None` what
/// suits a file system of `file_system_bytes`. Not valid when that is too little.
pub fn ring_layout(journal_bytes: Option<u64>, shards: u16, file_system_bytes: u64) -> RingLayout {
    let shards = u64::from(shards.max(1));
    let per_shard = match journal_bytes {
        Some(bytes) => bytes / shards,
        None => {
            let wanted = JOURNAL_BYTES.max(shards * JOURNAL_BYTES_MIN);
            wanted.min(file_system_bytes / 100) / shards
        }
    };
    let file_bytes = per_shard / u64::from(RING_FILES);
    let block = sillon_buffer::BLOCK_BYTES as u64;
    RingLayout {
        files: RING_FILES,
        file_bytes: (file_bytes - file_bytes % block).min(RingLayout::FILE_BYTES_MAX),
    }
}

/// Files of a ring.
const RING_FILES: u32 = 4;
const _: () = assert!(RING_FILES <= crate::round::RING_FILES_MAX);

/// Journal of a node by default, in bytes over all shards.
pub const JOURNAL_BYTES: u64 = 512 << 20;

/// Least journal of a shard by default, in bytes.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
