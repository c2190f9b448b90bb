//! The bytes of a checkpoint. All integers are big-endian.
//!
//! ```text
//! magic "SILLONCP" | u16 format version | u64 length of all this | header | partitions |
//!     u32 number of partitions | u32 crc
//! partition: u32 length of what follows | topic id | i32 number | u64 incarnation |
//!     u16 length, topic name | i64 log start | i64 high watermark | i64 next offset |
//!     i64 compacted to | u8 swapping | i32 leader epoch | u32 count, segments | u32 count, index entries | u32 count, epochs |
//!     producers (see Producers::encode)
//! ```
//! The crc is that of crc32fast, over everything before it. What the file has behind it means
//! nothing: it is room for the next one.

use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation, TopicId};

use crate::cursor::{Cursor, CutShort};
use crate::epochs::EpochEntry;
use crate::producers_codec::ProducersError;
use crate::{
    CheckpointHeader, IndexEntry, LeaderEpochs, PartitionCheckpoint, PartitionCheckpointRef,
    Producers, SegmentInfo,
};

const MAGIC: &[u8; 8] = b"SILLONCP";

/// Format version that this code writes. It reads 2 as well, which ended where the file does, and
/// 1, which knew no compaction either.
pub const CHECKPOINT_FORMAT_VERSION: u16 = 3;

/// The oldest format version that this code reads.
const FORMAT_VERSION_MIN: u16 = 1;

/// Number of partitions and crc.
const TRAILER_BYTES: usize = 8;

/// Where the length is.
pub(crate) const LENGTH_AT: std::ops::Range<usize> = 10..18;

pub(crate) fn encode_header(header: &CheckpointHeader, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&CHECKPOINT_FORMAT_VERSION.to_be_bytes());
    // The length, once it is known.
    out.extend_from_slice(&[0; LENGTH_AT.end - LENGTH_AT.start]);
    out.extend_from_slice(&header.shard_count.to_be_bytes());
    out.extend_from_slice(&header.shard.to_be_bytes());
    out.extend_from_slice(&header.journal_id.to_be_bytes());
    out.extend_from_slice(&header.incarnation.to_be_bytes());
    out.extend_from_slice(&header.next_sequence.to_be_bytes());
    out.extend_from_slice(&header.file.to_be_bytes());
    out.extend_from_slice(&header.offset.to_be_bytes());
    out.extend_from_slice(&header.previous_checksum.to_be_bytes());
    out.extend_from_slice(&header.durable_through.to_be_bytes());
    out.extend_from_slice(&header.applied_sequence.to_be_bytes());
    out.push(u8::from(header.is_clean));
}

/// Appends one partition to `out`, for [`crate::CheckpointBuilder::push_encoded`].
///
/// # Panics
/// When the topic's name is longer than 65,535 bytes: names have at most 249.
pub fn encode_partition(partition: &PartitionCheckpointRef<'_>, out: &mut Vec<u8>) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&partition.topic.0);
    out.extend_from_slice(&partition.partition.to_be_bytes());
    out.extend_from_slice(&partition.incarnation.0.to_be_bytes());
    let name_bytes = u16::try_from(partition.topic_name.len()).expect("topic names are short");
    out.extend_from_slice(&name_bytes.to_be_bytes());
    out.extend_from_slice(partition.topic_name.as_bytes());
    out.extend_from_slice(&partition.log_start.0.to_be_bytes());
    out.extend_from_slice(&partition.high_watermark.0.to_be_bytes());
    out.extend_from_slice(&partition.next_offset.0.to_be_bytes());
    out.extend_from_slice(&partition.compacted_to.0.to_be_bytes());
    out.push(u8::from(partition.is_swapping));
    out.extend_from_slice(&partition.leader_epoch.0.to_be_bytes());
    encode_count(partition.segments.len(), out);
    for segment in partition.segments {
        out.extend_from_slice(&segment.base_offset.0.to_be_bytes());
        out.extend_from_slice(&segment.next_offset.0.to_be_bytes());
        out.extend_from_slice(&segment.size_bytes.to_be_bytes());
        out.extend_from_slice(&segment.max_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&segment.created_ms.to_be_bytes());
        out.extend_from_slice(&segment.generation.to_be_bytes());
    }
    encode_count(partition.active_index.len(), out);
    for entry in partition.active_index {
        out.extend_from_slice(&entry.relative_offset.to_be_bytes());
        out.extend_from_slice(&entry.position.to_be_bytes());
        out.extend_from_slice(&entry.max_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&entry.max_timestamp_offset.to_be_bytes());
    }
    encode_count(partition.epochs.entries().len(), out);
    for entry in partition.epochs.entries() {
        out.extend_from_slice(&entry.epoch.0.to_be_bytes());
        out.extend_from_slice(&entry.start_offset.0.to_be_bytes());
    }
    partition.producers.encode(out);
    let length = u32::try_from(out.len() - length_at - 4)
        .expect("a partition's state is bounded far below 4 GiB");
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("a partition's lists are bounded far below 2^32");
    out.extend_from_slice(&count.to_be_bytes());
}

