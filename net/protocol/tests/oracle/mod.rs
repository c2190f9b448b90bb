//! Values of Produce and Fetch, and what two other codecs make of them.

#![allow(dead_code)] // Each test file uses its part.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use sillon_protocol::fetch::{
    AbortedTransaction, DivergingEpoch, FetchHead, FetchPartition, FetchRequest,
    FetchRequestWriter, FetchResponse, FetchResponseHead, FetchResponseWriter, PartitionFetched,
};
use sillon_protocol::produce::{
    PartitionProduced, ProduceHead, ProduceRequest, ProduceRequestWriter, ProduceResponse,
    ProduceResponseWriter, RecordError,
};
use sillon_protocol::{CurrentLeader, ErrorCode, Frame, NodeEndpoint, Topic, TopicKey};
use sillon_record::{BrokerId, LeaderEpoch, TopicId};

pub mod other;

/// Correlation id of every message here.
pub const CORRELATION_ID: i32 = 0x0102_0304;
/// Client id of every request here.
pub const CLIENT_ID: Option<&str> = Some("furrow");

/// A topic, by name and by id: which one is written depends on the version.
#[derive(Clone, Debug)]
pub struct Named<P> {
    pub name: String,
    pub id: [u8; 16],
    pub partitions: Vec<P>,
}

impl<P> Named<P> {
    pub fn key(&self, by_id: bool) -> TopicKey<&str> {
        if by_id {
            TopicKey::Id(TopicId(self.id))
        } else {
            TopicKey::Name(&self.name)
        }
    }
}

#[derive(Clone, Debug)]
pub struct Produce {
    pub transactional_id: Option<String>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topics: Vec<Named<(i32, Option<Vec<u8>>)>>,
}

#[derive(Clone, Debug)]
pub struct Produced {
    pub topics: Vec<Named<PartitionProduced<String>>>,
    pub throttle_time_ms: i32,
    pub endpoints: Vec<NodeEndpoint<String>>,
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub head: FetchHead,
    pub topics: Vec<Named<FetchPartition>>,
    pub forgotten: Vec<Named<i32>>,
    pub rack: String,
}

#[derive(Clone, Debug)]
pub struct Fetched {
    pub head: FetchResponseHead,
    pub topics: Vec<Named<PartitionFetched<Vec<u8>>>>,
    pub endpoints: Vec<NodeEndpoint<String>>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zé]{0,9}", Just("x".repeat(300))]
}

fn records() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn error() -> impl Strategy<Value = ErrorCode> {
    (0..ErrorCode::ALL.len()).prop_map(|index| ErrorCode::ALL[index])
}

fn leader() -> impl Strategy<Value = Option<CurrentLeader>> {
    of(
        (0..9i32, 0..9i32).prop_map(|(leader, epoch)| CurrentLeader {
            leader: BrokerId(leader),
            epoch: LeaderEpoch(epoch),
        }),
    )
}

fn endpoints() -> impl Strategy<Value = Vec<NodeEndpoint<String>>> {
    let one = (any::<i32>(), text(), any::<i32>(), of(text()));
    let one = one.prop_map(|(broker, host, port, rack)| NodeEndpoint {
        broker: BrokerId(broker),
        host,
        port,
        rack,
    });
    vec(one, 0..3)
}

fn topics<P: std::fmt::Debug>(
    partition: impl Strategy<Value = P> + Clone,
) -> impl Strategy<Value = Vec<Named<P>>> {
    let topic = (text(), any::<[u8; 16]>(), vec(partition, 0..4));
    let topic = topic.prop_map(|(name, id, partitions)| Named {
        name,
        id,
        partitions,
    });
    vec(topic, 0..4)
}

pub fn produce() -> impl Strategy<Value = Produce> {
    let partition = (any::<i32>(), of(records())).boxed();
    (of(text()), any::<i16>(), any::<i32>(), topics(partition)).prop_map(
        |(transactional_id, acks, timeout_ms, topics)| Produce {
            transactional_id,
            acks,
            timeout_ms,
            topics,
        },
    )
}

pub fn produced() -> impl Strategy<Value = Produced> {
    let record_error = (any::<i32>(), of(text()));
    let record_error = record_error.prop_map(|(batch_index, message)| RecordError {
        batch_index,
        message,
    });
    let numbers = (any::<i32>(), any::<[i64; 3]>());
    let partition = (
        numbers,
        error(),
        vec(record_error, 0..3),
        of(text()),
        leader(),
    );
    let partition = partition.prop_map(|(numbers, error, record_errors, error_message, leader)| {
        PartitionProduced {
            index: numbers.0,
            error,
            base_offset: numbers.1[0],
            log_append_time_ms: numbers.1[1],
            log_start_offset: numbers.1[2],
            record_errors,
            error_message,
            current_leader: leader,
        }
    });
    (topics(partition.boxed()), any::<i32>(), endpoints()).prop_map(
        |(topics, throttle_time_ms, endpoints)| Produced {
            topics,
            throttle_time_ms,
            endpoints,
        },
    )
}

