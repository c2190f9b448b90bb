use sillon_buffer::BLOCK_BYTES;
use sillon_record::crc32c;
use sillon_record::{BATCH_HEADER_BYTES, BatchHeader, LeaderEpoch, Offset, PartitionIncarnation};
use zerocopy::byteorder::little_endian::{I32, I64, U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{EntryKind, EntryMeta};

/// Version of the layouts of this file. The manifest carries it too, so that an older binary
/// refuses the folder before it looks at a round.
pub const FORMAT_VERSION: u16 = 1;

/// Length of a round's header, in bytes.
pub const ROUND_HEADER_BYTES: usize = 88;

/// Length of an entry's header, in bytes.
pub const ENTRY_HEADER_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"\xf1SILLON\n";

/// Part of a batch that its own CRC-32C does not cover: base offset, length, leader epoch, magic
/// and the CRC itself.
const BATCH_PREFIX_BYTES: usize = 21;

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Begins a round. All integers are little-endian.
///
/// ```text
///  byte  0        8         10       12         16            32             48         56
///        +--------+---------+--------+----------+-------------+--------------+----------+---
///        | magic  | format  | zero   | checksum | journal id  | incarnation  | sequence | ...
///        | 8      | u16     | u16    | u32      | u128        | u128         | u64      |
///        +--------+---------+--------+----------+-------------+--------------+----------+---
///       56       64                72     76                  80            84             88
///        +--------+-----------------+------+-------------------+-------------+--------------+
///        | offset | durable_through | file | previous_checksum | length      | entries_count|
///        | u64    | u64             | u32  | u32               | u32 bytes   | u32          |
///        +--------+-----------------+------+-------------------+-------------+--------------+
/// ```
/// `checksum` is crc32 (IEEE) of this header with the field itself zero, the entry headers, and
/// the padding. `file` and `offset` say where the round lies: a copy of it elsewhere is none.
/// `length` counts the bytes up to the end of the last payload; the round takes whole blocks.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RoundHeader {
    pub magic: [u8; 8],
    pub format: U16,
    pub zero: U16,
    pub checksum: U32,
    pub journal_id: U128,
    pub incarnation: U128,
    pub sequence: U64,
    pub offset: U64,
    pub durable_through: U64,
    pub file: U32,
    pub previous_checksum: U32,
    pub length_bytes: U32,
    pub entries_count: U32,
}

const _: () = assert!(size_of::<RoundHeader>() == ROUND_HEADER_BYTES);

impl RoundHeader {
    /// A header of this format with all other fields zero.
    pub(crate) fn blank() -> RoundHeader {
        RoundHeader {
            magic: MAGIC,
            format: U16::new(FORMAT_VERSION),
            zero: U16::new(0),
            checksum: U32::new(0),
            journal_id: U128::new(0),
            incarnation: U128::new(0),
            sequence: U64::new(0),
            offset: U64::new(0),
            durable_through: U64::new(0),
            file: U32::new(0),
            previous_checksum: U32::new(0),
            length_bytes: U32::new(0),
            entries_count: U32::new(0),
        }
    }

    /// The header that `block` begins with, if it could be one: magic, format, and lengths that
    /// agree with each other and with the `available_bytes` to the end of the file.
    pub(crate) fn peek(block: &[u8], available_bytes: u64) -> Option<&RoundHeader> {
        let (header, _) = RoundHeader::ref_from_prefix(block).ok()?;
        let is_round = header.magic == MAGIC
            && header.format.get() == FORMAT_VERSION
            && header.headers_bytes() <= u64::from(header.length_bytes.get())
            && header.round_bytes() <= available_bytes;
        is_round.then_some(header)
    }

    /// Bytes of this header and all entry headers.
    pub(crate) fn headers_bytes(&self) -> u64 {
        ROUND_HEADER_BYTES as u64 + u64::from(self.entries_count.get()) * ENTRY_HEADER_BYTES as u64
    }

    /// Bytes of the whole round, padding included.
    pub(crate) fn round_bytes(&self) -> u64 {
        u64::from(self.length_bytes.get()).next_multiple_of(BLOCK_BYTES as u64)
    }

