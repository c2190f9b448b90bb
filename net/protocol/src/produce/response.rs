use bytes::BytesMut;

use super::{FIRST_VERSION_WITH_LEADER, FIRST_VERSION_WITH_RECORD_ERRORS, is_by_id, is_flexible};
use crate::error::ErrorCode;
use crate::topic::{CurrentLeader, NodeEndpoint, Text, Topic, TopicKey, reuse, within};
use crate::topics::TopicsWriter;
use crate::wire::{Frame, Reader, WireError};
use crate::{Api, frame, message};

/// What became of the records for one partition. `T`: `&str` to write, [`Text`] when read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProduced<T> {
    /// Its number in the topic.
    pub index: i32,
    /// What went wrong.
    pub error: ErrorCode,
    /// Offset of the first record; -1 on an error.
    pub base_offset: i64,
    /// The broker's time of append under LogAppendTime, in ms since the Unix epoch; else -1.
    pub log_append_time_ms: i64,
    /// First offset of the partition; -1 on an error and below version 5.
    pub log_start_offset: i64,
    /// Which records were refused and why (from version 8 on).
    pub record_errors: Vec<RecordError<T>>,
    /// What went wrong, for a human (from version 8 on).
    pub error_message: Option<T>,
    /// Whom to ask instead (from version 10 on).
    pub current_leader: Option<CurrentLeader>,
}

/// A record that was refused (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError<T> {
    /// Its place in the batch, counted from 0.
    pub batch_index: i32,
    /// Why.
    pub message: Option<T>,
}

impl<T> PartitionProduced<T> {
    /// Nothing was appended.
    pub fn failed(index: i32, error: ErrorCode) -> PartitionProduced<T> {
        PartitionProduced {
            index,
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

/// Writes a Produce response: [`Self::begin`], then each topic followed by its partitions, then
/// [`Self::finish`]. Fields that the version does not have are left out.
///
/// Every method panics when counts are not what was announced.
#[derive(Debug)]
pub struct ProduceResponseWriter<'a> {
    topics: TopicsWriter<'a>,
    version: i16,
}

impl<'a> ProduceResponseWriter<'a> {
    /// Begins a frame of `topics` topics behind what is in `out`.
    pub fn begin(
        out: &'a mut BytesMut,
        version: i16,
        correlation_id: i32,
        topics: usize,
    ) -> ProduceResponseWriter<'a> {
        let start = frame::begin(out);
        frame::put_response_header(out, Api::Produce, version, correlation_id);
        let mut writer = TopicsWriter::new(out, start, is_flexible(version), is_by_id(version));
        writer.begin_topics(topics);
        ProduceResponseWriter {
            topics: writer,
            version,
        }
    }

    /// A topic with that many partitions. Its key is the request's.
    pub fn topic(&mut self, key: TopicKey<&str>, partitions: usize) {
        self.topics.topic(key, partitions);
    }

    /// The topic's next partition.
    pub fn partition<T: AsRef<str>>(&mut self, produced: &PartitionProduced<T>) {
        let version = self.version;
        let mut fields = self.topics.partition();
        fields.i32(produced.index);
        fields.i16(produced.error.code());
        fields.i64(produced.base_offset);
        fields.i64(produced.log_append_time_ms);
        if version >= 5 {
            fields.i64(produced.log_start_offset);
        }
        if version >= FIRST_VERSION_WITH_RECORD_ERRORS {
            fields.array_length(produced.record_errors.len());
            for error in &produced.record_errors {
                fields.i32(error.batch_index);
                fields.nullable_string(error.message.as_ref().map(AsRef::as_ref));
                fields.tags(0);
            }
            fields.nullable_string(produced.error_message.as_ref().map(AsRef::as_ref));
        }
        match produced.current_leader {
            Some(leader) if version >= FIRST_VERSION_WITH_LEADER => {
                fields.tags(1);
                fields.tag(0, CurrentLeader::BYTES);
                leader.write(&mut fields);
            }
            _ => fields.tags(0),
        }
    }

    /// Ends the frame and fills in its length. `endpoints` are those of the leaders that
    /// partitions name (from version 10 on).
    pub fn finish<T: AsRef<str>>(mut self, throttle_time_ms: i32, endpoints: &[NodeEndpoint<T>]) {
        self.topics.end_topics();
        let version = self.version;
        let mut fields = self.topics.fields();
        fields.i32(throttle_time_ms);
        if version >= FIRST_VERSION_WITH_LEADER {
            NodeEndpoint::write_all(endpoints, &mut fields);
        } else {
            fields.tags(0);
        }
        self.topics.finish();
    }
}

/// A Produce response. Decoded into again and again: its vectors keep their memory.
///
/// ```text
/// topics [ name (..12) or id (13..)
///   | partitions [ index i32 | error i16 | base_offset i64 | log_append_time_ms i64
///       | log_start_offset i64 (5..) | record_errors [ batch_index i32 | message | tags ] (8..)
///       | error_message (8..) | tags (10.. 0: current leader) ]
///   | tags ]
/// | throttle_time_ms i32 | tags (10.. 0: node endpoints)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResponse<F: Frame> {
    /// In the order of the request.
    pub topics: Vec<Topic<F>>,
    /// Those of all topics, in the order of the request.
    pub partitions: Vec<PartitionProduced<Text<F>>>,
    /// How long the broker asks the client to be silent, in ms.
    pub throttle_time_ms: i32,
    /// Where the leaders are that partitions name.
    pub endpoints: Vec<NodeEndpoint<Text<F>>>,
}

