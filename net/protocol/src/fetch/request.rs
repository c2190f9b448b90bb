use bytes::BytesMut;
use sillon_record::{BrokerId, LeaderEpoch};

use super::{FIRST_VERSION_WITH_DIVERGENCE, FIRST_VERSION_WITH_SESSION, is_by_id, is_flexible};
use crate::topic::{Text, Topic, TopicKey, reuse, within};
use crate::topics::TopicsWriter;
use crate::wire::{Frame, Reader, WireError};
use crate::{Api, frame};

/// First version with the client's rack (KIP-392).
const FIRST_VERSION_WITH_RACK: i16 = 11;

/// First version with the client's leader epoch (KIP-320).
const FIRST_VERSION_WITH_LEADER_EPOCH: i16 = 9;

/// First version in which the replica's id is a tagged field, next to its epoch (KIP-903).
const FIRST_VERSION_WITH_REPLICA_EPOCH: i16 = 15;

/// What a Fetch request says of all its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchHead {
    /// The follower that asks; -1: a consumer.
    pub replica: BrokerId,
    /// That follower's broker epoch (from version 15 on); else -1.
    pub replica_epoch: i64,
    /// How long the answer may wait for `min_bytes`, in ms.
    pub max_wait_ms: i32,
    /// Wait for this many bytes of records.
    pub min_bytes: i32,
    /// Give no more than this many bytes of records, except that the first batch is given whole.
    pub max_bytes: i32,
    /// 0: read uncommitted; 1: read committed.
    pub isolation_level: i8,
    /// Which session (from version 7 on); else 0: none.
    pub session_id: i32,
    /// Where in the session; 0 opens one, -1 wants none.
    pub session_epoch: i32,
}

impl Default for FetchHead {
    fn default() -> FetchHead {
        FetchHead {
            replica: BrokerId(-1),
            replica_epoch: -1,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: i32::MAX,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
        }
    }
}

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// Its number in the topic.
    pub index: i32,
    /// The epoch that the client believes in (from version 9 on).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// From this offset on.
    pub offset: i64,
    /// The epoch of the last record that the client has (from version 12 on).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// A follower's first offset (from version 5 on); else -1.
    pub log_start_offset: i64,
    /// Give no more than this many bytes of this partition.
    pub max_bytes: i32,
}

/// A Fetch request. Decoded into again and again: its vectors keep their memory.
///
/// ```text
/// replica i32 (..14) | max_wait_ms i32 | min_bytes i32 | max_bytes i32 | isolation_level i8
/// | session_id i32, session_epoch i32 (7..)
/// | topics [ name (..12) or id (13..)
///     | partitions [ index i32 | current_leader_epoch i32 (9..) | offset i64
///         | last_fetched_epoch i32 (12..) | log_start_offset i64 (5..) | max_bytes i32 | tags ]
///     | tags ]
/// | forgotten [ name (..12) or id (13..) | partitions [ i32 ] | tags ] (7..)
/// | rack (11..) | tags (15.. 1: replica i32, replica_epoch i64)
/// ```
///
/// The fields for KRaft's own log (cluster id, replica directory, high watermark) are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest<F: Frame> {
    /// What holds for all.
    pub head: FetchHead,
    /// In the order of the request.
    pub topics: Vec<Topic<F>>,
    /// Those of all topics, in the order of the request.
    pub partitions: Vec<FetchPartition>,
    /// Topics of the session in which partitions are no longer asked for.
    pub forgotten_topics: Vec<Topic<F>>,
    /// Those partitions, by number.
    pub forgotten_partitions: Vec<i32>,
    /// The client's rack; may be empty.
    pub rack: Option<Text<F>>,
}

impl<F: Frame> Default for FetchRequest<F> {
    fn default() -> FetchRequest<F> {
        FetchRequest {
            head: FetchHead::default(),
            topics: Vec::new(),
            partitions: Vec::new(),
            forgotten_topics: Vec::new(),
            forgotten_partitions: Vec::new(),
            rack: None,
        }
    }
}

