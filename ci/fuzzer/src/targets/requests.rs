//! Requests, from behind their header: the version and whether it is the connection's first come in
//! the first bytes of an input.

use bytes::BytesMut;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{FetchHead, FetchPartition, FetchRequest, FetchRequestWriter};
use sillon_protocol::frame::{self, LENGTH_BYTES, RequestHeader};
use sillon_protocol::message::*;
use sillon_protocol::produce::{ProduceHead, ProduceRequest, ProduceRequestWriter};
use sillon_protocol::versions::DECODED_BYTES_PER_BYTE_MAX;
use sillon_protocol::{Api, ApiSpec, TopicKey};
use sillon_record::{BrokerId, LeaderEpoch, TopicId};

use crate::target::{Outcome, Target, kind, outcome};

/// What decoding takes whatever the input: the frame and its copy, the text of an error, and what
/// writing it again takes.
const SLACK_BYTES: usize = 64 << 10;

/// The API, the version and whether the request is the first, by an input's first three bytes.
fn addressed(bytes: &[u8], apis: &[Api]) -> Option<(&'static ApiSpec, i16, bool, Slice)> {
    let ([api, version, first], body) = bytes.split_first_chunk::<3>()?;
    let spec = apis[usize::from(*api) % apis.len()].spec();
    let versions = (spec.max - spec.min + 1) as u8;
    let version = spec.min + i16::from(version % versions);
    Some((spec, version, first % 4 == 0, Slice::copy_of(body)))
}

fn seed(apis: &[Api], api: Api, version: i16, framed: &[u8]) -> Vec<u8> {
    let frame = &framed[LENGTH_BYTES..];
    let header = RequestHeader::decode(frame, false).expect("a request that was just written");
    let place = apis.iter().position(|known| *known == api);
    let place = place.expect("one of them") as u8;
    let mut input = vec![place, (version - api.spec().min) as u8, 1];
    input.extend_from_slice(&frame[header.body..]);
    input
}

/// A list of APIs and their generated messages: `seeds_of`, and `read_as`, for each.
macro_rules! generated {
    ($($api:ident => $message:ident),* $(,)?) => {
        const GENERATED: &[Api] = &[$(Api::$api),*];

        fn read_as(api: Api, frame: &Slice, version: i16, first: bool) -> Result<usize, String> {
            match api {
                $(Api::$api => read::<$message>(frame, version, first),)*
                _ => unreachable!("not in the list"),
            }
        }

        fn empty_seeds() -> Vec<Vec<u8>> {
            let mut seeds = Vec::new();
            $(seeds.extend(written(Api::$api, &$message::default()));)*
            seeds
        }
    };
}

generated! {
    ListOffsets => ListOffsetsRequest,
    Metadata => MetadataRequest,
    OffsetCommit => OffsetCommitRequest,
    OffsetFetch => OffsetFetchRequest,
    FindCoordinator => FindCoordinatorRequest,
    JoinGroup => JoinGroupRequest,
    Heartbeat => HeartbeatRequest,
    LeaveGroup => LeaveGroupRequest,
    SyncGroup => SyncGroupRequest,
    DescribeGroups => DescribeGroupsRequest,
    ListGroups => ListGroupsRequest,
    ApiVersions => ApiVersionsRequest,
    CreateTopics => CreateTopicsRequest,
    DeleteTopics => DeleteTopicsRequest,
    DeleteRecords => DeleteRecordsRequest,
    InitProducerId => InitProducerIdRequest,
    OffsetForLeaderEpoch => OffsetForLeaderEpochRequest,
    DescribeAcls => DescribeAclsRequest,
    CreateAcls => CreateAclsRequest,
    DeleteAcls => DeleteAclsRequest,
    DescribeConfigs => DescribeConfigsRequest,
    AlterConfigs => AlterConfigsRequest,
    DescribeLogDirs => DescribeLogDirsRequest,
    CreatePartitions => CreatePartitionsRequest,
    DeleteGroups => DeleteGroupsRequest,
    ElectLeaders => ElectLeadersRequest,
    IncrementalAlterConfigs => IncrementalAlterConfigsRequest,
    AlterPartitionReassignments => AlterPartitionReassignmentsRequest,
    ListPartitionReassignments => ListPartitionReassignmentsRequest,
    OffsetDelete => OffsetDeleteRequest,
    DescribeClientQuotas => DescribeClientQuotasRequest,
    AlterClientQuotas => AlterClientQuotasRequest,
    DescribeUserScramCredentials => DescribeUserScramCredentialsRequest,
    DescribeQuorum => DescribeQuorumRequest,
    UpdateFeatures => UpdateFeaturesRequest,
    DescribeCluster => DescribeClusterRequest,
    DescribeProducers => DescribeProducersRequest,
    ConsumerGroupHeartbeat => ConsumerGroupHeartbeatRequest,
    ListConfigResources => ListConfigResourcesRequest,
    DescribeTopicPartitions => DescribeTopicPartitionsRequest,
}

