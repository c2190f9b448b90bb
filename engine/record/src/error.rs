use crate::batch::{Compression, UnknownCodec};
use crate::record::RecordFault;

/// Why a producer's batch is refused. The Kafka error code of each variant is that of its
/// [`BatchError::class`], named in its comment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// INVALID_RECORD: the `records` field is null or empty.
    #[error("no record batch; a Produce partition entry holds exactly one")]
    Missing,
    /// INVALID_RECORD: the field ends before the batch does.
    #[error("the record batch needs {needed} bytes and {available} were sent")]
    CutShort {
        /// Bytes that the batch needs, as far as known.
        needed: u64,
        /// Bytes in the field.
        available: usize,
    },
    /// INVALID_RECORD: bytes behind the batch, such as a second one.
    #[error("{trailing} bytes behind the first record batch; an entry holds exactly one batch")]
    Second {
        /// Bytes behind the first batch.
        trailing: usize,
    },
    /// INVALID_RECORD for an old message format; CORRUPT_MESSAGE for what never was one.
    #[error("magic {magic}; only record batches v2 (magic 2) are accepted")]
    Magic {
        /// The field.
        magic: i8,
    },
    /// CORRUPT_MESSAGE: the length cannot be that of a batch.
    #[error("batchLength {length} is below 49, the rest of a header")]
    Length {
        /// The field.
        length: i32,
    },
    /// CORRUPT_MESSAGE: the checksum does not match.
    #[error("the batch says CRC-32C {stored:#010x}, its bytes have {computed:#010x}")]
    Crc {
        /// The header's.
        stored: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// MESSAGE_TOO_LARGE: clients split the batch and try again.
    #[error("the batch has {size_bytes} bytes, max.message.bytes is {max_message_bytes}")]
    TooLarge {
        /// The batch as sent.
        size_bytes: usize,
        /// The topic's limit.
        max_message_bytes: u32,
    },
    /// MESSAGE_TOO_LARGE: a compressed batch that expands too far.
    #[error("the {} records decompress to more than {limit_bytes} bytes", compression.name())]
    DecompressedTooLarge {
        /// Codec.
        compression: Compression,
        /// The limit.
        limit_bytes: u64,
    },
    /// INVALID_RECORD: offsets are the broker's to give.
    #[error("baseOffset {base_offset}; a producer sends 0")]
    BaseOffset {
        /// The field.
        base_offset: i64,
    },
    /// UNSUPPORTED_COMPRESSION_TYPE.
    #[error(transparent)]
    UnknownCodec(#[from] UnknownCodec),
    /// UNSUPPORTED_COMPRESSION_TYPE: zstd before Produce 7.
    #[error("zstd in a Produce request below version 7")]
    ZstdTooEarly,
    /// INVALID_RECORD: attribute bits without a meaning, or the delete horizon's.
    #[error("attributes {attributes:#06x} have bits that no producer may set")]
    ReservedAttributes {
        /// The field.
        attributes: i16,
    },
    /// INVALID_TXN_STATE: no transaction can be open.
    #[error(
        "a transactional batch, and no transaction is open; transactions are not supported yet"
    )]
    Transactional,
    /// INVALID_RECORD: markers are the broker's own.
    #[error("a control batch; producers may not write transaction markers")]
    Control,
    /// INVALID_TIMESTAMP: the broker alone stamps LogAppendTime.
    #[error("attributes say LogAppendTime; a producer sends CreateTime")]
    LogAppendTime,
    /// INVALID_RECORD: the record count does not agree with the last offset delta, or is not
    /// positive.
    #[error(
        "recordsCount {records_count} with lastOffsetDelta {last_offset_delta}; \
             the count is positive and one more than the delta"
    )]
    Count {
        /// The header's number of records.
        records_count: i32,
        /// The header's last offset delta.
        last_offset_delta: i32,
    },
    /// INVALID_RECORD: an idempotent producer without a sequence or an epoch.
    #[error(
        "producer id {producer_id} with epoch {epoch} and baseSequence {base_sequence}; \
             neither may be negative"
    )]
    NegativeSequence {
        /// The header's producer id.
        producer_id: i64,
        /// The header's producer epoch.
        epoch: i16,
        /// The header's first sequence number.
        base_sequence: i32,
    },
    /// INVALID_RECORD: a record that cannot be read.
    #[error("record {index}: {fault}")]
    Record {
        /// Counted from 0.
        index: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// INVALID_RECORD: the compressed records cannot be decompressed.
    #[error("{} stream after {index} records: {reason}", compression.name())]
    Decompression {
        /// Records read before the fault.
        index: i32,
        /// Codec.
        compression: Compression,
        /// What the codec says.
        reason: String,
    },
    /// INVALID_RECORD: offset deltas are not 0, 1, 2 and so on.
    #[error("record {index} has offset delta {offset_delta}; deltas count up from 0")]
    OffsetDelta {
        /// Counted from 0.
        index: i32,
        /// What it says.
        offset_delta: i32,
    },
    /// INVALID_RECORD: a compacted topic's record without a key.
    #[error("record {index} has no key; every record of a compacted topic needs one")]
    NullKey {
        /// Counted from 0.
        index: i32,
    },
    /// INVALID_TIMESTAMP: a CreateTime outside the topic's range, or one that overflows.
    #[error(
        "record {index} has timestamp {timestamp_ms} ms, allowed are {earliest_ms} to \
             {latest_ms} (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
    )]
    Timestamp {
        /// Counted from 0.
        index: i32,
        /// Its timestamp, wrapped when it overflows.
        timestamp_ms: i64,
        /// First allowed.
        earliest_ms: i64,
        /// Last allowed.
        latest_ms: i64,
    },
    /// INVALID_RECORD: more records, or other bytes, than the header counts.
    #[error("bytes are left behind the last of {records_count} records")]
    BytesBehindRecords {
        /// The header's number of records.
        records_count: i32,
    },
}

