use zerocopy::IntoBytes;

use crate::batch::BATCH_HEADER_BYTES;
use crate::compress::compress;
use crate::decompress::Scratch;
use crate::header::{BatchHeader, CompactedFields, TimestampType, seal_crc};
use crate::record::{Memory, RecordFault, read_record};
use crate::records::{Record, Records, RecordsError};
use crate::{DECOMPRESSED_BYTES_MAX, varint};

/// "No timestamp", as Kafka writes it into a batch without records.
const NO_TIMESTAMP_MS: i64 = -1;

/// What holds for a batch as a whole while its records are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterRule {
    /// From when on its tombstones may go, unless the batch says so already, in ms since the Unix
    /// epoch. Written into the batch with the first tombstone that stays (KIP-534).
    pub delete_horizon_ms: i64,
    /// It stays even without records: its last offset and its producer's last sequence number are
    /// still needed.
    pub stays_empty: bool,
}

/// What a filter left of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// All of it, to the byte.
    Whole,
    /// Some records.
    Partly {
        /// The largest timestamp of these, in ms since the Unix epoch; -1 when none.
        max_timestamp_ms: i64,
    },
    /// No record, but the header.
    Empty,
    /// Nothing.
    Gone,
}

/// Takes records out of stored batches, as compaction does. Base offset, last offset, sequence
/// numbers, producer and leader epoch stay; records keep their offsets; what was compressed is
/// compressed again with its own codec. Reusable: it keeps its memory between batches, of which
/// the largest decides how much that is.
#[derive(Default)]
pub struct BatchFilter {
    decompressed: Vec<u8>,
    kept: Vec<u8>,
    dated: Vec<u8>,
    scratch: Scratch,
}

impl BatchFilter {
    /// Appends to `into` what `keeps` leaves of `batch`, one whole batch as [`crate::Batches`]
    /// gives it.
    ///
    /// # Errors
    /// The records cannot be read; nothing was appended.
    pub fn filter(
        &mut self,
        batch: &[u8],
        rule: FilterRule,
        mut keeps: impl FnMut(&Record<'_>) -> bool,
        into: &mut Vec<u8>,
    ) -> Result<Filtered, RecordsError> {
        let BatchFilter {
            decompressed,
            kept,
            dated,
            scratch,
        } = self;
        let mut records = Records::of(batch, decompressed, DECOMPRESSED_BYTES_MAX, scratch)?;
        let header = records.header();
        let all = records.bytes();
        kept.clear();
        let (mut count, mut max_timestamp_ms, mut has_tombstone) = (0, NO_TIMESTAMP_MS, false);
        loop {
            let begin = records.position();
            let Some(record) = records.next() else {
                break;
            };
            let record = record?;
            if keeps(&record) {
                kept.extend_from_slice(&all[begin..records.position()]);
                count += 1;
                max_timestamp_ms = max_timestamp_ms.max(record.timestamp_ms);
                has_tombstone |= record.value.is_none();
            }
        }
        let is_dated = has_tombstone && header.delete_horizon_ms().is_none();
        let is_wanted = count > 0 || rule.stays_empty;
        if count == header.records_count() && !is_dated && is_wanted {
            into.extend_from_slice(batch);
            return Ok(Filtered::Whole);
        }
        if !is_wanted {
            return Ok(Filtered::Gone);
        }
        let mut fields = CompactedFields {
            size_bytes: BATCH_HEADER_BYTES,
            has_delete_horizon: is_dated,
            base_timestamp_ms: header.base_timestamp_ms(),
            max_timestamp_ms,
            records_count: count,
        };
        if count == 0 {
            fields.base_timestamp_ms = NO_TIMESTAMP_MS;
            fields.max_timestamp_ms = header.max_timestamp_ms();
            append(header, fields, &[], into)?;
            return Ok(Filtered::Empty);
        }
        if header.timestamp_type() == TimestampType::LogAppendTime {
            fields.max_timestamp_ms = header.max_timestamp_ms();
        }
        let records = if is_dated {
            fields.base_timestamp_ms = rule.delete_horizon_ms;
            dated.clear();
            let by_ms = header
                .base_timestamp_ms()
                .wrapping_sub(rule.delete_horizon_ms);
            shift_timestamps(kept, by_ms, dated);
            &dated[..]
        } else {
            &kept[..]
        };
        append(header, fields, records, into)?;
        Ok(Filtered::Partly {
            max_timestamp_ms: fields.max_timestamp_ms,
        })
    }
}

/// Appends a batch of these records, with the header of the one that they come from.
fn append(
    header: &BatchHeader,
    mut fields: CompactedFields,
    records: &[u8],
    into: &mut Vec<u8>,
) -> Result<(), RecordsError> {
    let begin = into.len();
    into.resize(begin + BATCH_HEADER_BYTES, 0);
    if fields.records_count > 0 {
        compress(header.compression()?, records, into)
            .expect("compressing into memory does not fail");
    }
    fields.size_bytes = into.len() - begin;
    let batch = &mut into[begin..];
    let compacted = header.compacted(&fields);
    batch[..BATCH_HEADER_BYTES].copy_from_slice(compacted.as_bytes());
    seal_crc(batch);
    Ok(())
}

/// Adds `by_ms` to the timestamp delta of every record; the rest stays as it is.
fn shift_timestamps(records: &[u8], by_ms: i64, into: &mut Vec<u8>) {
    let mut memory = Memory::new(records);
    while !memory.is_at_end() {
        let begin = memory.position;
        let record = read_record(&mut memory).expect("it was read before");
        let delta = record.timestamp_delta;
        let rest = rest_behind_timestamp(&records[begin..memory.position]);
        let shifted = delta.wrapping_add(by_ms);
        let size = 1 + varint::len_i64(shifted) + rest.len();
        varint::put_i32(into, size as i32);
        // Attributes: none is defined.
        into.push(0);
        varint::put_i64(into, shifted);
        into.extend_from_slice(rest);
    }
}

/// What follows the timestamp delta of a record.
fn rest_behind_timestamp(record: &[u8]) -> &[u8] {
    let mut at = 0;
    let mut byte = || {
        let byte = record[at];
        at += 1;
        Ok::<u8, RecordFault>(byte)
    };
    let well_formed = "it was read before";
    varint::read_i32(&mut byte).expect(well_formed);
    byte().expect(well_formed);
    varint::read_i64(&mut byte).expect(well_formed);
    &record[at..]
}