impl<F: Frame> Default for ProduceResponse<F> {
    fn default() -> ProduceResponse<F> {
        ProduceResponse {
            topics: Vec::new(),
            partitions: Vec::new(),
            throttle_time_ms: 0,
            endpoints: Vec::new(),
        }
    }
}

impl<F: Frame> ProduceResponse<F> {
    /// Reads a response's body, which begins at `body` ([`frame::read_response_header`]). After an
    /// error the response is empty.
    pub fn decode(&mut self, frame: &F, version: i16, body: usize) -> Result<(), WireError> {
        self.clear();
        let mut reader = Reader::new(frame.as_ref(), body, is_flexible(version));
        let result = self.read(&mut reader, frame, version);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Lets go of the frame and keeps the vectors' memory.
    pub fn clear(&mut self) {
        reuse(&mut self.topics);
        reuse(&mut self.partitions);
        self.throttle_time_ms = 0;
        reuse(&mut self.endpoints);
    }

    /// The partitions of one of the topics.
    pub fn partitions_of(&self, topic: &Topic<F>) -> &[PartitionProduced<Text<F>>] {
        &self.partitions[topic.partitions.clone()]
    }

    fn read(&mut self, reader: &mut Reader<'_>, frame: &F, version: i16) -> Result<(), WireError> {
        let max = message::ANSWER.array_elements_max;
        let topics = reader.array_length("topics")?;
        within(reader, 0, topics, max, "topics")?;
        for _ in 0..topics {
            let key = TopicKey::read(reader, frame, is_by_id(version))?;
            let start = self.partitions.len();
            let count = reader.array_length("partitions")?;
            within(reader, start, count, max, "partitions")?;
            for _ in 0..count {
                let partition = read_partition(reader, frame, version)?;
                self.partitions.push(partition);
            }
            reader.skip_tags()?;
            let partitions = start..self.partitions.len();
            self.topics.push(Topic { key, partitions });
        }
        self.throttle_time_ms = reader.i32()?;
        let endpoints = &mut self.endpoints;
        reader.tags(|tag, content| match tag {
            0 if version >= FIRST_VERSION_WITH_LEADER => {
                NodeEndpoint::read_all(content, frame, endpoints).map(|()| true)
            }
            _ => Ok(false),
        })?;
        reader.finish()
    }
}

fn read_partition<F: Frame>(
    reader: &mut Reader<'_>,
    frame: &F,
    version: i16,
) -> Result<PartitionProduced<Text<F>>, WireError> {
    let mut produced = PartitionProduced::failed(reader.i32()?, ErrorCode::read(reader)?);
    produced.base_offset = reader.i64()?;
    produced.log_append_time_ms = reader.i64()?;
    if version >= 5 {
        produced.log_start_offset = reader.i64()?;
    }
    if version >= FIRST_VERSION_WITH_RECORD_ERRORS {
        for _ in 0..reader.array_length("record errors")? {
            produced.record_errors.push(RecordError {
                batch_index: reader.i32()?,
                message: Text::read_nullable(reader, frame)?,
            });
            reader.skip_tags()?;
        }
        produced.error_message = Text::read_nullable(reader, frame)?;
    }
    let current_leader = &mut produced.current_leader;
    reader.tags(|tag, content| match tag {
        0 if version >= FIRST_VERSION_WITH_LEADER => {
            *current_leader = Some(CurrentLeader::read(content)?);
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok(produced)
}