/// The Kafka error code of a [`BatchError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchErrorClass {
    /// CORRUPT_MESSAGE (2).
    CorruptMessage,
    /// MESSAGE_TOO_LARGE (10).
    MessageTooLarge,
    /// INVALID_TIMESTAMP (32).
    InvalidTimestamp,
    /// INVALID_TXN_STATE (48).
    InvalidTxnState,
    /// UNSUPPORTED_COMPRESSION_TYPE (76).
    UnsupportedCompressionType,
    /// INVALID_RECORD (87).
    InvalidRecord,
}

impl BatchError {
    /// The one Kafka error code for this fault.
    pub fn class(&self) -> BatchErrorClass {
        match self {
            BatchError::Length { .. } | BatchError::Crc { .. } => BatchErrorClass::CorruptMessage,
            // 0 and 1 are Kafka's older formats; anything else never was one.
            BatchError::Magic { magic } if !(0..=1).contains(magic) => {
                BatchErrorClass::CorruptMessage
            }
            BatchError::TooLarge { .. } | BatchError::DecompressedTooLarge { .. } => {
                BatchErrorClass::MessageTooLarge
            }
            BatchError::LogAppendTime | BatchError::Timestamp { .. } => {
                BatchErrorClass::InvalidTimestamp
            }
            BatchError::Transactional => BatchErrorClass::InvalidTxnState,
            BatchError::UnknownCodec(_) | BatchError::ZstdTooEarly => {
                BatchErrorClass::UnsupportedCompressionType
            }
            BatchError::Missing
            | BatchError::CutShort { .. }
            | BatchError::Second { .. }
            | BatchError::Magic { .. }
            | BatchError::BaseOffset { .. }
            | BatchError::ReservedAttributes { .. }
            | BatchError::Control
            | BatchError::Count { .. }
            | BatchError::NegativeSequence { .. }
            | BatchError::Record { .. }
            | BatchError::Decompression { .. }
            | BatchError::OffsetDelta { .. }
            | BatchError::NullKey { .. }
            | BatchError::BytesBehindRecords { .. } => BatchErrorClass::InvalidRecord,
        }
    }
}