pub fn fetch() -> impl Strategy<Value = Fetch> {
    let replica = prop_oneof![Just((-1, -1)), (0..9i32, 0..9i64)];
    let head =
        (replica, any::<[i32; 5]>(), 0..=1i8).prop_map(|(replica, numbers, isolation)| FetchHead {
            replica: BrokerId(replica.0),
            replica_epoch: replica.1,
            max_wait_ms: numbers[0],
            min_bytes: numbers[1],
            max_bytes: numbers[2],
            isolation_level: isolation,
            session_id: numbers[3],
            session_epoch: numbers[4],
        });
    let epoch = of(0..i32::MAX)
        .prop_map(|epoch| epoch.map(LeaderEpoch))
        .boxed();
    let numbers = (any::<[i32; 2]>(), any::<[i64; 2]>());
    let partition =
        (numbers, epoch.clone(), epoch).prop_map(|(numbers, current, last)| FetchPartition {
            index: numbers.0[0],
            current_leader_epoch: current,
            offset: numbers.1[0],
            last_fetched_epoch: last,
            log_start_offset: numbers.1[1],
            max_bytes: numbers.0[1],
        });
    let forgotten = topics(any::<i32>());
    (head, topics(partition.boxed()), forgotten, text()).prop_map(
        |(head, topics, forgotten, rack)| Fetch {
            head,
            topics,
            forgotten,
            rack,
        },
    )
}

pub fn fetched() -> impl Strategy<Value = Fetched> {
    let aborted = any::<[i64; 2]>().prop_map(|[producer_id, first_offset]| AbortedTransaction {
        producer_id,
        first_offset,
    });
    let diverging = (0..9i32, 0..9i64).prop_map(|(epoch, end_offset)| DivergingEpoch {
        epoch: LeaderEpoch(epoch),
        end_offset,
    });
    let numbers = (any::<[i32; 2]>(), any::<[i64; 3]>());
    let rest = (of(diverging), leader(), of(vec(aborted, 0..3)), records());
    let partition = (numbers, error(), rest).prop_map(|(numbers, error, rest)| PartitionFetched {
        index: numbers.0[0],
        error,
        high_watermark: numbers.1[0],
        last_stable_offset: numbers.1[1],
        log_start_offset: numbers.1[2],
        diverging: rest.0,
        current_leader: rest.1,
        aborted: rest.2,
        preferred_read_replica: numbers.0[1],
        records: rest.3,
    });
    let head = (any::<[i32; 2]>(), error());
    (head, topics(partition.boxed()), endpoints()).prop_map(
        |((numbers, error), topics, endpoints)| Fetched {
            head: FetchResponseHead {
                throttle_time_ms: numbers[0],
                error,
                session_id: numbers[1],
            },
            topics,
            endpoints,
        },
    )
}

/// Puts records into the gaps that a writer left for them.
struct Gaps(Vec<(usize, Vec<u8>)>);

impl Gaps {
    fn fill(self, head: &[u8]) -> Vec<u8> {
        let mut filled = Vec::new();
        let mut from = 0;
        for (at, records) in self.0 {
            filled.extend_from_slice(&head[from..at]);
            filled.extend(records);
            from = at;
        }
        filled.extend_from_slice(&head[from..]);
        filled
    }
}

impl Produce {
    /// The frame, by our writer; every second partition's records are put in afterwards.
    pub fn write(&self, version: i16) -> Vec<u8> {
        let head = ProduceHead {
            transactional_id: self.transactional_id.as_deref(),
            acks: self.acks,
            timeout_ms: self.timeout_ms,
        };
        let mut out = BytesMut::new();
        let topics = self.topics.len();
        let mut writer =
            ProduceRequestWriter::begin(&mut out, version, CORRELATION_ID, CLIENT_ID, head, topics);
        let mut gaps = Gaps(Vec::new());
        for topic in &self.topics {
            writer.topic(topic.key(version >= 13), topic.partitions.len());
            for (index, records) in &topic.partitions {
                match records {
                    Some(records) if index % 2 == 0 => {
                        let at = writer.partition_elsewhere(*index, records.len());
                        gaps.0.push((at, records.clone()));
                    }
                    records => writer.partition(*index, records.as_deref()),
                }
            }
        }
        writer.finish();
        gaps.fill(&out)
    }

    pub fn of<F: Frame>(request: &ProduceRequest<F>) -> Produce {
        Produce {
            transactional_id: request.transactional_id.as_deref().map(str::to_string),
            acks: request.acks,
            timeout_ms: request.timeout_ms,
            topics: named(&request.topics, |topic| {
                let partitions = request.partitions_of(topic).iter();
                let own = |records: &F| records.as_ref().to_vec();
                partitions
                    .map(|p| (p.index, p.records.as_ref().map(own)))
                    .collect()
            }),
        }
    }
}

impl Produced {
    /// The frame, by our writer.
    pub fn write(&self, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        let topics = self.topics.len();
        let mut writer = ProduceResponseWriter::begin(&mut out, version, CORRELATION_ID, topics);
        for topic in &self.topics {
            writer.topic(topic.key(version >= 13), topic.partitions.len());
            for partition in &topic.partitions {
                writer.partition(partition);
            }
        }
        writer.finish(self.throttle_time_ms, &self.endpoints);
        out.to_vec()
    }

