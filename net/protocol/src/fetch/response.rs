use bytes::BytesMut;
use sillon_record::LeaderEpoch;

use super::{
    FIRST_VERSION_WITH_DIVERGENCE, FIRST_VERSION_WITH_ENDPOINTS, FIRST_VERSION_WITH_SESSION,
    is_by_id, is_flexible,
};
use crate::error::ErrorCode;
use crate::topic::{CurrentLeader, NodeEndpoint, Text, Topic, TopicKey, reuse, within};
use crate::topics::TopicsWriter;
use crate::wire::{Frame, Reader, WireError, Writer};
use crate::{Api, frame, message};

/// First version that may send a consumer to a nearer replica (KIP-392).
const FIRST_VERSION_WITH_PREFERRED_REPLICA: i16 = 11;

/// What a Fetch response says of all its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchResponseHead {
    /// How long the broker asks the client to be silent, in ms.
    pub throttle_time_ms: i32,
    /// What went wrong with the whole request, such as its session (from version 7 on).
    pub error: ErrorCode,
    /// The session; 0: none (from version 7 on).
    pub session_id: i32,
}

/// What a read of one partition found. `R` is the size of its records in bytes to write, and the
/// records themselves when read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFetched<R> {
    /// Its number in the topic.
    pub index: i32,
    /// What went wrong.
    pub error: ErrorCode,
    /// Records below this offset may be read; -1 on an error.
    pub high_watermark: i64,
    /// All transactions below this offset are decided; -1 on an error.
    pub last_stable_offset: i64,
    /// First offset of the partition; -1 on an error and below version 5.
    pub log_start_offset: i64,
    /// The reader's log has diverged (from version 12 on).
    pub diverging: Option<DivergingEpoch>,
    /// Whom to ask instead (from version 12 on).
    pub current_leader: Option<CurrentLeader>,
    /// Aborted transactions among the records, by first offset; `None` under read uncommitted.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// The replica to read from instead (from version 11 on); -1: this one.
    pub preferred_read_replica: i32,
    /// Whole record batches, but for the last one of an older broker's answer.
    pub records: R,
}

/// The largest epoch, not above the reader's last one, that the leader's log has (KIP-595).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DivergingEpoch {
    /// That epoch.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end_offset: i64,
}

/// A transaction whose records a reader of committed records drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
}

impl DivergingEpoch {
    /// On the wire: two numbers and no tagged fields, in bytes.
    const BYTES: usize = 13;

    fn read(reader: &mut Reader<'_>) -> Result<DivergingEpoch, WireError> {
        let epoch = LeaderEpoch(reader.i32()?);
        let end_offset = reader.i64()?;
        reader.skip_tags()?;
        Ok(DivergingEpoch { epoch, end_offset })
    }

    fn write(self, writer: &mut Writer<'_>) {
        writer.i32(self.epoch.0);
        writer.i64(self.end_offset);
        writer.tags(0);
    }
}

impl<R: Default> PartitionFetched<R> {
    /// Nothing was read.
    pub fn failed(index: i32, error: ErrorCode) -> PartitionFetched<R> {
        PartitionFetched {
            index,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging: None,
            current_leader: None,
            aborted: None,
            preferred_read_replica: -1,
            records: R::default(),
        }
    }
}

/// Writes a Fetch response: [`Self::begin`], then each topic followed by its partitions, then
/// [`Self::finish`]. Fields that the version does not have are left out.
///
/// Every method panics when counts are not what was announced.
#[derive(Debug)]
pub struct FetchResponseWriter<'a> {
    topics: TopicsWriter<'a>,
    version: i16,
}

impl<'a> FetchResponseWriter<'a> {
    /// Begins a frame of `topics` topics behind what is in `out`.
    pub fn begin(
        out: &'a mut BytesMut,
        version: i16,
        correlation_id: i32,
        head: FetchResponseHead,
        topics: usize,
    ) -> FetchResponseWriter<'a> {
        let start = frame::begin(out);
        frame::put_response_header(out, Api::Fetch, version, correlation_id);
        let mut writer = TopicsWriter::new(out, start, is_flexible(version), is_by_id(version));
        let mut fields = writer.fields();
        fields.i32(head.throttle_time_ms);
        if version >= FIRST_VERSION_WITH_SESSION {
            fields.i16(head.error.code());
            fields.i32(head.session_id);
        }
        writer.begin_topics(topics);
        FetchResponseWriter {
            topics: writer,
            version,
        }
    }

    /// A topic with that many partitions. Its key is the request's.
    pub fn topic(&mut self, key: TopicKey<&str>, partitions: usize) {
        self.topics.topic(key, partitions);
    }

    /// The topic's next partition. Its records stay where they are: the caller sends them between
    /// what is in `out` before the position returned and what is behind it.
    pub fn partition(&mut self, fetched: &PartitionFetched<usize>) -> usize {
        let version = self.version;
        let mut fields = self.topics.partition();
        fields.i32(fetched.index);
        fields.i16(fetched.error.code());
        fields.i64(fetched.high_watermark);
        fields.i64(fetched.last_stable_offset);
        if version >= 5 {
            fields.i64(fetched.log_start_offset);
        }
        fields.nullable_array_length(fetched.aborted.as_ref().map(Vec::len));
        for aborted in fetched.aborted.iter().flatten() {
            fields.i64(aborted.producer_id);
            fields.i64(aborted.first_offset);
            fields.tags(0);
        }
        if version >= FIRST_VERSION_WITH_PREFERRED_REPLICA {
            fields.i32(fetched.preferred_read_replica);
        }
        let position = self.topics.gap(fetched.records);
        self.partition_tags(fetched);
        position
    }

    fn partition_tags(&mut self, fetched: &PartitionFetched<usize>) {
        let mut fields = self.topics.fields();
        if self.version < FIRST_VERSION_WITH_DIVERGENCE {
            return;
        }
        let (diverging, leader) = (fetched.diverging, fetched.current_leader);
        fields.tags(u32::from(diverging.is_some()) + u32::from(leader.is_some()));
        if let Some(diverging) = diverging {
            fields.tag(0, DivergingEpoch::BYTES);
            diverging.write(&mut fields);
        }
        if let Some(leader) = leader {
            fields.tag(1, CurrentLeader::BYTES);
            leader.write(&mut fields);
        }
    }

    /// Ends the frame and fills in its length, records included. `endpoints` are those of the
    /// leaders that partitions name (from version 16 on).
    ///
    /// # Panics
    /// When the frame is larger than 2 GiB: the broker bounds the records of an answer.
    pub fn finish<T: AsRef<str>>(mut self, endpoints: &[NodeEndpoint<T>]) {
        self.topics.end_topics();
        let version = self.version;
        let mut fields = self.topics.fields();
        if version >= FIRST_VERSION_WITH_ENDPOINTS {
            NodeEndpoint::write_all(endpoints, &mut fields);
        } else {
            fields.tags(0);
        }
        self.topics.finish();
    }
}

