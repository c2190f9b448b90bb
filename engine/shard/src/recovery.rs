//! Recovery of one journal: the checkpoint, and every round behind it, become segment files and
//! partition logs again, by the same steps as the live path. Nothing is scanned but the ring.
//!
//! Used by a shard that opens, and by a node that starts with another number of shards. Every step
//! can be cut off and repeated.

mod ring;
mod segments;

use std::collections::{BTreeMap, BTreeSet};

use sillon_buffer::Slice;
use sillon_buffer::planted::{self, Bug};
use sillon_controller::Image;
use sillon_journal::{
    ChainPoint, EntryKind, EntryMeta, Gap, Incarnation, JournalId, Replay, RingLayout, RingPosition,
};
use sillon_log::partition::{PartitionLog, ReplayError};
use sillon_log::{
    CheckpointError, CheckpointHeader, PartitionCheckpoint, decode_checkpoint, partition_folder,
};
use sillon_record::{Offset, PartitionIncarnation, TopicPartition};

use crate::DiskError;
use crate::compaction_swap::settle_files;
use crate::layout::{CHECKPOINT, journal_folder};
use crate::procedure::{Io, join_all};
use crate::small_file::read_file;
use ring::Ring;
pub(crate) use segments::empty_log;

/// Replayed bytes that are kept in memory before they are written to the segments.
const DIRTY_BYTES_MAX: u64 = 32 << 20;

/// Partitions whose files are worked on at the same time: nobody else uses the disk, and flushes
/// that wait together are committed together.
const PARTITIONS_AT_ONCE: usize = 64;

/// Why a journal cannot be recovered. Nothing has been given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{folder} has no checkpoint: the journal cannot be read without it")]
    NoCheckpoint { folder: String },
    #[error("{folder}/checkpoint: {error}")]
    Checkpoint {
        folder: String,
        error: CheckpointError,
    },
    #[error(
        "{folder}: the checkpoint goes on at {at:?}, which is outside of the ring that the manifest \
         describes ({ring:?})"
    )]
    Layout {
        folder: String,
        ring: RingLayout,
        at: RingPosition,
    },
    #[error("{folder}: {gap}")]
    Gap { folder: String, gap: Gap },
    #[error("{folder}, round {round}: partition {partition}: {error}")]
    Entry {
        folder: String,
        round: u64,
        partition: String,
        error: ReplayError,
    },
    #[error(
        "{folder}, round {round}: partition incarnation {incarnation} was never created according \
         to the metadata log, which ends before {next}"
    )]
    Unknown {
        folder: String,
        round: u64,
        incarnation: u64,
        next: u64,
    },
}

/// What a recovery has to go on.
pub(crate) struct Source<'a> {
    pub(crate) io: &'a Io,
    pub(crate) journal: JournalId,
    pub(crate) ring: RingLayout,
    pub(crate) image: &'a Image,
    /// Partition folders that are there.
    pub(crate) folders: &'a BTreeSet<String>,
    pub(crate) now_ms: i64,
}

/// A journal's partitions, all in segment files and durable.
pub(crate) struct Recovered {
    pub(crate) header: CheckpointHeader,
    /// Where the journal goes on.
    pub(crate) chain: ChainPoint,
    pub(crate) partitions: BTreeMap<PartitionIncarnation, RecoveredPartition>,
    pub(crate) replayed_bytes: u64,
}

pub(crate) struct RecoveredPartition {
    pub(crate) id: TopicPartition,
    pub(crate) folder: String,
    pub(crate) log: PartitionLog,
    pub(crate) high_watermark: Offset,
    /// Compacted segments may still have to take their places.
    is_swapping: bool,
    /// Why it cannot be served.
    pub(crate) offline: Option<String>,
}

pub(crate) async fn recover(source: &Source<'_>) -> Result<Recovered, RecoveryError> {
    let folder = journal_folder(source.journal);
    let content = read_file(source.io, &format!("{folder}/{CHECKPOINT}")).await?;
    let content = content.ok_or_else(|| RecoveryError::NoCheckpoint {
        folder: folder.clone(),
    })?;
    let (header, checkpointed) =
        decode_checkpoint(&content).map_err(|error| RecoveryError::Checkpoint {
            folder: folder.clone(),
            error,
        })?;
    let mut recovery = Recovery {
        source,
        folder,
        partitions: BTreeMap::new(),
        renamed: BTreeMap::new(),
        dirty_bytes: 0,
        replayed_bytes: 0,
    };
    for partition in checkpointed {
        recovery.take_checkpoint(partition);
    }
    let chain = recovery.replay(&header).await?;
    if header.is_clean {
        recovery.settle_swaps().await?;
    } else {
        recovery.finish().await?;
    }
    Ok(Recovered {
        header,
        chain,
        partitions: recovery.partitions,
        replayed_bytes: recovery.replayed_bytes,
    })
}

