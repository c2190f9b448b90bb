use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use sillon_protocol::fetch::{
    FIRST_VERSION_BY_ID, FetchHead, FetchPartition, FetchRequestWriter, FetchResponse,
};
use sillon_protocol::{Api, ErrorCode, TopicKey};
use sillon_record::{
    Batches, BatchesError, BrokerId, DECOMPRESSED_BYTES_MAX, LeaderEpoch, Record, Records, Scratch,
    TopicId,
};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::topic_partition::TopicPartition;

/// How a consumer behaves.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// How long a broker waits for `min_bytes`, in ms.
    pub max_wait_ms: i32,
    /// A broker waits for this many bytes.
    pub min_bytes: i32,
    /// A broker answers with no more than this many bytes.
    pub max_bytes: i32,
    /// Nor with more than this many of one partition.
    pub partition_max_bytes: i32,
    /// Leave out the records of transactions that are open or aborted.
    pub is_read_committed: bool,
}

impl Default for ConsumerOptions {
    fn default() -> ConsumerOptions {
        ConsumerOptions {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            is_read_committed: false,
        }
    }
}

/// A record and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The record.
    pub record: Record<'a>,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Reads partitions from their positions on.
pub struct Consumer {
    options: ConsumerOptions,
    positions: BTreeMap<TopicPartition, Position>,
    response: FetchResponse<Bytes>,
    decompressed: Vec<u8>,
    scratch: Scratch,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    offset: i64,
    /// Of the last record read.
    epoch: Option<LeaderEpoch>,
}

/// A request on its way.
struct Asked {
    leader: BrokerId,
    version: i16,
    /// In the order of the request.
    places: Vec<TopicPartition>,
}

impl Consumer {
    /// A consumer of nothing yet.
    pub fn new(options: ConsumerOptions) -> Consumer {
        Consumer {
            options,
            positions: BTreeMap::new(),
            response: FetchResponse::default(),
            decompressed: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Reads a partition from `offset` on.
    pub fn assign(&mut self, topic: &str, partition: i32, offset: i64) {
        let position = Position {
            offset,
            epoch: None,
        };
        let place = TopicPartition::new(topic, partition);
        self.positions.insert(place, position);
    }

    /// Does not read a partition any more.
    pub fn unassign(&mut self, place: &TopicPartition) {
        self.positions.remove(place);
    }

    /// Reads nothing any more.
    pub fn unassign_all(&mut self) {
        self.positions.clear();
    }

    /// How long a broker waits for `min_bytes` from now on, in ms.
    pub fn set_max_wait_ms(&mut self, max_wait_ms: i32) {
        self.options.max_wait_ms = max_wait_ms;
    }

    /// Where a partition will be read next.
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let position = self.positions.get(&TopicPartition::new(topic, partition))?;
        Some(position.offset)
    }

    /// Where every partition will be read next, and the leader epoch of the record before that
    /// when it was read here.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, i64, Option<LeaderEpoch>)> {
        let positions = self.positions.iter();
        positions.map(|(place, position)| (place, position.offset, position.epoch))
    }

    /// Asks every leader once and gives the records to `deliver`, until it breaks. Returns how many
    /// it was given: 0 when nothing came within `max_wait_ms`.
    pub fn poll(
        &mut self,
        client: &mut Client,
        mut deliver: impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<usize, ClientError> {
        let mut count = 0;
        let mut is_stopped = false;
        let mut result = Ok(());
        let mut deliver = |delivered: Delivered<'_>| {
            count += 1;
            deliver(delivered)
        };
        for asked in self.ask(client)? {
            // An answer that is due is taken from its connection, or the connection is dropped.
            if result.is_err() {
                client.disconnect(asked.leader);
                continue;
            }
            result = self.receive(client, &asked).and_then(|()| {
                for (index, place) in asked.places.iter().enumerate() {
                    if !is_stopped {
                        is_stopped = self.deliver(client, index, place, &mut deliver)?;
                    }
                }
                Ok(())
            });
            self.response.clear();
        }
        result.map(|()| count)
    }

