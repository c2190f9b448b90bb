//! Recovery of one journal: the checkpoint, and every round behind it, become segment files and
//! partition logs again, by the same steps as the live path. Nothing is scanned but the ring.
//!
//! Used by a shard that opens, and by a node that starts with another number of shards. Every step
//! can be cut off and repeated.

use std::collections::{BTreeMap, BTreeSet};

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_controller::Image;
use sillon_journal::{
    ChainPoint, EntryKind, EntryMeta, Gap, Incarnation, JournalId, Replay, RingLayout,
    RingPosition, RingReader,
};
use sillon_log::partition::{PartitionLog, ReplayError};
use sillon_log::{
    CheckpointError, CheckpointHeader, PartitionCheckpoint, decode_checkpoint, partition_folder,
    segment_path,
};
use sillon_record::{Offset, PartitionIncarnation, TopicPartition};

use crate::checkpoint::close_segment;
use crate::compaction_swap::settle_files;
use crate::layout::{CHECKPOINT, journal_folder, ring_file};
use crate::procedure::{Io, bytes, done, join_all};
use crate::small_file::read_file;
use crate::{Access, DiskError, DiskOp, DiskOutput, FileId, IoClass};

/// Replayed bytes that are kept in memory before they are written to the segments.
const DIRTY_BYTES_MAX: u64 = 32 << 20;

/// Partitions whose files are worked on at the same time: nobody else uses the disk, and flushes
/// that wait together are committed together.
const PARTITIONS_AT_ONCE: usize = 64;

/// Largest write to a segment, in bytes.
const PIECE_BYTES_MAX: u64 = 1 << 20;

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

impl RecoveredPartition {
    /// Writes what is not in the files yet and makes it durable.
    async fn write_back(&mut self, io: &Io) -> Result<(), DiskError> {
        if let Some(file) = self.write_pieces(io).await? {
            done(io.call(DiskOp::Sync { file }).await)?;
            done(io.call(DiskOp::Close { file }).await)?;
        }
        Ok(())
    }

    /// Writes what is not in the files yet. Returns the active segment's file, open and not yet
    /// flushed, when there was anything.
    async fn write_pieces(&mut self, io: &Io) -> Result<Option<FileId>, DiskError> {
        let mut open: Option<(Offset, FileId)> = None;
        while let Some(base) = self.log.dirty_segment() {
            let file = match open {
                Some((segment, file)) if segment == base => file,
                _ => {
                    let written = self.log.written_segment();
                    if let Some((segment, file)) = open.take() {
                        self.complete(io, segment, file).await?;
                    } else if written < base {
                        let (file, _) = open_segment(io, &self.folder, written, false).await?;
                        self.complete(io, written, file).await?;
                    }
                    let (file, _) = open_segment(io, &self.folder, base, true).await?;
                    // Also when the file was there: a killed process may have left its name for
                    // the next power cut to take.
                    let path = self.folder.as_str().into();
                    done(io.call(DiskOp::SyncFolder { path }).await)?;
                    open = Some((base, file));
                    file
                }
            };
            if let Some((position, len)) = self.log.missing_prefix()
                && self.log.written_segment() == base
            {
                let read = io.call(DiskOp::Read {
                    file,
                    position,
                    len,
                    class: IoClass::Foreground,
                });
                let mut prefix = bytes(read.await)?;
                prefix.resize(len as usize, 0);
                self.log.set_prefix(Slice::copy_of(&prefix));
            }
            let piece = self.log.write_back_piece(u64::MAX, PIECE_BYTES_MAX);
            let piece = piece.expect("there is something dirty");
            let blocks = piece.end.next_multiple_of(BLOCK_BYTES as u64) - piece.position;
            let allocate = io.call(DiskOp::Allocate {
                file,
                position: piece.position,
                len: blocks,
            });
            done(allocate.await)?;
            let write = io.call(DiskOp::Write {
                file,
                position: piece.position,
                pieces: piece.pieces.clone(),
                class: IoClass::Journal,
            });
            done(write.await)?;
            self.log.written_back(&piece);
            // Readers take it from the file; memory is for what comes.
            while self.log.evict_one().is_some() {}
        }
        Ok(open.map(|(_, file)| file))
    }

