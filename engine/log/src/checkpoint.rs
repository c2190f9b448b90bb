use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation, TopicId};

use crate::checkpoint_codec::{LENGTH_AT, encode_header};
use crate::{IndexEntry, LeaderEpochs, Producers};

/// What a checkpoint says of the shard and its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// How many shards the node had.
    pub shard_count: u16,
    /// Which of them this is, counted from 0.
    pub shard: u16,
    /// The journal's id.
    pub journal_id: u128,
    /// The journal's incarnation.
    pub incarnation: u128,
    /// Where the chain of rounds goes on: sequence number of the next round.
    pub next_sequence: u64,
    /// Ring file of the next round, counted from 0.
    pub file: u32,
    /// Where in that file, in bytes.
    pub offset: u64,
    /// Checksum of the round before it.
    pub previous_checksum: u32,
    /// The highest round known to be flushed.
    pub durable_through: u64,
    /// Everything up to and including this round is in the segments, flushed.
    pub applied_sequence: u64,
    /// Written by a clean stop, with nothing in the journal behind it.
    pub is_clean: bool,
}

/// One segment of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Offset of its first record, which is its name.
    pub base_offset: Offset,
    /// Offset behind its last record.
    pub next_offset: Offset,
    /// Length of its batches, in bytes.
    pub size_bytes: u64,
    /// Largest timestamp, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// When it was made, in ms since the Unix epoch.
    pub created_ms: i64,
    /// How often it has been compacted.
    pub generation: u32,
}

/// One partition in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    /// Its topic.
    pub topic: TopicId,
    /// Its number in the topic.
    pub partition: i32,
    /// Its life.
    pub incarnation: PartitionIncarnation,
    /// Its topic's name.
    pub topic_name: String,
    /// First offset.
    pub log_start: Offset,
    /// High watermark.
    pub high_watermark: Offset,
    /// Offset of the next record.
    pub next_offset: Offset,
    /// Everything below has been through a pass of compaction.
    pub compacted_to: Offset,
    /// Compacted segments may still have to take their places.
    pub is_swapping: bool,
    /// Epoch of its leader.
    pub leader_epoch: LeaderEpoch,
    /// Its segments, ascending; the last is the active one.
    pub segments: Vec<SegmentInfo>,
    /// The active segment's index, thinned to [`ACTIVE_INDEX_ENTRIES_MAX`].
    pub active_index: Vec<IndexEntry>,
    /// Leader epochs.
    pub epochs: LeaderEpochs,
    /// Idempotent producers.
    pub producers: Producers,
}

/// Index entries of an active segment that a checkpoint keeps: 256 of 20 bytes are 5 KiB a
/// partition, and one entry per 4 MiB of a segment of 1 GiB.
pub const ACTIVE_INDEX_ENTRIES_MAX: usize = 256;

/// As [`PartitionCheckpoint`], borrowed: what the log has in memory anyway.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of PartitionCheckpoint")]
pub struct PartitionCheckpointRef<'a> {
    pub topic: TopicId,
    pub partition: i32,
    pub incarnation: PartitionIncarnation,
    pub topic_name: &'a str,
    pub log_start: Offset,
    pub high_watermark: Offset,
    pub next_offset: Offset,
    pub compacted_to: Offset,
    pub is_swapping: bool,
    pub leader_epoch: LeaderEpoch,
    pub segments: &'a [SegmentInfo],
    pub active_index: &'a [IndexEntry],
    pub epochs: &'a LeaderEpochs,
    pub producers: &'a Producers,
}

impl PartitionCheckpoint {
    /// The same, borrowed.
    pub fn borrowed(&self) -> PartitionCheckpointRef<'_> {
        PartitionCheckpointRef {
            topic: self.topic,
            partition: self.partition,
            incarnation: self.incarnation,
            topic_name: &self.topic_name,
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            next_offset: self.next_offset,
            compacted_to: self.compacted_to,
            is_swapping: self.is_swapping,
            leader_epoch: self.leader_epoch,
            segments: &self.segments,
            active_index: &self.active_index,
            epochs: &self.epochs,
            producers: &self.producers,
        }
    }
}

/// Puts a shard's checkpoint together, one partition at a time, so that encoding thousands of
/// partitions can be spread over many turns of the shard.
#[derive(Debug)]
pub struct CheckpointBuilder {
    file: Vec<u8>,
    partitions_count: u32,
}

impl CheckpointBuilder {
    /// A checkpoint without partitions.
    pub fn new(header: CheckpointHeader) -> CheckpointBuilder {
        let mut file = Vec::new();
        encode_header(&header, &mut file);
        CheckpointBuilder {
            file,
            partitions_count: 0,
        }
    }

    /// Adds what one call of [`crate::encode_partition`] gave.
    pub fn push_encoded(&mut self, partition: &[u8]) {
        self.file.extend_from_slice(partition);
        self.partitions_count += 1;
    }

    /// The whole checkpoint. Other bytes may follow it in its file.
    pub fn finish(mut self) -> Vec<u8> {
        self.file
            .extend_from_slice(&self.partitions_count.to_be_bytes());
        let len = (self.file.len() + size_of::<u32>()) as u64;
        self.file[LENGTH_AT].copy_from_slice(&len.to_be_bytes());
        let checksum = crc32fast::hash(&self.file);
        self.file.extend_from_slice(&checksum.to_be_bytes());
        self.file
    }
}
