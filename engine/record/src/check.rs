use sillon_buffer::Slice;

use crate::batch::{BATCH_HEADER_BYTES, BatchInfo, Compression, ValidBatch};
use crate::decompress::{DecompressError, Scratch};
use crate::error::BatchError;
use crate::header::{
    BatchHeader, LENGTH_PREFIX_BYTES, MAGIC_AT, MAGIC_V2, TimestampType, checksum,
};
use crate::record::{Input, Memory, RawRecord, RecordFault, Stream, read_record};
use crate::rules::BatchRules;

/// The timestamp of a record that has none.
const NO_TIMESTAMP_MS: i64 = -1;

impl ValidBatch {
    /// Checks `bytes`, the `records` field of one partition entry of a Produce request: exactly
    /// one batch, every record of which a consumer can read. Allocates nothing for an uncompressed
    /// batch, and passes a compressed one through `scratch`.
    ///
    /// # Errors
    /// The first fault found, cheapest checks first; nothing of the batch may be appended.
    pub fn check(
        bytes: Slice,
        rules: &BatchRules,
        scratch: &mut Scratch,
    ) -> Result<ValidBatch, BatchError> {
        let batch: &[u8] = &bytes;
        let header = check_frame(batch, rules)?;
        let mut info = check_header(header, rules)?;
        let header_max_timestamp_ms = info.max_timestamp_ms;
        info.max_timestamp_ms = check_records(batch, &info, rules, scratch)?;
        Ok(ValidBatch {
            max_timestamp_is_wrong: info.max_timestamp_ms != header_max_timestamp_ms,
            info,
            bytes,
        })
    }
}

/// Exactly one batch v2, not too large, and its checksum.
fn check_frame<'a>(batch: &'a [u8], rules: &BatchRules) -> Result<&'a BatchHeader, BatchError> {
    if batch.is_empty() {
        return Err(BatchError::Missing);
    }
    // Before the length: an old message set may be shorter than a v2 header.
    if let Some(magic) = batch.get(MAGIC_AT).map(|byte| *byte as i8)
        && magic != MAGIC_V2
    {
        return Err(BatchError::Magic { magic });
    }
    let header = BatchHeader::peek(batch).ok_or(BatchError::CutShort {
        needed: BATCH_HEADER_BYTES as u64,
        available: batch.len(),
    })?;
    let length = header.batch_length();
    let size = header.size_bytes().ok_or(BatchError::Length { length })? as usize;
    if size > batch.len() {
        return Err(BatchError::CutShort {
            needed: LENGTH_PREFIX_BYTES as u64 + length as u64,
            available: batch.len(),
        });
    }
    if size < batch.len() {
        return Err(BatchError::Second {
            trailing: batch.len() - size,
        });
    }
    if size > rules.max_message_bytes as usize {
        return Err(BatchError::TooLarge {
            size_bytes: size,
            max_message_bytes: rules.max_message_bytes,
        });
    }
    let (stored, computed) = (header.crc(), checksum(batch));
    if stored != computed {
        return Err(BatchError::Crc { stored, computed });
    }
    Ok(header)
}

/// What a producer may say in a header.
fn check_header(header: &BatchHeader, rules: &BatchRules) -> Result<BatchInfo, BatchError> {
    let info = BatchInfo::of(header)?;
    if info.compression == Compression::Zstd && !rules.zstd_is_allowed {
        return Err(BatchError::ZstdTooEarly);
    }
    if header.reserved_attributes() != 0 {
        return Err(BatchError::ReservedAttributes {
            attributes: header.attributes(),
        });
    }
    if info.is_control {
        return Err(BatchError::Control);
    }
    if info.is_transactional {
        return Err(BatchError::Transactional);
    }
    if info.timestamp_type == TimestampType::LogAppendTime {
        return Err(BatchError::LogAppendTime);
    }
    if header.base_offset().0 != 0 {
        return Err(BatchError::BaseOffset {
            base_offset: header.base_offset().0,
        });
    }
    let (records_count, last_offset_delta) = (info.records_count, info.last_offset_delta);
    if records_count < 1 || records_count - 1 != last_offset_delta {
        return Err(BatchError::Count {
            records_count,
            last_offset_delta,
        });
    }
    if let Some(producer) = info.producer
        && (producer.epoch < 0 || info.base_sequence < 0)
    {
        return Err(BatchError::NegativeSequence {
            producer_id: producer.id,
            epoch: producer.epoch,
            base_sequence: info.base_sequence,
        });
    }
    Ok(info)
}