struct Recovery<'a> {
    source: &'a Source<'a>,
    folder: String,
    partitions: BTreeMap<PartitionIncarnation, RecoveredPartition>,
    /// For a planted bug: incarnations that are gone, and who has their name now.
    renamed: BTreeMap<PartitionIncarnation, PartitionIncarnation>,
    dirty_bytes: u64,
    replayed_bytes: u64,
}

impl Recovery<'_> {
    fn take_checkpoint(&mut self, checkpoint: PartitionCheckpoint) {
        let incarnation = checkpoint.incarnation;
        let (name, number) = (checkpoint.topic_name.clone(), checkpoint.partition);
        let Some(id) = self.source.image.partition_of(incarnation) else {
            if planted::is(Bug::PartitionIncarnationIgnored)
                && let Some(topic) = self.source.image.topic_named(&name)
                && let Some(successor) = topic.partition(number)
            {
                self.renamed.insert(incarnation, successor.incarnation);
            }
            return;
        };
        let is_there = self
            .source
            .folders
            .contains(&partition_folder(&name, number));
        if checkpoint.next_offset == Offset::ZERO && !is_there {
            // It never held a record: the crash came before its folder, which is made now.
            return;
        }
        let (high_watermark, is_swapping) = (checkpoint.high_watermark, checkpoint.is_swapping);
        let log = PartitionLog::from_checkpoint(checkpoint);
        let mut recovered = self.partition(id, &name, log, high_watermark);
        recovered.is_swapping = is_swapping;
        self.partitions.insert(incarnation, recovered);
    }

    /// A partition of which there is something: its folder must be there.
    fn partition(
        &self,
        id: TopicPartition,
        topic_name: &str,
        log: PartitionLog,
        high_watermark: Offset,
    ) -> RecoveredPartition {
        let folder = partition_folder(topic_name, id.partition);
        let is_there = self.source.folders.contains(&folder);
        let missing = || {
            format!(
                "folder {folder} is missing although the journal knows its records; it is not \
                 made again empty"
            )
        };
        RecoveredPartition {
            id,
            log,
            high_watermark,
            is_swapping: false,
            offline: (!is_there).then(missing),
            folder,
        }
    }

    async fn replay(&mut self, header: &CheckpointHeader) -> Result<ChainPoint, RecoveryError> {
        let from = ChainPoint {
            next_sequence: header.next_sequence,
            position: RingPosition {
                file: header.file,
                offset: header.offset,
            },
            previous_checksum: header.previous_checksum,
            durable_through: header.durable_through,
        };
        if !self.source.ring.is_valid() || !self.source.ring.contains(from.position) {
            return Err(RecoveryError::Layout {
                folder: self.folder.clone(),
                ring: self.source.ring,
                at: from.position,
            });
        }
        if header.is_clean {
            return Ok(from);
        }
        let mut reader = Ring::open(self.source).await?;
        let incarnation = Incarnation(header.incarnation);
        let mut replay = Replay::new(self.source.ring, self.source.journal, incarnation, from);
        while let Some(round) = replay.next(&mut reader).await? {
            for (meta, payload) in round.entries {
                self.entry(round.sequence, &meta, payload)?;
            }
            if self.dirty_bytes > DIRTY_BYTES_MAX {
                self.write_back().await?;
            }
        }
        let end = replay.finish(&mut reader).await?;
        reader.close().await?;
        end.map_err(|gap| RecoveryError::Gap {
            folder: self.folder.clone(),
            gap,
        })
    }

    fn entry(&mut self, round: u64, meta: &EntryMeta, payload: Slice) -> Result<(), RecoveryError> {
        match meta.kind {
            EntryKind::Batch => self.batch(round, meta, payload),
            EntryKind::TailImage => {
                self.tail_image(meta, payload);
                Ok(())
            }
            EntryKind::PartitionDeleted => {
                self.partitions.remove(&meta.partition);
                Ok(())
            }
            EntryKind::LogStart => {
                if let Some(partition) = self.partitions.get_mut(&meta.partition)
                    && partition.offline.is_none()
                {
                    partition.log.start_flushed(meta.base_offset);
                }
                Ok(())
            }
            EntryKind::Truncate | EntryKind::Roll | EntryKind::CleanStop => Ok(()),
        }
    }

    fn batch(&mut self, round: u64, meta: &EntryMeta, payload: Slice) -> Result<(), RecoveryError> {
        let image = self.source.image;
        let renamed = self.renamed.get(&meta.partition).copied();
        let incarnation = renamed.unwrap_or(meta.partition);
        if !self.partitions.contains_key(&incarnation) {
            let Some(id) = image.partition_of(incarnation) else {
                if incarnation >= image.next_incarnation() {
                    return Err(RecoveryError::Unknown {
                        folder: self.folder.clone(),
                        round,
                        incarnation: incarnation.0,
                        next: image.next_incarnation().0,
                    });
                }
                // Deleted: its records are nobody's.
                return Ok(());
            };
            let topic = image.topic(id.topic).expect("a partition has its topic");
            let log = PartitionLog::new(self.source.now_ms);
            let fresh = self.partition(id, &topic.name, log, Offset::ZERO);
            self.partitions.insert(incarnation, fresh);
        }
        let partition = self.partitions.get_mut(&incarnation).expect("made above");
        if partition.offline.is_some() {
            return Ok(());
        }
        let len = payload.len() as u64;
        let replayed = partition.log.replay(
            meta.segment_base,
            meta.position,
            payload,
            self.source.now_ms,
            round,
        );
        replayed.map_err(|error| RecoveryError::Entry {
            folder: self.folder.clone(),
            round,
            partition: partition.folder.clone(),
            error,
        })?;
        self.dirty_bytes += len;
        self.replayed_bytes += len;
        Ok(())
    }

    /// The bytes before the first append since the checkpoint, should their block be torn.
    fn tail_image(&mut self, meta: &EntryMeta, payload: Slice) {
        let Some(partition) = self.partitions.get_mut(&meta.partition) else {
            return;
        };
        let log = &mut partition.log;
        let is_first = log.dirty_bytes() == 0 && log.written_segment() == meta.segment_base;
        if is_first && log.missing_prefix() == Some((meta.position, payload.len() as u64)) {
            log.set_prefix(payload);
        }
    }

    /// Writes everything replayed so far to the segments and makes it durable.
    async fn write_back(&mut self) -> Result<(), RecoveryError> {
        let io = self.source.io;
        let mut dirty: Vec<&mut RecoveredPartition> = self
            .partitions
            .values_mut()
            .filter(|partition| partition.log.dirty_bytes() > 0)
            .collect();
        for group in dirty.chunks_mut(PARTITIONS_AT_ONCE) {
            let writes = group.iter_mut().map(|partition| partition.write_back(io));
            join_all(writes.collect())
                .await
                .into_iter()
                .collect::<Result<Vec<()>, _>>()?;
        }
        self.dirty_bytes = 0;
        Ok(())
    }

    /// After a clean stop there is nothing else to be done.
    async fn settle_swaps(&mut self) -> Result<(), RecoveryError> {
        for partition in self.partitions.values() {
            if partition.is_swapping && partition.offline.is_none() {
                settle_files(self.source.io, &partition.folder, &partition.log).await?;
            }
        }
        Ok(())
    }

    /// Writes the rest, and cuts off what lies beyond the recovered ends: it was never promised.
    async fn finish(&mut self) -> Result<(), RecoveryError> {
        if planted::is(Bug::EndNotTruncated) {
            return self.write_back().await;
        }
        let io = self.source.io;
        let mut partitions: Vec<&mut RecoveredPartition> = self
            .partitions
            .values_mut()
            .filter(|partition| partition.offline.is_none())
            .collect();
        for group in partitions.chunks_mut(PARTITIONS_AT_ONCE) {
            let ends = group.iter_mut().map(|partition| partition.finish(io));
            join_all(ends.collect())
                .await
                .into_iter()
                .collect::<Result<Vec<()>, _>>()?;
        }
        Ok(())
    }
}
