use zerocopy::IntoBytes;

use crate::batch::{BATCH_HEADER_BYTES, Compression};
use crate::compress::compress;
use crate::header::{BatchHeader, CONTROL_BIT, HeaderFields, TRANSACTIONAL_BIT, seal_crc};
use crate::{Producer, varint};

/// The records of one batch may have this many bytes before compression: the length fields of the
/// format are i32, and half their range leaves room for what a codec adds.
const RECORDS_BYTES_MAX: usize = 1 << 30;

/// The record does not fit into the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch has {records_bytes} bytes of records, with this record more than 1 GiB")]
pub struct BatchFull {
    /// Bytes of records so far.
    pub records_bytes: usize,
}

/// Makes record batches, as a producer does. Reusable: [`Self::finish`] leaves it empty with its
/// memory and its settings, and no record allocates on its own.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    attributes: i16,
    producer: Option<Producer>,
    base_sequence: i32,
    records: Vec<u8>,
    records_count: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// An empty builder of batches without a producer id.
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            attributes: i16::from(compression.id()),
            producer: None,
            base_sequence: -1,
            records: Vec::new(),
            records_count: 0,
            base_timestamp_ms: -1,
            max_timestamp_ms: -1,
        }
    }

    /// Makes the next batch that of an idempotent producer, its first record having
    /// `base_sequence`.
    pub fn producer(&mut self, producer: Producer, base_sequence: i32) -> &mut BatchBuilder {
        self.producer = Some(producer);
        self.base_sequence = base_sequence;
        self
    }

    /// Makes the batches part of a transaction.
    pub fn transactional(&mut self) -> &mut BatchBuilder {
        self.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Makes the batches transaction markers.
    pub fn control(&mut self) -> &mut BatchBuilder {
        self.attributes |= CONTROL_BIT;
        self
    }

    /// Adds a record. Returns its offset relative to the first of the batch.
    ///
    /// # Errors
    /// The batch is full; the record was not added.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<i32, BatchFull> {
        let offset_delta = self.records_count;
        if offset_delta == 0 {
            self.base_timestamp_ms = timestamp_ms;
            self.max_timestamp_ms = timestamp_ms;
        }
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let headers_bytes: usize = headers
            .iter()
            .map(|(key, value)| nullable_len(Some(key.as_bytes())) + nullable_len(*value))
            .sum();
        let size = 1
            + varint::len_i64(timestamp_delta)
            + varint::len_i64(i64::from(offset_delta))
            + nullable_len(key)
            + nullable_len(value)
            + varint::len_i64(headers.len() as i64)
            + headers_bytes;
        let room = RECORDS_BYTES_MAX - self.records.len();
        if size + varint::VARINT32_BYTES_MAX > room {
            return Err(BatchFull {
                records_bytes: self.records.len(),
            });
        }
        varint::put_i32(&mut self.records, size as i32);
        let begin = self.records.len();
        self.records.push(0);
        varint::put_i64(&mut self.records, timestamp_delta);
        varint::put_i32(&mut self.records, offset_delta);
        put_nullable(&mut self.records, key);
        put_nullable(&mut self.records, value);
        varint::put_i32(&mut self.records, headers.len() as i32);
        for (key, value) in headers {
            put_nullable(&mut self.records, Some(key.as_bytes()));
            put_nullable(&mut self.records, *value);
        }
        assert_eq!(
            self.records.len() - begin,
            size,
            "a record's length is foretold exactly"
        );
        self.records_count += 1;
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        Ok(offset_delta)
    }

    /// Number of records so far.
    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Size of the batch so far before compression, header included, in bytes.
    pub fn uncompressed_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// Appends the batch to `into` and empties the builder. A batch without records is made as
    /// well, as compaction leaves them; brokers refuse it from producers.
    ///
    /// Base offset and leader epoch are 0 and -1, as producers send them.
    pub fn finish(&mut self, into: &mut Vec<u8>) {
        let begin = into.len();
        into.resize(begin + BATCH_HEADER_BYTES, 0);
        compress(self.compression, &self.records, into)
            .expect("compressing into memory does not fail");
        let producer = self.producer.unwrap_or(Producer { id: -1, epoch: -1 });
        let header = BatchHeader::of(&HeaderFields {
            size_bytes: into.len() - begin,
            attributes: self.attributes,
            last_offset_delta: self.records_count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: self.base_sequence,
            records_count: self.records_count,
        });
        let batch = &mut into[begin..];
        batch[..BATCH_HEADER_BYTES].copy_from_slice(header.as_bytes());
        seal_crc(batch);
        self.records.clear();
        self.records_count = 0;
        self.base_timestamp_ms = -1;
        self.max_timestamp_ms = -1;
    }

    /// As [`Self::finish`], into memory of its own.
    pub fn build(&mut self) -> Vec<u8> {
        let mut batch = Vec::with_capacity(self.uncompressed_bytes());
        self.finish(&mut batch);
        batch
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varint::len_i64(bytes.len() as i64) + bytes.len(),
        None => 1,
    }
}

fn put_nullable(into: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put_i64(into, bytes.len() as i64);
            into.extend_from_slice(bytes);
        }
        None => varint::put_i32(into, -1),
    }
}
