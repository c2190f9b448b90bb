use sillon_buffer::Slice;

use crate::Producer;

/// Length of a batch header (record batch v2, magic 2), in bytes.
pub const BATCH_HEADER_BYTES: usize = 61;

/// How the records of a batch are compressed: the low three bits of its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in the Java client's block format or raw.
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What the header of a checked batch says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchInfo {
    /// The whole batch, header included, in bytes.
    pub size_bytes: u32,
    /// Offset of the last record relative to the first.
    pub last_offset_delta: i32,
    /// Number of records.
    pub records_count: i32,
    /// Codec.
    pub compression: Compression,
    /// Timestamp of the first record, in ms since the Unix epoch; -1 when none.
    pub base_timestamp_ms: i64,
    /// Largest timestamp, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// The idempotent producer that sent it, when one did.
    pub producer: Option<Producer>,
    /// Sequence number of the first record; -1 without a producer.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub is_transactional: bool,
    /// Transaction marker.
    pub is_control: bool,
}

/// A batch whose length, checksum and every record have been checked: what may be appended.
/// Offset and leader epoch in its header are still the producer's.
#[derive(Clone, Debug, Default)]
pub struct ValidBatch {
    pub(crate) bytes: Slice,
    pub(crate) info: BatchInfo,
}

impl ValidBatch {
    /// The batch as sent.
    pub fn bytes(&self) -> &Slice {
        &self.bytes
    }

    /// What its header says.
    pub fn info(&self) -> &BatchInfo {
        &self.info
    }
}
