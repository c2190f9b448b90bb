use sillon_buffer::Slice;

use crate::header::{
    BatchHeader, TimestampType, correct_max_timestamp, patch_placement, stamp_log_append_time,
};
use crate::{LeaderEpoch, Offset, Producer};

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

/// A codec number that Kafka does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attributes name compression codec {0}; 0 to 4 are known (none, gzip, snappy, lz4, zstd)")]
pub struct UnknownCodec(pub u8);

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec with that number in the attributes.
    #[inline]
    pub fn of_id(id: u8) -> Result<Compression, UnknownCodec> {
        Self::ALL
            .get(usize::from(id))
            .copied()
            .ok_or(UnknownCodec(id))
    }

    /// Its number in the attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Its name in Kafka's `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
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
    /// Who set the timestamps.
    pub timestamp_type: TimestampType,
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

impl BatchInfo {
    /// What the header of a stored batch says. For a batch that [`crate::Batches`] gave,
    /// [`crate::BatchView::info`] is the same without the error.
    ///
    /// # Errors
    /// The codec is unknown. Nothing else is checked: size and counts are the header's claims
    /// (a `batchLength` too small for a header gives size 0).
    pub fn of(header: &BatchHeader) -> Result<BatchInfo, UnknownCodec> {
        let producer = (header.producer_id() >= 0).then(|| Producer {
            id: header.producer_id(),
            epoch: header.producer_epoch(),
        });
        Ok(BatchInfo {
            size_bytes: header.size_bytes().unwrap_or(0),
            last_offset_delta: header.last_offset_delta(),
            records_count: header.records_count(),
            compression: header.compression()?,
            timestamp_type: header.timestamp_type(),
            base_timestamp_ms: header.base_timestamp_ms(),
            max_timestamp_ms: header.max_timestamp_ms(),
            producer,
            base_sequence: producer.map_or(-1, |_| header.base_sequence()),
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
        })
    }

    /// Sequence number of the last record; -1 without a producer. Sequences wrap from `i32::MAX`
    /// to 0. (Offsets, not records, are counted: compaction may have removed some.)
    pub fn last_sequence(&self) -> i32 {
        match self.producer {
            Some(_) => increment_sequence(self.base_sequence, self.last_offset_delta),
            None => -1,
        }
    }

    /// How many offsets the batch takes.
    pub fn offsets_count(&self) -> i64 {
        i64::from(self.last_offset_delta) + 1
    }
}

/// The sequence number `count` (>= 0) records after `sequence` (>= 0): wraps from `i32::MAX` to 0.
pub fn increment_sequence(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) & i64::from(i32::MAX)) as i32
}

/// A batch whose length, checksum and every record have been checked: what may be appended.
/// Offset and leader epoch in its header are still the producer's.
#[derive(Clone, Debug, Default)]
pub struct ValidBatch {
    pub(crate) bytes: Slice,
    pub(crate) info: BatchInfo,
    /// The header's largest timestamp is not that of the records (`info` has the latter).
    pub(crate) max_timestamp_is_wrong: bool,
}

impl ValidBatch {
    /// The batch as sent.
    pub fn bytes(&self) -> &Slice {
        &self.bytes
    }

    /// What its header says, except that the largest timestamp is that of the records.
    pub fn info(&self) -> &BatchInfo {
        &self.info
    }

    /// Gives `copy`, the log's own copy of this batch, its place and time: offset of the first
    /// record, leader epoch, with `append_time_ms` the time of every record (topics with
    /// `message.timestamp.type=LogAppendTime`), and otherwise the right largest timestamp, should
    /// the producer have got it wrong, as Kafka does. The checksum is recomputed only when the
    /// time changes.
    ///
    /// Returns the header's info after that.
    ///
    /// # Panics
    /// When `copy` has another length than the batch.
    pub fn stamp(
        &self,
        copy: &mut [u8],
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        append_time_ms: Option<i64>,
    ) -> BatchInfo {
        assert_eq!(
            copy.len(),
            self.bytes.len(),
            "stamp a copy of this very batch"
        );
        let mut info = self.info;
        patch_placement(copy, base_offset, leader_epoch);
        if let Some(append_time_ms) = append_time_ms {
            stamp_log_append_time(copy, append_time_ms);
            info.timestamp_type = TimestampType::LogAppendTime;
            info.max_timestamp_ms = append_time_ms;
        } else if self.max_timestamp_is_wrong {
            correct_max_timestamp(copy, info.max_timestamp_ms);
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_from_the_largest_to_zero() {
        assert_eq!(increment_sequence(5, 3), 8);
        assert_eq!(increment_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 4), 2);
    }
}
