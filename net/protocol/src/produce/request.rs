use bytes::BytesMut;

use super::{is_by_id, is_flexible};
use crate::topic::{Text, Topic, TopicKey, reuse, within};
use crate::topics::TopicsWriter;
use crate::wire::{Frame, Reader, WireError};
use crate::{Api, frame};

/// A Produce request. Decoded into again and again: its vectors keep their memory.
///
/// ```text
/// transactional_id | acks i16 | timeout_ms i32
/// | topics [ name (..12) or id (13..) | partitions [ index i32 | records | tags ] | tags ] | tags
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest<F: Frame> {
    /// The transaction that the records belong to.
    pub transactional_id: Option<Text<F>>,
    /// 0: no answer; 1 and -1 (all): an answer when the records are durable.
    pub acks: i16,
    /// How long the answer may wait for replicas, in ms.
    pub timeout_ms: i32,
    /// In the order of the request.
    pub topics: Vec<Topic<F>>,
    /// Those of all topics, in the order of the request.
    pub partitions: Vec<ProducePartition<F>>,
}

/// Records for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePartition<F> {
    /// Its number in the topic.
    pub index: i32,
    /// The record batch as sent, unchecked; null in a request that makes no sense.
    pub records: Option<F>,
}

impl<F: Frame> Default for ProduceRequest<F> {
    fn default() -> ProduceRequest<F> {
        ProduceRequest {
            transactional_id: None,
            acks: 0,
            timeout_ms: 0,
            topics: Vec::new(),
            partitions: Vec::new(),
        }
    }
}

impl<F: Frame> ProduceRequest<F> {
    /// Reads a request's body: `version` and `body` are those of its
    /// [`frame::RequestHeader`]. `first`: the connection has not sent a valid request yet.
    /// After an error the request is empty.
    pub fn decode(
        &mut self,
        frame: &F,
        version: i16,
        body: usize,
        first: bool,
    ) -> Result<(), WireError> {
        self.clear();
        let max = Api::Produce.spec().limits(first).array_elements_max;
        let mut reader = Reader::new(frame.as_ref(), body, is_flexible(version));
        let result = self.read(&mut reader, frame, version, max);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Lets go of the frame and keeps the vectors' memory.
    pub fn clear(&mut self) {
        self.transactional_id = None;
        self.acks = 0;
        self.timeout_ms = 0;
        reuse(&mut self.topics);
        reuse(&mut self.partitions);
    }

    /// The partitions of one of the topics.
    pub fn partitions_of(&self, topic: &Topic<F>) -> &[ProducePartition<F>] {
        &self.partitions[topic.partitions.clone()]
    }

    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        frame: &F,
        version: i16,
        max: usize,
    ) -> Result<(), WireError> {
        self.transactional_id = Text::read_nullable(reader, frame)?;
        self.acks = reader.i16()?;
        self.timeout_ms = reader.i32()?;
        let topics = reader.array_length("topics")?;
        within(reader, 0, topics, max, "topics")?;
        for _ in 0..topics {
            let key = TopicKey::read(reader, frame, is_by_id(version))?;
            let start = self.partitions.len();
            let count = reader.array_length("partitions")?;
            within(reader, start, count, max, "partitions")?;
            for _ in 0..count {
                let index = reader.i32()?;
                let records = reader.nullable_bytes("records")?;
                reader.skip_tags()?;
                self.partitions.push(ProducePartition {
                    index,
                    records: records.map(|range| frame.part(range)),
                });
            }
            reader.skip_tags()?;
            let partitions = start..self.partitions.len();
            self.topics.push(Topic { key, partitions });
        }
        reader.skip_tags()?;
        reader.finish()
    }
}

/// What stands at the head of a Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceHead<'a> {
    /// The transaction that the records belong to.
    pub transactional_id: Option<&'a str>,
    /// 0: no answer; 1 and -1 (all): an answer when the records are durable.
    pub acks: i16,
    /// How long the answer may wait for replicas, in ms.
    pub timeout_ms: i32,
}

/// Writes a Produce request as a client does: [`Self::begin`], then each topic followed by its
/// partitions, then [`Self::finish`].
///
/// Every method panics when counts are not what was announced.
#[derive(Debug)]
pub struct ProduceRequestWriter<'a> {
    topics: TopicsWriter<'a>,
}

impl<'a> ProduceRequestWriter<'a> {
    /// Begins a frame of `topics` topics behind what is in `out`.
    pub fn begin(
        out: &'a mut BytesMut,
        version: i16,
        correlation_id: i32,
        client_id: Option<&str>,
        head: ProduceHead<'_>,
        topics: usize,
    ) -> ProduceRequestWriter<'a> {
        let start = frame::begin(out);
        frame::put_request_header(out, Api::Produce, version, correlation_id, client_id);
        let mut writer = TopicsWriter::new(out, start, is_flexible(version), is_by_id(version));
        let mut fields = writer.fields();
        fields.nullable_string(head.transactional_id);
        fields.i16(head.acks);
        fields.i32(head.timeout_ms);
        writer.begin_topics(topics);
        ProduceRequestWriter { topics: writer }
    }

    /// A topic with that many partitions. Its key is what the version asks for.
    pub fn topic(&mut self, key: TopicKey<&str>, partitions: usize) {
        self.topics.topic(key, partitions);
    }

    /// Records for a partition, copied.
    pub fn partition(&mut self, index: i32, records: Option<&[u8]>) {
        self.topics.partition().i32(index);
        self.topics.records(records);
        self.topics.fields().tags(0);
    }

    /// `records_bytes` bytes of records for a partition, which stay where they are: the caller
    /// sends them between what is in `out` before the position returned and what is behind it.
    pub fn partition_elsewhere(&mut self, index: i32, records_bytes: usize) -> usize {
        self.topics.partition().i32(index);
        let position = self.topics.gap(records_bytes);
        self.topics.fields().tags(0);
        position
    }

    /// Ends the frame and fills in its length.
    pub fn finish(mut self) {
        self.topics.end_topics();
        self.topics.fields().tags(0);
        self.topics.finish();
    }
}