/// Reads what a [`crate::CheckpointBuilder`] made.
///
/// # Errors
/// The file is damaged, or of a newer format version. It is written under a temporary name and
/// renamed, so a crash does not damage it.
pub fn decode_checkpoint(
    file: &[u8],
) -> Result<(CheckpointHeader, Vec<PartitionCheckpoint>), CheckpointError> {
    let mut cursor = Cursor::new(file);
    if cursor.bytes(MAGIC.len()) != Ok(&MAGIC[..]) {
        return Err(CheckpointError::Magic);
    }
    let version = cursor.u16()?;
    if !(FORMAT_VERSION_MIN..=CHECKPOINT_FORMAT_VERSION).contains(&version) {
        return Err(CheckpointError::Version { version });
    }
    let damaged = CheckpointError::Checksum { len: file.len() };
    let (file, header_at) = match version {
        ..=2 => (file, LENGTH_AT.start),
        _ => {
            let len = usize::try_from(cursor.u64()?).ok();
            let whole = len.and_then(|len| file.get(..len));
            (whole.ok_or(damaged)?, LENGTH_AT.end)
        }
    };
    let body_bytes = file.len().checked_sub(TRAILER_BYTES).ok_or(damaged)?;
    let mut trailer = Cursor::new(&file[body_bytes..]);
    let partitions_count = trailer.u32()?;
    if crc32fast::hash(&file[..body_bytes + 4]) != trailer.u32()? {
        return Err(damaged);
    }
    let mut cursor = Cursor::new(&file[..body_bytes]);
    cursor.bytes(header_at)?;
    let header = decode_header(&mut cursor)?;
    let mut partitions = Vec::new();
    while cursor.remaining() > 0 {
        let at = cursor.at();
        let partition = decode_framed_partition(&mut cursor, version)
            .map_err(|fault| CheckpointError::Partition { at, fault })?;
        partitions.push(partition);
    }
    if partitions.len() as u64 != u64::from(partitions_count) {
        return Err(CheckpointError::PartitionsCount {
            claimed: partitions_count,
            found: partitions.len(),
        });
    }
    Ok((header, partitions))
}

fn decode_header(cursor: &mut Cursor<'_>) -> Result<CheckpointHeader, CheckpointError> {
    Ok(CheckpointHeader {
        shard_count: cursor.u16()?,
        shard: cursor.u16()?,
        journal_id: cursor.u128()?,
        incarnation: cursor.u128()?,
        next_sequence: cursor.u64()?,
        file: cursor.u32()?,
        offset: cursor.u64()?,
        previous_checksum: cursor.u32()?,
        durable_through: cursor.u64()?,
        applied_sequence: cursor.u64()?,
        is_clean: cursor.u8()? != 0,
    })
}

fn decode_framed_partition(
    cursor: &mut Cursor<'_>,
    version: u16,
) -> Result<PartitionCheckpoint, PartitionFault> {
    let length = cursor.u32()? as usize;
    let mut inner = Cursor::new(cursor.bytes(length)?);
    let partition = decode_partition(&mut inner, version)?;
    match inner.remaining() {
        0 => Ok(partition),
        count => Err(PartitionFault::BytesBehind { count }),
    }
}