    /// As [`Self::poll`], and once more after a passing error until the time is up.
    pub fn poll_retrying(
        &mut self,
        client: &mut Client,
        mut deliver: impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<usize, ClientError> {
        client.retrying(|client| self.poll(client, &mut deliver))
    }

    fn ask(&self, client: &mut Client) -> Result<Vec<Asked>, ClientError> {
        let mut asked: Vec<Asked> = Vec::new();
        for (leader, places) in client.all_by_leader(self.positions.keys())? {
            match self.ask_leader(client, leader, &places) {
                Ok(version) => asked.push(Asked {
                    leader,
                    version,
                    places,
                }),
                Err(error) => {
                    for asked in asked {
                        client.disconnect(asked.leader);
                    }
                    return Err(error);
                }
            }
        }
        Ok(asked)
    }

    fn ask_leader(
        &self,
        client: &mut Client,
        leader: BrokerId,
        places: &[TopicPartition],
    ) -> Result<i16, ClientError> {
        let mut ids = BTreeMap::new();
        for TopicPartition { topic, .. } in places {
            ids.insert(topic.clone(), client.topic(topic)?.id);
        }
        client.with(leader, |connection| {
            let version = self.request(connection, places, &ids)?;
            connection.flush().map(|()| version)
        })
    }

    /// Queues a Fetch request; `places` are sorted. Returns its version.
    fn request(
        &self,
        connection: &mut Connection,
        places: &[TopicPartition],
        ids: &BTreeMap<String, TopicId>,
    ) -> Result<i16, ClientError> {
        let version = connection.version(Api::Fetch)?;
        let version = match ids.values().any(|id| *id == TopicId::ZERO) {
            true => version.min(FIRST_VERSION_BY_ID - 1),
            false => version,
        };
        let head = FetchHead {
            max_wait_ms: self.options.max_wait_ms,
            min_bytes: self.options.min_bytes,
            max_bytes: self.options.max_bytes,
            isolation_level: i8::from(self.options.is_read_committed),
            ..FetchHead::default()
        };
        let topics: Vec<&[TopicPartition]> = TopicPartition::by_topic(places).collect();
        let write = |out: &mut BytesMut, correlation_id, client_id: Option<&str>| {
            let count = topics.len();
            let mut writer =
                FetchRequestWriter::begin(out, version, correlation_id, client_id, head, count);
            for topic in &topics {
                let name = topic[0].topic.as_str();
                let key = if version >= FIRST_VERSION_BY_ID {
                    TopicKey::Id(ids[name])
                } else {
                    TopicKey::Name(name)
                };
                writer.topic(key, topic.len());
                for place in *topic {
                    let position = self.positions[place];
                    writer.partition(&FetchPartition {
                        index: place.partition,
                        current_leader_epoch: None,
                        offset: position.offset,
                        last_fetched_epoch: position.epoch,
                        log_start_offset: -1,
                        max_bytes: self.options.partition_max_bytes,
                    });
                }
            }
            writer.finish(&[], "");
            Ok::<(), Infallible>(())
        };
        let Ok(()) = connection.send(write);
        Ok(version)
    }

    fn receive(&mut self, client: &mut Client, asked: &Asked) -> Result<(), ClientError> {
        let response = &mut self.response;
        client.with(asked.leader, |connection| {
            let (frame, body) = connection.receive(Api::Fetch, asked.version)?;
            let decoded = response.decode(&frame, asked.version, body);
            decoded.map_err(|error| connection.malformed(Api::Fetch, error.into()))?;
            if response.head.error.is_error() {
                let error = response.head.error;
                return Err(ClientError::refused("fetch", error, None::<&str>));
            }
            // Without a session every partition is answered, in our order.
            let answered = response.partitions.iter().map(|partition| partition.index);
            if !answered.eq(asked.places.iter().map(|place| place.partition)) {
                let silent = Malformed::Silent("every partition".to_string());
                return Err(connection.malformed(Api::Fetch, silent));
            }
            Ok(())
        })
    }

    /// Gives the records of one partition; returns whether it was told to stop.
    fn deliver(
        &mut self,
        client: &mut Client,
        index: usize,
        place: &TopicPartition,
        mut deliver: impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<bool, ClientError> {
        let fetched = &self.response.partitions[index];
        let (topic, partition) = (place.topic.as_str(), place.partition);
        let position = self.positions.get_mut(place);
        let position = position.expect("only what is assigned is asked for");
        if fetched.error.is_error() {
            if fetched.error == ErrorCode::OffsetOutOfRange {
                return Err(ClientError::OffsetOutOfRange {
                    topic: topic.to_string(),
                    partition,
                    offset: position.offset,
                });
            }
            client.forget_topics();
            let what = format!("fetch topic {topic}, partition {partition}");
            return Err(ClientError::refused(what, fetched.error, None::<&str>));
        }
        for batch in Batches::new(&fetched.records).checking_crcs() {
            let batch = match batch {
                Ok(batch) => batch,
                // The last batch is cut short when it does not fit: it comes whole next time.
                Err(BatchesError::Torn { position, .. }) if position > 0 => break,
                Err(source) => {
                    return Err(ClientError::Batches {
                        topic: topic.to_string(),
                        partition,
                        source,
                    });
                }
            };
            let next = batch.header.last_offset().0 + 1;
            if !batch.header.is_control() {
                let unreadable = |source| ClientError::Records {
                    topic: topic.to_string(),
                    partition,
                    offset: batch.header.base_offset().0,
                    source,
                };
                let (buffer, scratch) = (&mut self.decompressed, &mut self.scratch);
                let records = Records::of(batch.bytes, buffer, DECOMPRESSED_BYTES_MAX, scratch);
                for record in records.map_err(unreadable)? {
                    let record = record.map_err(unreadable)?;
                    // A fetch from the middle of a batch gives all of it.
                    if record.offset.0 < position.offset {
                        continue;
                    }
                    position.offset = record.offset.0 + 1;
                    position.epoch = Some(batch.header.leader_epoch());
                    let delivered = Delivered {
                        topic,
                        partition,
                        record,
                        leader_epoch: batch.header.leader_epoch(),
                    };
                    if deliver(delivered).is_break() {
                        return Ok(true);
                    }
                }
            }
            position.offset = next.max(position.offset);
            position.epoch = Some(batch.header.leader_epoch());
        }
        Ok(false)
    }
}
