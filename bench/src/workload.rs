//! Batches, frames, and a connection's part in a request: decode, check, encode.

use bytes::BytesMut;
use sillon_buffer::{ChunkWriter, Slice};
use sillon_controller::Image;
use sillon_protocol::fetch::{
    FetchHead, FetchPartition, FetchRequest, FetchRequestWriter, FetchResponseHead,
    FetchResponseWriter, PartitionFetched,
};
use sillon_protocol::frame::{LENGTH_BYTES, RequestHeader};
use sillon_protocol::produce::{
    PartitionProduced, ProduceHead, ProduceRequest, ProduceRequestWriter, ProduceResponseWriter,
};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchRules, Compression, Offset, Scratch, TopicId,
    TopicPartition, ValidBatch,
};
use sillon_shard::{Fetch, FetchEntry, Fetched, Outcome, Produce, ProduceEntry, Request};

/// The topic of all benchmarks.
pub const TOPIC: &str = "furrow";

/// The version of Produce and Fetch that is measured: topics by name, as most clients in use send.
const VERSION: i16 = 12;

/// Records' timestamps begin here, in ms since the Unix epoch.
const TIME_MS: i64 = 1_700_000_000_000;

/// A batch of `records` records, as close below `batch_bytes` before compression as their equal
/// sizes allow. Values look like JSON lines: about 3:1 under gzip.
pub fn batch(records: usize, batch_bytes: usize, compression: Compression) -> Vec<u8> {
    // Lengths, deltas and counts take up to 12 bytes of a record.
    let share = (batch_bytes - BATCH_HEADER_BYTES) / records;
    let value_bytes = share.saturating_sub(12).max(1);
    let mut builder = BatchBuilder::new(compression);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for record in 0..records {
        let mut value = String::new();
        while value.len() < value_bytes {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            value += &format!("{{\"sensor\":{},\"value\":{}}}", random % 997, random >> 40);
        }
        let value = &value.as_bytes()[..value_bytes];
        let time = TIME_MS + record as i64;
        let added = builder.append(time, None, Some(value), &[]);
        added.expect("a benchmark's batch is small");
    }
    builder.build()
}

fn slice(frame: &BytesMut) -> Slice {
    let bytes = &frame[LENGTH_BYTES..];
    ChunkWriter::unpooled(bytes.len()).append(bytes)
}

/// A Produce request's frame, without its length: one batch for one partition, acks=all.
pub fn produce_frame(partition: i32, batch: &[u8]) -> Slice {
    let mut out = BytesMut::new();
    let head = ProduceHead {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
    };
    let mut writer = ProduceRequestWriter::begin(&mut out, VERSION, 7, Some("bench"), head, 1);
    writer.topic(TopicKey::Name(TOPIC), 1);
    writer.partition(partition, Some(batch));
    writer.finish();
    slice(&out)
}

/// A Fetch request's frame, without its length: at least a byte of one partition.
pub fn fetch_frame(partition: i32, offset: i64, max_bytes: i32) -> Slice {
    let mut out = BytesMut::new();
    let head = FetchHead {
        max_wait_ms: 500,
        min_bytes: 1,
        ..FetchHead::default()
    };
    let mut writer = FetchRequestWriter::begin(&mut out, VERSION, 7, Some("bench"), head, 1);
    writer.topic(TopicKey::Name(TOPIC), 1);
    writer.partition(&FetchPartition {
        index: partition,
        current_leader_epoch: None,
        offset,
        last_fetched_epoch: None,
        log_start_offset: -1,
        max_bytes,
    });
    writer.finish(&[], "");
    slice(&out)
}

/// What a connection keeps from request to request, so that nothing is allocated for one.
#[derive(Default)]
pub struct Connection {
    produce: ProduceRequest<Slice>,
    fetch: FetchRequest<Slice>,
    scratch: Scratch,
    produce_entries: Vec<ProduceEntry>,
    fetch_entries: Vec<FetchEntry>,
    /// The last response.
    pub response: BytesMut,
}

fn topic_of(image: &Image, key: TopicKey<&str>) -> TopicId {
    match key {
        TopicKey::Name(name) => image.topic_named(name).expect("the topic exists").id,
        TopicKey::Id(id) => id,
    }
}

impl Connection {
    /// Decodes a Produce request.
    pub fn decode_produce(&mut self, frame: &Slice) {
        let header = RequestHeader::decode(frame, false).expect("a good header");
        let decoded = self
            .produce
            .decode(frame, header.version, header.body, false);
        decoded.expect("a good request");
    }