impl<F: Frame> FetchRequest<F> {
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
        let max = Api::Fetch.spec().limits(first).array_elements_max;
        let mut reader = Reader::new(frame.as_ref(), body, is_flexible(version));
        let result = self.read(&mut reader, frame, version, max);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Lets go of the frame and keeps the vectors' memory.
    pub fn clear(&mut self) {
        self.head = FetchHead::default();
        reuse(&mut self.topics);
        reuse(&mut self.partitions);
        reuse(&mut self.forgotten_topics);
        reuse(&mut self.forgotten_partitions);
        self.rack = None;
    }

    /// The partitions of one of the topics.
    pub fn partitions_of(&self, topic: &Topic<F>) -> &[FetchPartition] {
        &self.partitions[topic.partitions.clone()]
    }

    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        frame: &F,
        version: i16,
        max: usize,
    ) -> Result<(), WireError> {
        let head = &mut self.head;
        if version < FIRST_VERSION_WITH_REPLICA_EPOCH {
            head.replica = BrokerId(reader.i32()?);
        }
        head.max_wait_ms = reader.i32()?;
        head.min_bytes = reader.i32()?;
        head.max_bytes = reader.i32()?;
        head.isolation_level = reader.i8()?;
        if version >= FIRST_VERSION_WITH_SESSION {
            head.session_id = reader.i32()?;
            head.session_epoch = reader.i32()?;
        }
        let partitions = &mut self.partitions;
        read_topics(
            reader,
            frame,
            version,
            max,
            &mut self.topics,
            partitions,
            |reader| read_partition(reader, version),
        )?;
        if version >= FIRST_VERSION_WITH_SESSION {
            let (topics, partitions) = (&mut self.forgotten_topics, &mut self.forgotten_partitions);
            read_topics(reader, frame, version, max, topics, partitions, |r| r.i32())?;
        }
        if version >= FIRST_VERSION_WITH_RACK {
            self.rack = Some(Text::read(reader, frame)?);
        }
        reader.tags(|tag, content| match tag {
            1 if version >= FIRST_VERSION_WITH_REPLICA_EPOCH => {
                head.replica = BrokerId(content.i32()?);
                head.replica_epoch = content.i64()?;
                content.skip_tags()?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        reader.finish()
    }
}

fn read_topics<'a, F: Frame, P>(
    reader: &mut Reader<'a>,
    frame: &F,
    version: i16,
    max: usize,
    into: &mut Vec<Topic<F>>,
    all: &mut Vec<P>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<P, WireError>,
) -> Result<(), WireError> {
    let topics = reader.array_length("topics")?;
    within(reader, 0, topics, max, "topics")?;
    for _ in 0..topics {
        let key = TopicKey::read(reader, frame, is_by_id(version))?;
        let start = all.len();
        let count = reader.array_length("partitions")?;
        within(reader, start, count, max, "partitions")?;
        for _ in 0..count {
            all.push(read(reader)?);
        }
        reader.skip_tags()?;
        let partitions = start..all.len();
        into.push(Topic { key, partitions });
    }
    Ok(())
}

/// -1 stands for "unknown".
fn epoch(epoch: i32) -> Option<LeaderEpoch> {
    (epoch != -1).then_some(LeaderEpoch(epoch))
}

fn read_partition(reader: &mut Reader<'_>, version: i16) -> Result<FetchPartition, WireError> {
    let index = reader.i32()?;
    let mut current_leader_epoch = None;
    if version >= FIRST_VERSION_WITH_LEADER_EPOCH {
        current_leader_epoch = epoch(reader.i32()?);
    }
    let offset = reader.i64()?;
    let mut last_fetched_epoch = None;
    if version >= FIRST_VERSION_WITH_DIVERGENCE {
        last_fetched_epoch = epoch(reader.i32()?);
    }
    let log_start_offset = if version >= 5 { reader.i64()? } else { -1 };
    let max_bytes = reader.i32()?;
    reader.skip_tags()?;
    Ok(FetchPartition {
        index,
        current_leader_epoch,
        offset,
        last_fetched_epoch,
        log_start_offset,
        max_bytes,
    })
}

/// Writes a Fetch request as a consumer does: [`Self::begin`], then each topic followed by its
/// partitions, then [`Self::finish`]. Fields that the version does not have are left out.
///
/// Every method panics when counts are not what was announced.
#[derive(Debug)]
pub struct FetchRequestWriter<'a> {
    topics: TopicsWriter<'a>,
    version: i16,
    head: FetchHead,
}