fn written<M: KafkaRequest>(api: Api, request: &M) -> Vec<Vec<u8>> {
    let spec = api.spec();
    let versions = spec.min..=spec.max;
    let of = |version| {
        let mut out = BytesMut::new();
        // Some versions cannot carry all that is set.
        encode_request(&mut out, version, 7, Some("plough"), request).ok()?;
        Some(seed(GENERATED, api, version, &out))
    };
    versions.filter_map(of).collect()
}

/// Reads a request, and what it says once more; how long that is, in bytes.
fn read<M: KafkaRequest + PartialEq>(
    frame: &Slice,
    version: i16,
    first: bool,
) -> Result<usize, String> {
    let request: M = decode_request(frame, version, 0, first).map_err(|error| kind(&error))?;
    let mut out = BytesMut::new();
    encode_request(&mut out, version, 7, None, &request)
        .unwrap_or_else(|error| panic!("what was read cannot be written: {error}"));
    let framed = Slice::copy_of(&out[LENGTH_BYTES..]);
    let header = RequestHeader::decode(&framed, false).expect("a header that was just written");
    let again: M = decode_request(&framed, version, header.body, false)
        .unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    assert!(request == again, "it reads back otherwise");
    Ok(out.len())
}

/// Every API but Produce and Fetch.
#[derive(Default)]
pub struct Requests {}

impl Target for Requests {
    fn name(&self) -> String {
        "requests".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = empty_seeds();
        seeds.extend(full_seeds());
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((spec, version, first, frame)) = addressed(bytes, GENERATED) else {
            return outcome("short");
        };
        if frame.len() > spec.limits(first).frame_bytes_max {
            return outcome("long");
        }
        let result = read_as(spec.api, &frame, version, first);
        let result = result.map(crate::target::about);
        outcome((spec.api.key(), spec.is_flexible(version), first, result))
    }

    fn memory_max(&self, len: usize) -> usize {
        // What was read, and what was written and read again.
        2 * len * DECODED_BYTES_PER_BYTE_MAX + SLACK_BYTES
    }
}