    pub fn of<F: Frame>(response: &ProduceResponse<F>) -> Produced {
        Produced {
            topics: named(&response.topics, |topic| {
                let partitions = response.partitions_of(topic).iter();
                partitions.map(own_produced).collect()
            }),
            throttle_time_ms: response.throttle_time_ms,
            endpoints: own_endpoints(&response.endpoints),
        }
    }
}

impl Fetch {
    /// The frame, by our writer.
    pub fn write(&self, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        let (head, topics) = (self.head, self.topics.len());
        let mut writer =
            FetchRequestWriter::begin(&mut out, version, CORRELATION_ID, CLIENT_ID, head, topics);
        for topic in &self.topics {
            writer.topic(topic.key(version >= 13), topic.partitions.len());
            for partition in &topic.partitions {
                writer.partition(partition);
            }
        }
        let forgotten = self.forgotten.iter();
        let forgotten: Vec<_> = forgotten
            .map(|topic| (topic.key(version >= 13), &topic.partitions[..]))
            .collect();
        writer.finish(&forgotten, &self.rack);
        out.to_vec()
    }

    pub fn of<F: Frame>(request: &FetchRequest<F>) -> Fetch {
        Fetch {
            head: request.head,
            topics: named(&request.topics, |topic| {
                request.partitions_of(topic).to_vec()
            }),
            forgotten: named(&request.forgotten_topics, |topic| {
                request.forgotten_partitions[topic.partitions.clone()].to_vec()
            }),
            rack: request.rack.as_deref().unwrap_or_default().to_string(),
        }
    }
}

impl Fetched {
    /// The frame, by our writer, with the records put in afterwards.
    pub fn write(&self, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        let (head, topics) = (self.head, self.topics.len());
        let mut writer =
            FetchResponseWriter::begin(&mut out, version, CORRELATION_ID, head, topics);
        let mut gaps = Gaps(Vec::new());
        for topic in &self.topics {
            writer.topic(topic.key(version >= 13), topic.partitions.len());
            for partition in &topic.partitions {
                let at = writer.partition(&with_records(partition, partition.records.len()));
                gaps.0.push((at, partition.records.clone()));
            }
        }
        writer.finish(&self.endpoints);
        gaps.fill(&out)
    }

    pub fn of<F: Frame + Default>(response: &FetchResponse<F>) -> Fetched {
        Fetched {
            head: response.head,
            topics: named(&response.topics, |topic| {
                let partitions = response.partitions_of(topic).iter();
                let own = |p: &PartitionFetched<F>| with_records(p, p.records.as_ref().to_vec());
                partitions.map(own).collect()
            }),
            endpoints: own_endpoints(&response.endpoints),
        }
    }
}

fn named<F: Frame, P>(topics: &[Topic<F>], of: impl Fn(&Topic<F>) -> Vec<P>) -> Vec<Named<P>> {
    let named = |topic: &Topic<F>| Named {
        name: match &topic.key {
            TopicKey::Name(name) => name.to_string(),
            TopicKey::Id(_) => String::new(),
        },
        id: match &topic.key {
            TopicKey::Name(_) => [0; 16],
            TopicKey::Id(id) => id.0,
        },
        partitions: of(topic),
    };
    topics.iter().map(named).collect()
}

fn own<T: AsRef<str>>(text: &T) -> String {
    text.as_ref().to_string()
}

fn own_endpoints<T: AsRef<str>>(endpoints: &[NodeEndpoint<T>]) -> Vec<NodeEndpoint<String>> {
    let owned = |endpoint: &NodeEndpoint<T>| NodeEndpoint {
        broker: endpoint.broker,
        host: own(&endpoint.host),
        port: endpoint.port,
        rack: endpoint.rack.as_ref().map(own),
    };
    endpoints.iter().map(owned).collect()
}

fn own_produced<T: AsRef<str>>(partition: &PartitionProduced<T>) -> PartitionProduced<String> {
    let record_errors = partition.record_errors.iter();
    PartitionProduced {
        index: partition.index,
        error: partition.error,
        base_offset: partition.base_offset,
        log_append_time_ms: partition.log_append_time_ms,
        log_start_offset: partition.log_start_offset,
        record_errors: record_errors
            .map(|error| RecordError {
                batch_index: error.batch_index,
                message: error.message.as_ref().map(own),
            })
            .collect(),
        error_message: partition.error_message.as_ref().map(own),
        current_leader: partition.current_leader,
    }
}

fn with_records<A, B>(partition: &PartitionFetched<A>, records: B) -> PartitionFetched<B> {
    PartitionFetched {
        index: partition.index,
        error: partition.error,
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        diverging: partition.diverging,
        current_leader: partition.current_leader,
        aborted: partition.aborted.clone(),
        preferred_read_replica: partition.preferred_read_replica,
        records,
    }
}
