//! Makes the journals of a node's shards.

use std::collections::BTreeMap;

use sillon_buffer::{ChunkWriter, Slice};
use sillon_controller::{Image, TopicConfig};
use sillon_journal::{ChainPoint, JournalId, RingLayout};
use sillon_log::{CheckpointBuilder, MANIFEST_FILE, Manifest};
use sillon_record::PartitionIncarnation;

use super::{Failure, Start};
use crate::checkpoint::{Place, encode_log, header};
use crate::layout::{CHECKPOINT, CHECKPOINT_NEW, journal_folder, ring_file};
use crate::node_config::ring_layout;
use crate::procedure::{Io, done, join_all};
use crate::recovery::RecoveredPartition;
use crate::small_file::replace_file;
use crate::{Access, DiskError, DiskOp, IoClass, NodeConfig, ShardId, owner};

/// Parts of the rings that are zeroed before the node is ready, in bytes over all shards: 8 MiB
/// take about 10 ms of the 50 that a first start may take.
const ZEROED_BYTES: u64 = 8 << 20;

impl Start {
    /// How much of each fresh ring is zeroed before the node is ready, in bytes.
    pub(super) fn zeroed_bytes(&self) -> u64 {
        let share = ZEROED_BYTES / u64::from(self.config.shards.max(1));
        share - share % sillon_buffer::BLOCK_BYTES as u64
    }

    pub(super) fn ring(&self) -> Result<RingLayout, Failure> {
        let NodeConfig {
            journal_bytes,
            shards,
            file_system_bytes,
            ..
        } = self.config;
        let layout = ring_layout(journal_bytes, shards, file_system_bytes);
        if layout.is_valid() {
            Ok(layout)
        } else {
            Err(Failure::JournalTooSmall {
                bytes: layout.capacity_bytes() * u64::from(shards.max(1)),
                shards,
            })
        }
    }

    pub(super) async fn first_journals(
        &mut self,
        ring: RingLayout,
    ) -> Result<Vec<JournalId>, Failure> {
        self.new_journals(ring, &BTreeMap::new(), &Image::new(TopicConfig::default()))
            .await
    }

    /// Makes a journal for each shard, with a checkpoint of the partitions that it owns, and then
    /// the manifest that names them.
    pub(super) async fn new_journals(
        &mut self,
        ring: RingLayout,
        partitions: &BTreeMap<PartitionIncarnation, RecoveredPartition>,
        image: &Image,
    ) -> Result<Vec<JournalId>, Failure> {
        let (mut journals, mut checkpoints) = (Vec::new(), Vec::new());
        for shard in 0..self.config.shards {
            let journal = JournalId((self.entropy)());
            let config = self.shard_config(ShardId(shard), journal, ring);
            let through = ChainPoint::FRESH.next_sequence - 1;
            let header = header(&config, through, ChainPoint::FRESH, true);
            let mut builder = CheckpointBuilder::new(header);
            for (incarnation, partition) in partitions {
                let is_owned = owner(partition.id, self.config.shards) == ShardId(shard);
                let known = image.partition(partition.id);
                let (Some((topic, known)), true) = (known, is_owned) else {
                    continue;
                };
                let place = Place {
                    id: partition.id,
                    incarnation: *incarnation,
                    topic_name: &topic.name,
                    high_watermark: partition.high_watermark,
                    leader_epoch: known.leader_epoch,
                    // Recovery has finished or undone it.
                    is_swapping: false,
                };
                let mut encoded = Vec::new();
                encode_log(&place, &partition.log, &mut encoded);
                builder.push_encoded(&encoded);
            }
            journals.push(journal);
            checkpoints.push(builder.finish());
        }
        let zeroed = self.zeroed_bytes();
        let new = journals.iter().zip(&checkpoints);
        let made =
            new.map(|(id, checkpoint)| make_journal(&self.io, *id, ring, zeroed, checkpoint));
        for made in join_all(made.collect()).await {
            made?;
        }
        done(self.io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
        let manifest = Manifest {
            shard_count: self.config.shards,
            journals: journals.iter().map(|journal| journal.0).collect(),
            ring_files: ring.files,
            ring_file_bytes: ring.file_bytes,
        };
        let new_name = format!("{MANIFEST_FILE}.new");
        let text = manifest.encode();
        replace_file(&self.io, "", MANIFEST_FILE, &new_name, text.as_bytes()).await?;
        Ok(journals)
    }
}

/// Makes a journal's folder, ring and first checkpoint.
async fn make_journal(
    io: &Io,
    journal: JournalId,
    ring: RingLayout,
    zeroed: u64,
    checkpoint: &[u8],
) -> Result<(), DiskError> {
    let folder = journal_folder(journal);
    let path = folder.as_str().into();
    done(io.call(DiskOp::MakeFolder { path }).await)?;
    let mut left = zeroed;
    let mut files = Vec::new();
    for number in 0..ring.files {
        let share = left.min(ring.file_bytes);
        left -= share;
        files.push(make_ring_file(
            io,
            ring_file(journal, number),
            ring.file_bytes,
            share,
        ));
    }
    for made in join_all(files).await {
        made?;
    }
    replace_file(io, &folder, CHECKPOINT, CHECKPOINT_NEW, checkpoint).await
}

async fn make_ring_file(io: &Io, path: String, bytes: u64, zeroed: u64) -> Result<(), DiskError> {
    const PIECE_BYTES: u64 = 1 << 20;
    let (file, _) = io.open(path, true, Access::Direct).await?;
    io.allocate(file, 0, bytes).await?;
    let mut position = 0;
    let zeros: Slice = ChunkWriter::unpooled(PIECE_BYTES as usize).publish(PIECE_BYTES as usize);
    while position < zeroed {
        let len = PIECE_BYTES.min(zeroed - position);
        let write = io.call(DiskOp::Write {
            file,
            position,
            pieces: vec![zeros.slice(0..len as usize)],
            class: IoClass::Journal,
        });
        done(write.await)?;
        position += len;
    }
    done(io.call(DiskOp::Sync { file }).await)?;
    done(io.call(DiskOp::Close { file }).await)
}
