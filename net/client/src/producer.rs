use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sillon_protocol::produce::{
    FIRST_VERSION_BY_ID, PartitionProduced, ProduceHead, ProduceRequestWriter, ProduceResponse,
};
use sillon_protocol::{Api, ErrorCode, Text, TopicKey};
use sillon_record::{
    BatchBuilder, Compression, Producer as ProducerId, TopicId, increment_sequence,
};

use crate::client::Client;
use crate::error::{ClientError, Malformed, is_retriable};
use crate::partitioner::Partitioner;
use crate::topic_partition::TopicPartition;

/// When the broker answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When every in-sync replica has the records.
    #[default]
    All,
    /// When the leader has them.
    Leader,
    /// Never: lost records go unnoticed.
    None,
}

impl Acks {
    fn number(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// When the broker answers.
    pub acks: Acks,
    /// Whether a batch that is sent again is in the log once (only with [`Acks::All`]).
    pub is_idempotent: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// A batch that has reached this size before compression, in bytes, is sent.
    pub batch_bytes: usize,
    /// How long the broker may wait for replicas, in ms.
    pub timeout_ms: i32,
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        ProducerOptions {
            acks: Acks::All,
            is_idempotent: true,
            compression: Compression::None,
            // A quarter of what a broker takes by default: one large record more still fits.
            batch_bytes: 256 << 10,
            timeout_ms: 30_000,
        }
    }
}

/// Makes batches and sends them to their leaders, one batch per partition at a time, each until it
/// is acknowledged.
#[derive(Debug)]
pub struct Producer {
    options: ProducerOptions,
    id: Option<ProducerId>,
    partitioner: Partitioner,
    partitions: BTreeMap<TopicPartition, Partition>,
}

#[derive(Debug)]
struct Partition {
    builder: BatchBuilder,
    next_sequence: i32,
}

/// A batch that is not acknowledged yet.
#[derive(Debug)]
struct Batch {
    topic_id: TopicId,
    records_count: i32,
    records: Vec<u8>,
}

impl Producer {
    /// A producer without records. An idempotent one gets its id from the broker here.
    pub fn new(client: &mut Client, options: ProducerOptions) -> Result<Producer, ClientError> {
        let has_id = options.is_idempotent && options.acks == Acks::All;
        let id = if has_id {
            Some(client.producer_id()?)
        } else {
            None
        };
        Ok(Producer {
            options,
            id,
            partitioner: Partitioner::new(),
            partitions: BTreeMap::new(),
        })
    }

    /// Adds a record, to the partition of its key unless one is named. Sends everything when its
    /// batch is large enough.
    pub fn send(
        &mut self,
        client: &mut Client,
        topic: &str,
        partition: Option<i32>,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), ClientError> {
        let count = client.topic(topic)?.partitions.len();
        let partition = match partition {
            Some(partition) if partition >= 0 && (partition as usize) < count => partition,
            Some(partition) => {
                return Err(ClientError::NoPartition {
                    topic: topic.to_string(),
                    partition,
                    count,
                });
            }
            None => self.partitioner.partition(key, count),
        };
        let compression = self.options.compression;
        let place = TopicPartition::new(topic, partition);
        let entry = self
            .partitions
            .entry(place.clone())
            .or_insert_with(|| Partition {
                builder: BatchBuilder::new(compression),
                next_sequence: 0,
            });
        let builder = &mut entry.builder;
        let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let is_full = builder.records_count() > 0
            && builder.uncompressed_bytes() + size > self.options.batch_bytes;
        if is_full {
            self.flush(client)?;
        }
        let entry = self.partitions.get_mut(&place);
        let builder = &mut entry.expect("entered above").builder;
        let appended = builder.append(timestamp_ms, key, value, &[]);
        appended.map_err(|source| ClientError::Full {
            topic: topic.to_string(),
            source,
        })?;
        Ok(())
    }