    /// Closes a segment that was rolled.
    async fn complete(&mut self, io: &Io, base: Offset, file: FileId) -> Result<(), DiskError> {
        let Some(segment) = self.log.segment(base) else {
            return done(io.call(DiskOp::Close { file }).await);
        };
        let index = segment.index.as_ref();
        let epochs = self.log.epochs();
        match close_segment(io, file, segment.size_bytes, &self.folder, index, epochs).await {
            // They are made in memory when somebody looks for an offset.
            Err(DiskError::NoSpace) => done(io.call(DiskOp::Close { file }).await)?,
            other => other?,
        }
        self.log.set_index(base, None);
        Ok(())
    }

    /// Writes the rest and cuts off what lies behind it.
    async fn finish(&mut self, io: &Io) -> Result<(), DiskError> {
        let written = self.write_pieces(io).await?;
        self.offline = truncate(io, &self.folder, &self.log, written).await?;
        Ok(())
    }
}

/// Empties the log of a partition of which the journal knows nothing.
pub(crate) async fn empty_log(io: &Io, folder: String, now_ms: i64) -> Result<(), DiskError> {
    if planted::is(Bug::EndNotTruncated) {
        return Ok(());
    }
    let log = PartitionLog::new(now_ms);
    truncate(io, &folder, &log, None).await.map(|_| ())
}

/// Cuts the files of a log off at its end and makes that durable. `written`: the active segment's
/// file, when it is open and not flushed. Some: the active segment is missing.
async fn truncate(
    io: &Io,
    folder: &str,
    log: &PartitionLog,
    written: Option<FileId>,
) -> Result<Option<String>, DiskError> {
    let (base, size) = {
        let active = log.active();
        (active.base_offset, active.size_bytes)
    };
    settle_files(io, folder, log).await?;
    let file = match written {
        Some(file) => file,
        None => match open_segment(io, folder, base, false).await {
            Ok((file, len)) if len == size => {
                done(io.call(DiskOp::Close { file }).await)?;
                return Ok(None);
            }
            Ok((file, _)) => file,
            Err(DiskError::NotFound(_)) if size == 0 => return Ok(None),
            Err(DiskError::NotFound(path)) => {
                return Ok(Some(format!("{path} is missing: it had {size} bytes")));
            }
            Err(error) => return Err(error),
        },
    };
    done(io.call(DiskOp::Truncate { file, len: size }).await)?;
    done(io.call(DiskOp::Sync { file }).await)?;
    done(io.call(DiskOp::Close { file }).await)?;
    Ok(None)
}

/// Opens a segment. Its file is that long, in bytes.
async fn open_segment(
    io: &Io,
    folder: &str,
    base: Offset,
    create: bool,
) -> Result<(FileId, u64), DiskError> {
    let file = io.new_file();
    let opened = io.call(DiskOp::Open {
        file,
        path: segment_path(folder, base).into(),
        create,
        access: Access::Direct,
    });
    match opened.await? {
        DiskOutput::Opened { len } => Ok((file, len)),
        other => unreachable!("opening answers a length, not {other:?}"),
    }
}

/// The ring's files, open for replay.
struct Ring<'a> {
    io: &'a Io,
    files: Vec<FileId>,
}

impl Ring<'_> {
    async fn open<'a>(source: &Source<'a>) -> Result<Ring<'a>, DiskError> {
        let mut files = Vec::new();
        for number in 0..source.ring.files {
            let file = source.io.new_file();
            let opened = source.io.call(DiskOp::Open {
                file,
                path: ring_file(source.journal, number).into(),
                create: false,
                access: Access::Direct,
            });
            done(opened.await)?;
            files.push(file);
        }
        Ok(Ring {
            io: source.io,
            files,
        })
    }

    async fn close(self) -> Result<(), DiskError> {
        for file in self.files {
            done(self.io.call(DiskOp::Close { file }).await)?;
        }
        Ok(())
    }
}

impl RingReader for Ring<'_> {
    type Error = DiskError;

    async fn read(&mut self, file: u32, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
        let read = self.io.call(DiskOp::Read {
            file: self.files[file as usize],
            position: offset,
            len,
            class: IoClass::Foreground,
        });
        bytes(read.await)
    }
}