    /// Checks its batches: what its owner is asked.
    pub fn check_produce(&mut self, image: &Image) -> Request {
        let rules = BatchRules::defaults(TIME_MS);
        let mut entries = std::mem::take(&mut self.produce_entries);
        for topic in &self.produce.topics {
            let id = topic_of(image, topic.key.as_ref());
            for partition in self.produce.partitions_of(topic) {
                let records = partition.records.clone().unwrap_or_default();
                let batch = ValidBatch::check(records, &rules, &mut self.scratch);
                entries.push(ProduceEntry {
                    partition: TopicPartition {
                        topic: id,
                        partition: partition.index,
                    },
                    batch: batch.expect("a good batch"),
                    outcome: None,
                });
            }
        }
        self.produce.clear();
        Request::Produce(Produce {
            entries,
            wait: true,
            ..Produce::default()
        })
    }

    /// Encodes the answer to a Produce and keeps its memory.
    ///
    /// # Panics
    /// When it was refused.
    pub fn answer_produce(&mut self, request: Request) {
        let Request::Produce(mut produce) = request else {
            panic!("a produce is answered by a produce");
        };
        self.response.clear();
        let mut writer = ProduceResponseWriter::begin(&mut self.response, VERSION, 7, 1);
        writer.topic(TopicKey::Name(TOPIC), produce.entries.len());
        for entry in &produce.entries {
            let appended = done(&entry.outcome);
            writer.partition::<&str>(&PartitionProduced {
                base_offset: appended.base_offset.0,
                log_append_time_ms: appended.log_append_time_ms,
                log_start_offset: appended.log_start_offset.0,
                ..PartitionProduced::failed(entry.partition.partition, ErrorCode::None)
            });
        }
        writer.finish::<&str>(0, &[]);
        produce.entries.clear();
        self.produce_entries = produce.entries;
    }

    /// Decodes a Fetch request: what its owner is asked.
    pub fn decode_fetch(&mut self, frame: &Slice, image: &Image, now_ns: u64) -> Request {
        let header = RequestHeader::decode(frame, false).expect("a good header");
        let decoded = self.fetch.decode(frame, header.version, header.body, false);
        decoded.expect("a good request");
        let mut entries = std::mem::take(&mut self.fetch_entries);
        for topic in &self.fetch.topics {
            let id = topic_of(image, topic.key.as_ref());
            for partition in &self.fetch.partitions[topic.partitions.clone()] {
                entries.push(FetchEntry {
                    partition: TopicPartition {
                        topic: id,
                        partition: partition.index,
                    },
                    offset: Offset(partition.offset),
                    current_leader_epoch: partition.current_leader_epoch,
                    last_fetched_epoch: partition.last_fetched_epoch,
                    max_bytes: partition.max_bytes.max(0) as u64,
                    outcome: None,
                });
            }
        }
        let head = self.fetch.head;
        self.fetch.clear();
        Request::Fetch(Fetch {
            entries,
            min_bytes: head.min_bytes.max(0) as u64,
            deadline_ns: now_ns + head.max_wait_ms.max(0) as u64 * 1_000_000,
            max_bytes: head.max_bytes.max(0) as u64,
            ..Fetch::default()
        })
    }

    /// Encodes the answer to a Fetch; the records stay where they are. Returns their size, in
    /// bytes, and keeps the memory.
    ///
    /// # Panics
    /// When it was refused.
    pub fn answer_fetch(&mut self, request: Request) -> u64 {
        let Request::Fetch(mut fetch) = request else {
            panic!("a fetch is answered by a fetch");
        };
        self.response.clear();
        let head = FetchResponseHead::default();
        let mut writer = FetchResponseWriter::begin(&mut self.response, VERSION, 7, head, 1);
        writer.topic(TopicKey::Name(TOPIC), fetch.entries.len());
        let mut total = 0;
        for entry in &fetch.entries {
            let fetched = done(&entry.outcome);
            total += fetched.records_bytes;
            writer.partition(&encoded(entry.partition.partition, fetched));
        }
        writer.finish::<&str>(&[]);
        fetch.entries.clear();
        self.fetch_entries = fetch.entries;
        total
    }
}

fn encoded(index: i32, fetched: &Fetched) -> PartitionFetched<usize> {
    PartitionFetched {
        high_watermark: fetched.high_watermark.0,
        last_stable_offset: fetched.high_watermark.0,
        log_start_offset: fetched.log_start_offset.0,
        records: fetched.records_bytes as usize,
        ..PartitionFetched::failed(index, ErrorCode::None)
    }
}

fn done<T>(outcome: &Outcome<T>) -> &T {
    match outcome {
        Some(Ok(done)) => done,
        Some(Err(refusal)) => panic!("refused: {refusal}"),
        None => panic!("an answer has outcomes"),
    }
}
