use zerocopy::byteorder::network_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::batch::{BATCH_HEADER_BYTES, Compression, UnknownCodec};
use crate::{LeaderEpoch, Offset, crc32c};

/// Bytes before the part that `batchLength` counts: base offset and the length itself.
pub(crate) const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the checksummed part begins: at the attributes.
const CHECKSUMMED_FROM: usize = 21;
/// Where the magic byte stands, in every message format that Kafka ever had.
pub(crate) const MAGIC_AT: usize = 16;
/// The only format that this broker stores.
pub(crate) const MAGIC_V2: i8 = 2;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(crate) const CONTROL_BIT: i16 = 1 << 5;
/// The base timestamp is the time from which tombstones may go (KIP-534).
const DELETE_HORIZON_BIT: i16 = 1 << 6;
/// Bits that a producer may set or that have a meaning of their own in an error.
const PRODUCER_BITS: i16 = CODEC_MASK | LOG_APPEND_TIME_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;

/// What a record's timestamp means. Kafka's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer set it.
    #[default]
    CreateTime,
    /// The broker set it, for the whole batch.
    LogAppendTime,
}

/// The header of a record batch v2, in place. All integers are big-endian.
///
/// ```text
///  byte  0              8           12          16    17      21         23
///        +--------------+-----------+-----------+-----+-------+----------+-----------------+
///        | baseOffset   | batch     | partition |magic| crc   |attributes| lastOffsetDelta |
///        | i64          | Length i32| LeaderEpo.| i8=2| u32   | i16      | i32             |
///        +--------------+-----------+-----------+-----+-------+----------+-----------------+
///       27               35             43           51          53          57        61
///        +---------------+--------------+------------+-----------+-----------+---------+---
///        | baseTimestamp | maxTimestamp | producerId | producer  | base      | records | records
///        | i64 ms        | i64 ms       | i64        | Epoch i16 | Sequ. i32 | Count   | ...
///        +---------------+--------------+------------+-----------+-----------+---------+---
/// ```
/// `batchLength` counts the bytes from byte 12 on, the CRC-32C covers those from byte 21 on: base
/// offset and leader epoch are given by the broker without touching it. Attributes: bits 0-2
/// codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    base_offset: I64,
    batch_length: I32,
    partition_leader_epoch: I32,
    magic: i8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    records_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == BATCH_HEADER_BYTES);

/// The fields of a header that a builder or a test sets, in wire order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderFields {
    pub size_bytes: usize,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

/// What compaction changes in a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactedFields {
    pub size_bytes: usize,
    /// The base timestamp is a delete horizon.
    pub has_delete_horizon: bool,
    pub base_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub records_count: i32,
}

