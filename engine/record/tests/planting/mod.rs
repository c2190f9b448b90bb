//! Batches with one fault each: built right, changed in one place, sealed with a right checksum.
#![allow(dead_code, reason = "each test file uses some of it")]

use sillon_buffer::Slice;
use sillon_record::{
    BatchBuilder, BatchError, BatchRules, Compression, Scratch, ValidBatch, seal_crc, varint,
};

/// The broker's clock in these tests.
pub const NOW_MS: i64 = 1_700_000_000_000;

// Where the fields of a batch header stand.
pub const LENGTH_AT: usize = 8;
pub const LEADER_EPOCH_AT: usize = 12;
pub const MAGIC_AT: usize = 16;
pub const ATTRIBUTES_AT: usize = 21;
pub const LAST_OFFSET_DELTA_AT: usize = 23;
pub const BASE_TIMESTAMP_AT: usize = 27;
pub const MAX_TIMESTAMP_AT: usize = 35;
pub const PRODUCER_ID_AT: usize = 43;
pub const PRODUCER_EPOCH_AT: usize = 51;
pub const BASE_SEQUENCE_AT: usize = 53;
pub const RECORDS_COUNT_AT: usize = 57;
pub const RECORDS_AT: usize = 61;

pub fn rules() -> BatchRules {
    BatchRules::defaults(NOW_MS)
}

pub fn check(batch: &[u8], rules: &BatchRules) -> Result<ValidBatch, BatchError> {
    ValidBatch::check(Slice::copy_of(batch), rules, &mut Scratch::default())
}

pub fn refusal(batch: &[u8]) -> BatchError {
    check(batch, &rules()).expect_err("the batch has a fault")
}

/// Three records with keys, values and headers.
pub fn three_records(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for n in 0..3i64 {
        let headers = [("source", Some(b"field".as_slice())), ("empty", None)];
        let value = [n as u8; 300];
        builder
            .append(NOW_MS + n, Some(b"key"), Some(&value), &headers)
            .unwrap();
    }
    builder.build()
}

/// Changes one field of a batch and seals it.
pub fn with_field(mut batch: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    batch[at..at + field.len()].copy_from_slice(field);
    seal_crc(&mut batch);
    batch
}

/// A batch of `count` records whose bytes are `payload`, whatever it is.
pub fn with_payload(compression: Compression, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new(Compression::None).build();
    batch.extend_from_slice(payload);
    let length = (batch.len() - 12) as i32;
    batch[LENGTH_AT..][..4].copy_from_slice(&length.to_be_bytes());
    batch[ATTRIBUTES_AT + 1] = compression.id();
    batch[LAST_OFFSET_DELTA_AT..][..4].copy_from_slice(&(count - 1).to_be_bytes());
    with_field(batch, RECORDS_COUNT_AT, &count.to_be_bytes())
}

/// One record of these parts, with its length in front.
pub fn record(parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let mut record = Vec::new();
    varint::put_i32(&mut record, parts.len() as i32);
    record.extend_from_slice(&parts);
    record
}

pub fn varint_of(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put_i64(&mut bytes, value);
    bytes
}