    /// What the checksum ought to be, with these entry headers and this padding.
    pub(crate) fn checksum_of(&self, entry_headers: &[u8], padding: &[u8]) -> u32 {
        let mut blank = *self;
        blank.checksum.set(0);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(blank.as_bytes());
        hasher.update(entry_headers);
        hasher.update(padding);
        hasher.finalize()
    }

    /// The padding as it should be.
    pub(crate) fn padding(&self) -> &'static [u8] {
        &ZEROS[..(self.round_bytes() - u64::from(self.length_bytes.get())) as usize]
    }
}

/// Describes an entry. All integers are little-endian.
///
/// ```text
///  byte  0       1       4         8            16             24         32            40
///        +-------+-------+---------+------------+--------------+----------+-------------+
///        | kind  | zeros | leader  | partition  | segment base | position | base offset |
///        | u8    | 3     | ep. i32 | incarn. u64| i64          | u64 bytes| i64         |
///        +-------+-------+---------+------------+--------------+----------+-------------+
///       40               44                  48
///        +----------------+-------------------+
///        | payload length | payload checksum  |
///        | u32 bytes      | u32               |
///        +----------------+-------------------+
/// ```
/// `payload checksum` is crc32 (IEEE) of the payload, for a batch of its first 21 bytes only: the
/// rest is covered by the batch's CRC-32C, which is among those 21.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct EntryHeader {
    kind: u8,
    zeros: [u8; 3],
    leader_epoch: I32,
    partition: U64,
    segment_base: I64,
    position: U64,
    base_offset: I64,
    payload_bytes: U32,
    payload_checksum: U32,
}

const _: () = assert!(size_of::<EntryHeader>() == ENTRY_HEADER_BYTES);

impl EntryHeader {
    /// Describes `payload`.
    ///
    /// # Panics
    /// When a batch is shorter than its header, or a payload has 4 GiB or more.
    pub(crate) fn of(meta: &EntryMeta, payload: &[u8]) -> EntryHeader {
        let payload_bytes = u32::try_from(payload.len()).expect("a payload fits into a ring file");
        EntryHeader {
            kind: meta.kind.id(),
            zeros: [0; 3],
            leader_epoch: I32::new(meta.leader_epoch.0),
            partition: U64::new(meta.partition.0),
            segment_base: I64::new(meta.segment_base.0),
            position: U64::new(meta.position),
            base_offset: I64::new(meta.base_offset.0),
            payload_bytes: U32::new(payload_bytes),
            payload_checksum: U32::new(payload_checksum(meta.kind, payload)),
        }
    }

    /// What it is about; `None` for an unknown kind.
    pub(crate) fn meta(&self) -> Option<EntryMeta> {
        Some(EntryMeta {
            kind: EntryKind::of_id(self.kind)?,
            partition: PartitionIncarnation(self.partition.get()),
            segment_base: Offset(self.segment_base.get()),
            position: self.position.get(),
            base_offset: Offset(self.base_offset.get()),
            leader_epoch: LeaderEpoch(self.leader_epoch.get()),
        })
    }

    /// Length of its payload, in bytes.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes.get() as usize
    }

    /// Whether `payload` is what the entry was written with.
    pub(crate) fn payload_is_whole(&self, kind: EntryKind, payload: &[u8]) -> bool {
        if kind == EntryKind::Batch && !batch_is_whole(payload) {
            return false;
        }
        payload_checksum(kind, payload) == self.payload_checksum.get()
    }
}

/// Crc32 of the part of a payload that has no checksum of its own.
fn payload_checksum(kind: EntryKind, payload: &[u8]) -> u32 {
    match kind {
        EntryKind::Batch => {
            assert!(
                payload.len() >= BATCH_HEADER_BYTES,
                "a batch of {} bytes is shorter than its header",
                payload.len()
            );
            crc32fast::hash(&payload[..BATCH_PREFIX_BYTES])
        }
        _ if payload.is_empty() => 0,
        _ => crc32fast::hash(payload),
    }
}

/// Whether `payload` is just one batch with the right CRC-32C.
fn batch_is_whole(payload: &[u8]) -> bool {
    BatchHeader::peek(payload).is_some_and(|header| {
        header.size_bytes().map(|size| size as usize) == Some(payload.len())
            && header.crc() == crc32c(&payload[BATCH_PREFIX_BYTES..])
    })
}