/// Requests with something in every list.
fn full_seeds() -> Vec<Vec<u8>> {
    let text = StrBytes::from;
    let mut seeds = Vec::new();

    let mut topic = metadata_request::MetadataRequestTopic::default();
    topic.name = Some(text("furrow"));
    let mut metadata = MetadataRequest::default();
    metadata.topics = Some(vec![topic.clone(), topic]);
    seeds.extend(written(Api::Metadata, &metadata));

    let mut config = create_topics_request::CreatableTopicConfig::default();
    config.name = text("retention.ms");
    config.value = Some(text("5"));
    let mut assignment = create_topics_request::CreatableReplicaAssignment::default();
    assignment.broker_ids = vec![BrokerId(1).0, BrokerId(2).0];
    let mut topic = create_topics_request::CreatableTopic::default();
    topic.name = text("furrow");
    topic.configs = vec![config];
    topic.assignments = vec![assignment];
    let mut create = CreateTopicsRequest::default();
    create.topics = vec![topic.clone(), topic];
    seeds.extend(written(Api::CreateTopics, &create));

    let mut partition = offset_commit_request::OffsetCommitRequestPartition::default();
    partition.committed_offset = 42;
    partition.committed_metadata = Some(text("here"));
    let mut topic = offset_commit_request::OffsetCommitRequestTopic::default();
    topic.name = text("furrow");
    topic.partitions = vec![partition.clone(), partition];
    let mut commit = OffsetCommitRequest::default();
    commit.group_id = text("ploughs");
    commit.topics = vec![topic];
    seeds.extend(written(Api::OffsetCommit, &commit));

    let mut protocol = join_group_request::JoinGroupRequestProtocol::default();
    protocol.name = text("range");
    protocol.metadata = bytes::Bytes::from_static(&[0, 1, 0, 0, 0, 0]);
    let mut join = JoinGroupRequest::default();
    join.group_id = text("ploughs");
    join.protocol_type = text("consumer");
    join.protocols = vec![protocol.clone(), protocol];
    seeds.extend(written(Api::JoinGroup, &join));

    let mut partition = list_offsets_request::ListOffsetsPartition::default();
    partition.timestamp = -1;
    let mut topic = list_offsets_request::ListOffsetsTopic::default();
    topic.name = text("furrow");
    topic.partitions = vec![partition.clone(), partition];
    let mut list = ListOffsetsRequest::default();
    list.topics = vec![topic];
    seeds.extend(written(Api::ListOffsets, &list));

    let mut versions = ApiVersionsRequest::default();
    versions.client_software_name = text("plough");
    versions.client_software_version = text("1.0");
    seeds.extend(written(Api::ApiVersions, &versions));
    seeds
}

/// Those with our own codec.
const OWN: &[Api] = &[Api::Produce, Api::Fetch];

/// Produce and Fetch.
#[derive(Default)]
pub struct OwnRequests {
    produce: ProduceRequest<Slice>,
    fetch: FetchRequest<Slice>,
}

impl Target for OwnRequests {
    fn name(&self) -> String {
        "produce-and-fetch".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = Vec::new();
        let spec = Api::Produce.spec();
        for version in spec.min..=spec.max {
            let mut out = BytesMut::new();
            write_produce(&mut out, version, &[&b"records"[..], &[]]);
            seeds.push(seed(OWN, Api::Produce, version, &out));
        }
        let spec = Api::Fetch.spec();
        for version in spec.min..=spec.max {
            let mut out = BytesMut::new();
            write_fetch(&mut out, version);
            seeds.push(seed(OWN, Api::Fetch, version, &out));
        }
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((spec, version, first, frame)) = addressed(bytes, OWN) else {
            return outcome("short");
        };
        let result = match spec.api {
            Api::Produce => {
                let request = &mut self.produce;
                let read = request.decode(&frame, version, 0, first);
                let seen = (request.topics.len(), request.partitions.len());
                for topic in &request.topics {
                    assert!(topic.partitions.end <= request.partitions.len());
                }
                if read.is_ok() {
                    produce_again(request, version);
                }
                request.clear();
                read.map(|()| seen)
            }
            _ => {
                let request = &mut self.fetch;
                let read = request.decode(&frame, version, 0, first);
                let seen = (request.topics.len(), request.partitions.len());
                for topic in &request.topics {
                    assert!(topic.partitions.end <= request.partitions.len());
                }
                if read.is_ok() {
                    fetch_again(request, version);
                }
                request.clear();
                read.map(|()| seen)
            }
        };
        let about = crate::target::about;
        let result = result.map(|(topics, partitions)| (about(topics), about(partitions)));
        let result = result.map_err(|error| kind(&error));
        outcome((spec.api.key(), version, first, result))
    }

    fn memory_max(&self, len: usize) -> usize {
        3 * len * DECODED_BYTES_PER_BYTE_MAX + SLACK_BYTES
    }
}

