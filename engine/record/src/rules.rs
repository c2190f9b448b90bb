use crate::batch::BATCH_HEADER_BYTES;
use crate::header::{BatchHeader, TimestampType};

/// Bytes that the records of one compressed batch may have when decompressed, unless a rule says
/// otherwise. They are walked in a small window, so this bounds time, not memory: 64 MiB, which is
/// 64 times Kafka's largest batch by default and about 0.2 s of the slowest codec.
pub const DECOMPRESSED_BYTES_MAX: u64 = 64 << 20;

/// Compressed batches above this size, in bytes, are checked away from the shard's thread:
/// decompressing 64 KiB can take longer than the 200 us that a handler may.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What a topic asks of the batches that are produced to it, and the time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// The broker's clock, in ms since the Unix epoch.
    pub now_ms: i64,
    /// `max.message.bytes`: the largest batch as sent, in bytes.
    pub max_message_bytes: u32,
    /// The most that a compressed batch's records may have when decompressed, in bytes.
    pub decompressed_bytes_max: u64,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub is_compacted: bool,
    /// The request's version knows zstd (Produce 7 and later).
    pub zstd_is_allowed: bool,
    /// `message.timestamp.type`. Under LogAppendTime the producer's timestamps are replaced, so
    /// their range does not matter.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.after.max.ms`: how far ahead of `now_ms` a CreateTime may be.
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`: how far behind `now_ms` a CreateTime may be.
    pub timestamp_before_max_ms: i64,
}

impl BatchRules {
    /// Kafka's defaults for a topic that sets nothing.
    pub fn defaults(now_ms: i64) -> BatchRules {
        BatchRules {
            now_ms,
            // 1 MiB and the 12 bytes that `batchLength` does not count, as in Kafka.
            max_message_bytes: (1 << 20) + 12,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            is_compacted: false,
            zstd_is_allowed: true,
            timestamp_type: TimestampType::CreateTime,
            timestamp_after_max_ms: 3_600_000,
            timestamp_before_max_ms: i64::MAX,
        }
    }
}

/// Whether checking this `records` field would hold up a shard: compressed and larger than 64 KiB.
/// Looks at one byte and checks nothing.
///
/// A smaller batch may still expand a thousandfold. gzip, the slowest codec, takes about 200 us for
/// 128 KiB of records: checked on a shard with that as its `decompressed_bytes_max`, a batch that
/// answers `DecompressedTooLarge` is one to check again elsewhere.
pub fn needs_helper_thread(records: &[u8]) -> bool {
    const { assert!(INLINE_BYTES_MAX > BATCH_HEADER_BYTES) }
    records.len() > INLINE_BYTES_MAX
        && BatchHeader::peek(records).is_some_and(|header| header.attributes() & 0b111 != 0)
}