impl BatchHeader {
    /// The header at the beginning of `bytes`; `None` when there are fewer than 61. Nothing in it
    /// has been checked.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Option<&BatchHeader> {
        BatchHeader::ref_from_prefix(bytes)
            .ok()
            .map(|(header, _)| header)
    }

    /// As [`Self::peek`], to be changed in place.
    pub fn peek_mut(bytes: &mut [u8]) -> Option<&mut BatchHeader> {
        BatchHeader::mut_from_prefix(bytes)
            .ok()
            .map(|(header, _)| header)
    }

    pub(crate) fn of(fields: &HeaderFields) -> BatchHeader {
        BatchHeader {
            base_offset: I64::new(0),
            batch_length: I32::new((fields.size_bytes - LENGTH_PREFIX_BYTES) as i32),
            partition_leader_epoch: I32::new(-1),
            magic: MAGIC_V2,
            crc: U32::new(0),
            attributes: I16::new(fields.attributes),
            last_offset_delta: I32::new(fields.last_offset_delta),
            base_timestamp: I64::new(fields.base_timestamp_ms),
            max_timestamp: I64::new(fields.max_timestamp_ms),
            producer_id: I64::new(fields.producer_id),
            producer_epoch: I16::new(fields.producer_epoch),
            base_sequence: I32::new(fields.base_sequence),
            records_count: I32::new(fields.records_count),
        }
    }

    /// Offset of the first record (before compaction).
    pub fn base_offset(&self) -> Offset {
        Offset(self.base_offset.get())
    }

    /// Offset of the last record (before compaction).
    pub fn last_offset(&self) -> Offset {
        Offset(
            self.base_offset
                .get()
                .wrapping_add(i64::from(self.last_offset_delta.get())),
        )
    }

    /// The `batchLength` field: bytes from byte 12 on.
    pub fn batch_length(&self) -> i32 {
        self.batch_length.get()
    }

    /// The whole batch in bytes, header included; `None` when the length field is too small for
    /// a header or the sum overflows.
    #[inline]
    pub fn size_bytes(&self) -> Option<u32> {
        let rest_min = (BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES) as u32;
        let rest = u32::try_from(self.batch_length.get()).ok()?;
        (rest >= rest_min).then_some(rest + LENGTH_PREFIX_BYTES as u32)
    }

    /// Epoch of the leader that appended the batch; the producer's own filling before that.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.partition_leader_epoch.get())
    }

    /// Format version: 2 in every batch that is stored.
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The checksum that the batch claims.
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// All attribute bits.
    pub fn attributes(&self) -> i16 {
        self.attributes.get()
    }

    /// Codec of the records.
    #[inline]
    pub fn compression(&self) -> Result<Compression, UnknownCodec> {
        Compression::of_id((self.attributes.get() & CODEC_MASK) as u8)
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes.get() & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes.get() & TRANSACTIONAL_BIT != 0
    }

    /// Transaction marker.
    pub fn is_control(&self) -> bool {
        self.attributes.get() & CONTROL_BIT != 0
    }

    /// When compaction may take the batch's tombstones, in ms since the Unix epoch, once it has
    /// set that.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes.get() & DELETE_HORIZON_BIT != 0).then(|| self.base_timestamp.get())
    }

    /// The header of what compaction leaves of the batch: offsets, sequences and producer stay.
    /// The checksum is to be set.
    pub(crate) fn compacted(&self, left: &CompactedFields) -> BatchHeader {
        let mut header = *self;
        let mut attributes = self.attributes.get();
        if left.records_count == 0 {
            attributes &= !(CODEC_MASK | DELETE_HORIZON_BIT);
        }
        if left.has_delete_horizon {
            attributes |= DELETE_HORIZON_BIT;
        }
        header
            .batch_length
            .set((left.size_bytes - LENGTH_PREFIX_BYTES) as i32);
        header.attributes.set(attributes);
        header.base_timestamp.set(left.base_timestamp_ms);
        header.max_timestamp.set(left.max_timestamp_ms);
        header.records_count.set(left.records_count);
        header
    }

    /// Attribute bits that no producer may set: the delete horizon and those without a meaning.
    pub(crate) fn reserved_attributes(&self) -> i16 {
        self.attributes.get() & !PRODUCER_BITS
    }

    /// Offset of the last record relative to the first.
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// What the timestamp deltas are relative to, in ms since the Unix epoch.
    pub fn base_timestamp_ms(&self) -> i64 {
        self.base_timestamp.get()
    }

    /// Largest timestamp, in ms since the Unix epoch; -1 when none.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp.get()
    }

    /// Producer id; -1 when none.
    pub fn producer_id(&self) -> i64 {
        self.producer_id.get()
    }

    /// Producer epoch; -1 when none.
    pub fn producer_epoch(&self) -> i16 {
        self.producer_epoch.get()
    }

    /// Sequence number of the first record; -1 when none.
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence.get()
    }

    /// Number of records.
    pub fn records_count(&self) -> i32 {
        self.records_count.get()
    }
}

/// The checksum that a batch of at least a header's length ought to carry.
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc32c(&batch[CHECKSUMMED_FROM..])
}

/// Gives a whole batch its place: offset of its first record and epoch of its leader. Neither is
/// covered by the checksum.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn patch_placement(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    let header = header_mut(batch);
    header.base_offset.set(base_offset.0);
    header.partition_leader_epoch.set(leader_epoch.0);
}

/// Makes `append_time_ms` the timestamp of every record of a whole batch, for a topic with
/// `message.timestamp.type=LogAppendTime`, and recomputes the checksum.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn stamp_log_append_time(batch: &mut [u8], append_time_ms: i64) {
    let header = header_mut(batch);
    header
        .attributes
        .set(header.attributes.get() | LOG_APPEND_TIME_BIT);
    header.max_timestamp.set(append_time_ms);
    seal_crc(batch);
}

/// Sets the largest timestamp of a whole batch to what its records say, and recomputes the
/// checksum.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn correct_max_timestamp(batch: &mut [u8], max_timestamp_ms: i64) {
    header_mut(batch).max_timestamp.set(max_timestamp_ms);
    seal_crc(batch);
}

/// Writes the checksum of a whole batch into it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn seal_crc(batch: &mut [u8]) {
    let crc = checksum(batch);
    header_mut(batch).crc.set(crc);
}

fn header_mut(batch: &mut [u8]) -> &mut BatchHeader {
    BatchHeader::peek_mut(batch).expect("a batch is at least as long as its header")
}