fn decode_partition(
    cursor: &mut Cursor<'_>,
    version: u16,
) -> Result<PartitionCheckpoint, PartitionFault> {
    let knows_compaction = version >= 2;
    let topic = TopicId(cursor.id16()?);
    let partition = cursor.i32()?;
    let incarnation = PartitionIncarnation(cursor.u64()?);
    let name_bytes = usize::from(cursor.u16()?);
    let name = cursor.bytes(name_bytes)?;
    let topic_name = std::str::from_utf8(name).map_err(|_| PartitionFault::TopicName)?;
    Ok(PartitionCheckpoint {
        topic,
        partition,
        incarnation,
        topic_name: topic_name.to_owned(),
        log_start: Offset(cursor.i64()?),
        high_watermark: Offset(cursor.i64()?),
        next_offset: Offset(cursor.i64()?),
        compacted_to: match knows_compaction {
            true => Offset(cursor.i64()?),
            false => Offset::ZERO,
        },
        is_swapping: knows_compaction && cursor.u8()? != 0,
        leader_epoch: LeaderEpoch(cursor.i32()?),
        segments: decode_list(cursor, |cursor| decode_segment(cursor, knows_compaction))?,
        active_index: decode_list(cursor, decode_index_entry)?,
        epochs: decode_epochs(cursor)?,
        producers: Producers::read(cursor)?,
    })
}

/// Reads a counted list. The count is not believed: the list grows as items are there.
fn decode_list<T>(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>) -> Result<T, CutShort>,
) -> Result<Vec<T>, CutShort> {
    let count = cursor.u32()?;
    (0..count).map(|_| item(cursor)).collect()
}

fn decode_segment(
    cursor: &mut Cursor<'_>,
    knows_compaction: bool,
) -> Result<SegmentInfo, CutShort> {
    Ok(SegmentInfo {
        base_offset: Offset(cursor.i64()?),
        next_offset: Offset(cursor.i64()?),
        size_bytes: cursor.u64()?,
        max_timestamp_ms: cursor.i64()?,
        created_ms: cursor.i64()?,
        generation: match knows_compaction {
            true => cursor.u32()?,
            false => 0,
        },
    })
}

fn decode_index_entry(cursor: &mut Cursor<'_>) -> Result<IndexEntry, CutShort> {
    Ok(IndexEntry {
        relative_offset: cursor.u32()?,
        position: cursor.u32()?,
        max_timestamp_ms: cursor.i64()?,
        max_timestamp_offset: cursor.u32()?,
    })
}

fn decode_epochs(cursor: &mut Cursor<'_>) -> Result<LeaderEpochs, PartitionFault> {
    let count = cursor.u32()?;
    let mut epochs = LeaderEpochs::default();
    for _ in 0..count {
        let epoch = LeaderEpoch(cursor.i32()?);
        let start_offset = Offset(cursor.i64()?);
        let entry = EpochEntry {
            epoch,
            start_offset,
        };
        epochs
            .push(entry)
            .ok_or(PartitionFault::EpochOrder { epoch })?;
    }
    Ok(epochs)
}

/// A checkpoint that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Something else.
    #[error("this is no checkpoint: it does not begin with SILLONCP")]
    Magic,
    /// Written by a newer program.
    #[error(
        "the checkpoint has format version {version}, this program reads version {}: start the \
         version of sillon that wrote it",
        CHECKPOINT_FORMAT_VERSION
    )]
    Version {
        /// The version.
        version: u16,
    },
    /// Damaged: the checksum does not match.
    #[error(
        "the checkpoint of {len} bytes is damaged (its checksum does not match): mend the \
         disk or restore the file, then start again"
    )]
    Checksum {
        /// Length of the file, in bytes.
        len: usize,
    },
    /// The header is incomplete.
    #[error("the header of the checkpoint: {0}")]
    Header(#[from] CutShort),
    /// The checksum matches, but a partition makes no sense: a bug of the writer.
    #[error("the partition at byte {at} of the checkpoint: {fault}")]
    Partition {
        /// Where it begins, in bytes.
        at: usize,
        /// What is wrong.
        fault: PartitionFault,
    },
    /// The checksum matches, but partitions are missing: a bug of the writer.
    #[error("the checkpoint promises {claimed} partitions and has {found}")]
    PartitionsCount {
        /// What the trailer says.
        claimed: u32,
        /// How many there are.
        found: usize,
    },
}

/// What is wrong with one partition of a checkpoint. Positions count from its topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionFault {
    /// It ends in the middle of a field.
    #[error(transparent)]
    CutShort(#[from] CutShort),
    /// The topic's name is not UTF-8.
    #[error("the topic's name is not UTF-8")]
    TopicName,
    /// Leader epochs that do not ascend.
    #[error("leader epoch {epoch} or its start offset does not ascend")]
    EpochOrder {
        /// The epoch.
        epoch: LeaderEpoch,
    },
    /// Producers that make no sense.
    #[error(transparent)]
    Producers(#[from] ProducersError),
    /// Something follows the producers.
    #[error("{count} bytes follow the producers")]
    BytesBehind {
        /// How many.
        count: usize,
    },
}