fn key(version: i16, name: &str) -> TopicKey<&str> {
    match version {
        13.. => TopicKey::Id(TopicId([7; 16])),
        _ => TopicKey::Name(name),
    }
}

fn write_produce(out: &mut BytesMut, version: i16, records: &[&[u8]]) {
    let head = ProduceHead {
        transactional_id: None,
        acks: -1,
        timeout_ms: 1000,
    };
    let mut writer = ProduceRequestWriter::begin(out, version, 7, Some("plough"), head, 2);
    for name in ["furrow", "field"] {
        writer.topic(key(version, name), records.len());
        for (index, records) in (0..).zip(records) {
            writer.partition(index, Some(records));
        }
    }
    writer.finish();
}

fn produce_again(request: &ProduceRequest<Slice>, version: i16) {
    let mut out = BytesMut::new();
    let head = ProduceHead {
        transactional_id: request.transactional_id.as_deref(),
        acks: request.acks,
        timeout_ms: request.timeout_ms,
    };
    let topics = request.topics.len();
    let mut writer = ProduceRequestWriter::begin(&mut out, version, 7, None, head, topics);
    for topic in &request.topics {
        let partitions = request.partitions_of(topic);
        writer.topic(topic.key.as_ref(), partitions.len());
        for partition in partitions {
            writer.partition(partition.index, partition.records.as_deref());
        }
    }
    writer.finish();
    let (frame, body) = body_of(&out);
    let mut again = ProduceRequest::default();
    let read = again.decode(&frame, version, body, false);
    assert_eq!(read, Ok(()), "what was written cannot be read");
    assert!(again == *request, "it reads back otherwise");
}

fn write_fetch(out: &mut BytesMut, version: i16) {
    let partition = |index| FetchPartition {
        index,
        current_leader_epoch: Some(LeaderEpoch(3)),
        offset: 42,
        last_fetched_epoch: None,
        log_start_offset: -1,
        max_bytes: 1 << 20,
    };
    let head = FetchHead::default();
    let mut writer = FetchRequestWriter::begin(out, version, 7, Some("plough"), head, 2);
    for name in ["furrow", "field"] {
        writer.topic(key(version, name), 2);
        writer.partition(&partition(0));
        writer.partition(&partition(1));
    }
    let forgotten: &[(TopicKey<&str>, &[i32])] = match version {
        7.. => &[(key(version, "meadow"), &[1, 2])],
        _ => &[],
    };
    writer.finish(forgotten, "");
}

fn fetch_again(request: &FetchRequest<Slice>, version: i16) {
    let mut out = BytesMut::new();
    let topics = request.topics.len();
    let mut writer = FetchRequestWriter::begin(&mut out, version, 7, None, request.head, topics);
    for topic in &request.topics {
        let partitions = request.partitions_of(topic);
        writer.topic(topic.key.as_ref(), partitions.len());
        for partition in partitions {
            writer.partition(partition);
        }
    }
    let forgotten = request.forgotten_topics.iter().map(|topic| {
        let partitions = &request.forgotten_partitions[topic.partitions.clone()];
        (topic.key.as_ref(), partitions)
    });
    let forgotten: Vec<_> = forgotten.collect();
    writer.finish(&forgotten, request.rack.as_deref().unwrap_or_default());
    let (frame, body) = body_of(&out);
    let mut again = FetchRequest::default();
    let read = again.decode(&frame, version, body, false);
    assert_eq!(read, Ok(()), "what was written cannot be read");
    assert!(
        again.topics == request.topics
            && again.partitions == request.partitions
            && again.forgotten_topics == request.forgotten_topics
            && again.forgotten_partitions == request.forgotten_partitions,
        "it reads back otherwise"
    );
}

fn body_of(framed: &[u8]) -> (Slice, usize) {
    let frame = Slice::copy_of(&framed[LENGTH_BYTES..]);
    let header = frame::RequestHeader::decode(&frame, false);
    let body = header.expect("a header that was just written").body;
    (frame, body)
}