impl<'a> FetchRequestWriter<'a> {
    /// Begins a frame of `topics` topics behind what is in `out`.
    pub fn begin(
        out: &'a mut BytesMut,
        version: i16,
        correlation_id: i32,
        client_id: Option<&str>,
        head: FetchHead,
        topics: usize,
    ) -> FetchRequestWriter<'a> {
        let start = frame::begin(out);
        frame::put_request_header(out, Api::Fetch, version, correlation_id, client_id);
        let mut writer = TopicsWriter::new(out, start, is_flexible(version), is_by_id(version));
        let mut fields = writer.fields();
        if version < FIRST_VERSION_WITH_REPLICA_EPOCH {
            fields.i32(head.replica.0);
        }
        fields.i32(head.max_wait_ms);
        fields.i32(head.min_bytes);
        fields.i32(head.max_bytes);
        fields.i8(head.isolation_level);
        if version >= FIRST_VERSION_WITH_SESSION {
            fields.i32(head.session_id);
            fields.i32(head.session_epoch);
        }
        writer.begin_topics(topics);
        FetchRequestWriter {
            topics: writer,
            version,
            head,
        }
    }

    /// A topic with that many partitions. Its key is what the version asks for.
    pub fn topic(&mut self, key: TopicKey<&str>, partitions: usize) {
        self.topics.topic(key, partitions);
    }

    /// The topic's next partition.
    pub fn partition(&mut self, partition: &FetchPartition) {
        let version = self.version;
        let mut fields = self.topics.partition();
        fields.i32(partition.index);
        if version >= FIRST_VERSION_WITH_LEADER_EPOCH {
            fields.i32(partition.current_leader_epoch.map_or(-1, |epoch| epoch.0));
        }
        fields.i64(partition.offset);
        if version >= FIRST_VERSION_WITH_DIVERGENCE {
            fields.i32(partition.last_fetched_epoch.map_or(-1, |epoch| epoch.0));
        }
        if version >= 5 {
            fields.i64(partition.log_start_offset);
        }
        fields.i32(partition.max_bytes);
        fields.tags(0);
    }

    /// Ends the frame and fills in its length. `forgotten`: what the session is to forget.
    pub fn finish(mut self, forgotten: &[(TopicKey<&str>, &[i32])], rack: &str) {
        self.topics.end_topics();
        if self.version >= FIRST_VERSION_WITH_SESSION {
            self.topics.begin_topics(forgotten.len());
            for (key, partitions) in forgotten {
                self.topics.topic(*key, partitions.len());
                for index in *partitions {
                    self.topics.partition().i32(*index);
                }
            }
            self.topics.end_topics();
        }
        let mut fields = self.topics.fields();
        if self.version >= FIRST_VERSION_WITH_RACK {
            fields.string(rack);
        }
        let is_replica = self.head.replica.0 != -1 || self.head.replica_epoch != -1;
        if self.version >= FIRST_VERSION_WITH_REPLICA_EPOCH && is_replica {
            fields.tags(1);
            fields.sized_tag(1, |fields| {
                fields.i32(self.head.replica.0);
                fields.i64(self.head.replica_epoch);
                fields.tags(0);
            });
        } else {
            fields.tags(0);
        }
        self.topics.finish();
    }
}