/// A Fetch response. Decoded into again and again: its vectors keep their memory.
///
/// ```text
/// throttle_time_ms i32 | error i16, session_id i32 (7..)
/// | topics [ name (..12) or id (13..)
///     | partitions [ index i32 | error i16 | high_watermark i64 | last_stable_offset i64
///         | log_start_offset i64 (5..)
///         | aborted [ producer_id i64 | first_offset i64 | tags ]
///         | preferred_read_replica i32 (11..) | records
///         | tags (12.. 0: diverging epoch, 1: current leader) ]
///     | tags ]
/// | tags (16.. 0: node endpoints)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse<F: Frame> {
    /// What holds for all.
    pub head: FetchResponseHead,
    /// In the order of the request.
    pub topics: Vec<Topic<F>>,
    /// Those of all topics, in the order of the request.
    pub partitions: Vec<PartitionFetched<F>>,
    /// Where the leaders are that partitions name.
    pub endpoints: Vec<NodeEndpoint<Text<F>>>,
}

impl<F: Frame> Default for FetchResponse<F> {
    fn default() -> FetchResponse<F> {
        FetchResponse {
            head: FetchResponseHead::default(),
            topics: Vec::new(),
            partitions: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}

impl<F: Frame + Default> FetchResponse<F> {
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
        self.head = FetchResponseHead::default();
        reuse(&mut self.topics);
        reuse(&mut self.partitions);
        reuse(&mut self.endpoints);
    }

    /// The partitions of one of the topics.
    pub fn partitions_of(&self, topic: &Topic<F>) -> &[PartitionFetched<F>] {
        &self.partitions[topic.partitions.clone()]
    }

    fn read(&mut self, reader: &mut Reader<'_>, frame: &F, version: i16) -> Result<(), WireError> {
        self.head.throttle_time_ms = reader.i32()?;
        if version >= FIRST_VERSION_WITH_SESSION {
            self.head.error = ErrorCode::read(reader)?;
            self.head.session_id = reader.i32()?;
        }
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
        let endpoints = &mut self.endpoints;
        reader.tags(|tag, content| match tag {
            0 if version >= FIRST_VERSION_WITH_ENDPOINTS => {
                NodeEndpoint::read_all(content, frame, endpoints).map(|()| true)
            }
            _ => Ok(false),
        })?;
        reader.finish()
    }
}

fn read_partition<F: Frame + Default>(
    reader: &mut Reader<'_>,
    frame: &F,
    version: i16,
) -> Result<PartitionFetched<F>, WireError> {
    let mut fetched = PartitionFetched::failed(reader.i32()?, ErrorCode::read(reader)?);
    fetched.high_watermark = reader.i64()?;
    fetched.last_stable_offset = reader.i64()?;
    if version >= 5 {
        fetched.log_start_offset = reader.i64()?;
    }
    if let Some(count) = reader.nullable_array_length("aborted transactions")? {
        let aborted = fetched.aborted.insert(Vec::new());
        for _ in 0..count {
            aborted.push(AbortedTransaction {
                producer_id: reader.i64()?,
                first_offset: reader.i64()?,
            });
            reader.skip_tags()?;
        }
    }
    if version >= FIRST_VERSION_WITH_PREFERRED_REPLICA {
        fetched.preferred_read_replica = reader.i32()?;
    }
    if let Some(records) = reader.nullable_bytes("records")? {
        fetched.records = frame.part(records);
    }
    let (diverging, leader) = (&mut fetched.diverging, &mut fetched.current_leader);
    reader.tags(|tag, content| {
        match tag {
            0 => *diverging = Some(DivergingEpoch::read(content)?),
            1 => *leader = Some(CurrentLeader::read(content)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(fetched)
}