/// Walks every record. Returns the largest timestamp.
fn check_records(
    batch: &[u8],
    info: &BatchInfo,
    rules: &BatchRules,
    scratch: &mut Scratch,
) -> Result<i64, BatchError> {
    let payload = &batch[BATCH_HEADER_BYTES..];
    let mut walk = Walk::new(info, rules);
    if info.compression == Compression::None {
        let mut memory = Memory::new(payload);
        walk.all(&mut memory)?;
        return walk.finish(memory.is_at_end());
    }
    let checked = walk.compressed(payload, rules.decompressed_bytes_max, scratch);
    scratch.trim();
    checked
}

/// The state of a walk over the records of one batch.
struct Walk {
    index: i32,
    records_count: i32,
    compression: Compression,
    is_compacted: bool,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    earliest_ms: i64,
    latest_ms: i64,
}

impl Walk {
    fn new(info: &BatchInfo, rules: &BatchRules) -> Walk {
        let (earliest_ms, latest_ms) = match rules.timestamp_type {
            TimestampType::CreateTime => (
                rules.now_ms.saturating_sub(rules.timestamp_before_max_ms),
                rules.now_ms.saturating_add(rules.timestamp_after_max_ms),
            ),
            TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
        };
        Walk {
            index: 0,
            records_count: info.records_count,
            compression: info.compression,
            is_compacted: rules.is_compacted,
            base_timestamp_ms: info.base_timestamp_ms,
            max_timestamp_ms: NO_TIMESTAMP_MS,
            earliest_ms,
            latest_ms,
        }
    }

    fn compressed(
        &mut self,
        payload: &[u8],
        limit_bytes: u64,
        scratch: &mut Scratch,
    ) -> Result<i64, BatchError> {
        let (window, decompressor) = scratch
            .open(self.compression, payload, limit_bytes)
            .map_err(|error| self.refuse(error.into()))?;
        let mut stream = Stream::new(decompressor, window);
        self.all(&mut stream)?;
        let is_at_end = stream
            .is_at_end()
            .map_err(|error| self.refuse(error.into()))?;
        self.finish(is_at_end)
    }

    fn all<I: Input>(&mut self, input: &mut I) -> Result<(), BatchError> {
        while self.index < self.records_count {
            match read_record(input) {
                Ok(record) => self.record(&record)?,
                Err(fault) => return Err(self.refuse(fault)),
            }
            self.index += 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn record<B>(&mut self, record: &RawRecord<B>) -> Result<(), BatchError> {
        let index = self.index;
        if record.offset_delta != index {
            return Err(BatchError::OffsetDelta {
                index,
                offset_delta: record.offset_delta,
            });
        }
        if self.is_compacted && record.key.is_none() {
            return Err(BatchError::NullKey { index });
        }
        let (timestamp_ms, overflows) = self
            .base_timestamp_ms
            .overflowing_add(record.timestamp_delta);
        let is_in_range = self.earliest_ms <= timestamp_ms && timestamp_ms <= self.latest_ms;
        if overflows || !(is_in_range || timestamp_ms == NO_TIMESTAMP_MS) {
            return Err(BatchError::Timestamp {
                index,
                timestamp_ms,
                earliest_ms: self.earliest_ms,
                latest_ms: self.latest_ms,
            });
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        Ok(())
    }

    fn finish(&self, is_at_end: bool) -> Result<i64, BatchError> {
        if !is_at_end {
            return Err(BatchError::BytesBehindRecords {
                records_count: self.records_count,
            });
        }
        Ok(self.max_timestamp_ms)
    }

    #[cold]
    fn refuse(&self, fault: RecordFault) -> BatchError {
        let index = self.index;
        match fault {
            RecordFault::Decompress(DecompressError::TooLarge {
                compression,
                limit_bytes,
            }) => BatchError::DecompressedTooLarge {
                compression,
                limit_bytes,
            },
            RecordFault::Decompress(DecompressError::Malformed {
                compression,
                reason,
            }) => BatchError::Decompression {
                index,
                compression,
                reason,
            },
            fault => BatchError::Record { index, fault },
        }
    }
}