    /// Sends what there is and waits until all of it is acknowledged. What a broker refuses for
    /// good is dropped, and is the error.
    pub fn flush(&mut self, client: &mut Client) -> Result<(), ClientError> {
        self.partitioner.next_batch();
        let mut waiting = self.seal(client)?;
        let deadline = Instant::now() + client.options().retry_for;
        let mut refusal = None;
        while !waiting.is_empty() {
            let mut last = None;
            self.send_once(client, &mut waiting, |error| {
                if error.is_retriable() {
                    last = Some(error);
                } else {
                    refusal.get_or_insert(error);
                }
            });
            if waiting.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                refusal = refusal.or(last.map(ClientError::after_retries));
                break;
            }
            client.forget_topics();
            std::thread::sleep(client.options().retry_after);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Makes batches of the records that there are.
    fn seal(
        &mut self,
        client: &mut Client,
    ) -> Result<BTreeMap<TopicPartition, Batch>, ClientError> {
        let mut batches = BTreeMap::new();
        for (place, partition) in &mut self.partitions {
            let records_count = partition.builder.records_count();
            if records_count == 0 {
                continue;
            }
            if let Some(id) = self.id {
                partition.builder.producer(id, partition.next_sequence);
            }
            let batch = Batch {
                topic_id: client.topic(&place.topic)?.id,
                records_count,
                records: partition.builder.build(),
            };
            batches.insert(place.clone(), batch);
        }
        Ok(batches)
    }

    /// Sends every batch to its leader once; removes those that are acknowledged or refused for
    /// good.
    fn send_once(
        &mut self,
        client: &mut Client,
        waiting: &mut BTreeMap<TopicPartition, Batch>,
        mut failed: impl FnMut(ClientError),
    ) {
        let mut dropped = Vec::new();
        let by_leader = client.by_leader(waiting.keys(), |place, error| {
            if !error.is_retriable() {
                dropped.push(place.clone());
            }
            failed(error);
        });
        for place in dropped {
            waiting.remove(&place);
        }
        // Every leader works while the others do.
        let mut asked = Vec::new();
        for (leader, places) in by_leader {
            match client.with(leader, |connection| {
                let version = connection.version(Api::Produce)?;
                let version = self.request(version, connection, waiting, &places);
                connection.flush().map(|()| version)
            }) {
                Ok(version) => asked.push((leader, places, version)),
                Err(error) => self.all_failed(error, waiting, &places, &mut failed),
            }
        }
        for (leader, places, version) in asked {
            if self.options.acks == Acks::None {
                for place in &places {
                    self.acknowledged(place, waiting);
                }
                continue;
            }
            let received = client.with(leader, |connection| {
                let (frame, body) = connection.receive(Api::Produce, version)?;
                let mut response = ProduceResponse::default();
                let decoded = response.decode(&frame, version, body);
                decoded.map_err(|error| connection.malformed(Api::Produce, error.into()))?;
                if response.partitions.len() != places.len() {
                    let silent = Malformed::Silent("every partition".to_string());
                    return Err(connection.malformed(Api::Produce, silent));
                }
                Ok(response)
            });
            match received {
                Ok(response) => self.answered(&response, &places, waiting, &mut failed),
                Err(error) => self.all_failed(error, waiting, &places, &mut failed),
            }
        }
    }

    /// Queues a Produce request; `places` are sorted. Returns its version.
    fn request(
        &self,
        version: i16,
        connection: &mut crate::Connection,
        waiting: &BTreeMap<TopicPartition, Batch>,
        places: &[TopicPartition],
    ) -> i16 {
        let without_id = places
            .iter()
            .any(|place| waiting[place].topic_id == TopicId::ZERO);
        let version = match without_id {
            true => version.min(FIRST_VERSION_BY_ID - 1),
            false => version,
        };
        let head = ProduceHead {
            transactional_id: None,
            acks: self.options.acks.number(),
            timeout_ms: self.options.timeout_ms,
        };
        let topics: Vec<&[TopicPartition]> = TopicPartition::by_topic(places).collect();
        let write = |out: &mut BytesMut, correlation_id, client_id: Option<&str>| {
            let count = topics.len();
            let mut writer =
                ProduceRequestWriter::begin(out, version, correlation_id, client_id, head, count);
            for topic in &topics {
                let key = if version >= FIRST_VERSION_BY_ID {
                    TopicKey::Id(waiting[&topic[0]].topic_id)
                } else {
                    TopicKey::Name(topic[0].topic.as_str())
                };
                writer.topic(key, topic.len());
                for place in *topic {
                    writer.partition(place.partition, Some(&waiting[place].records));
                }
            }
            writer.finish();
            Ok::<(), Infallible>(())
        };
        let Ok(()) = match self.options.acks {
            Acks::None => connection.send_unanswered(write),
            Acks::All | Acks::Leader => connection.send(write),
        };
        version
    }

    fn answered(
        &mut self,
        response: &ProduceResponse<Bytes>,
        places: &[TopicPartition],
        waiting: &mut BTreeMap<TopicPartition, Batch>,
        failed: &mut impl FnMut(ClientError),
    ) {
        // Answers are in the order of the request, topics in ours.
        for (place, produced) in places.iter().zip(&response.partitions) {
            match produced.error {
                // A duplicate is in the log: an earlier attempt had arrived.
                ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                    self.acknowledged(place, waiting);
                }
                error => {
                    if !is_retriable(error) {
                        waiting.remove(place);
                    }
                    failed(refused(place, produced));
                }
            }
        }
    }

    fn acknowledged(
        &mut self,
        place: &TopicPartition,
        waiting: &mut BTreeMap<TopicPartition, Batch>,
    ) {
        let (Some(batch), Some(partition)) =
            (waiting.remove(place), self.partitions.get_mut(place))
        else {
            return;
        };
        partition.next_sequence = increment_sequence(partition.next_sequence, batch.records_count);
    }

    fn all_failed(
        &mut self,
        error: ClientError,
        waiting: &mut BTreeMap<TopicPartition, Batch>,
        places: &[TopicPartition],
        failed: &mut impl FnMut(ClientError),
    ) {
        if !error.is_retriable() {
            for place in places {
                waiting.remove(place);
            }
        }
        failed(error);
    }
}

fn refused(place: &TopicPartition, produced: &PartitionProduced<Text<Bytes>>) -> ClientError {
    let what = format!(
        "produce to topic {}, partition {}",
        place.topic, place.partition
    );
    let first = produced
        .record_errors
        .iter()
        .find_map(|error| error.message.as_ref());
    let message = produced.error_message.as_ref().or(first);
    ClientError::refused(what, produced.error, message)
}
