//! What a connection may do, and what ends it.

mod house;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use house::{Client, Node, PATIENCE, batch, partition, values};
use sillon_protocol::fetch::FetchHead;
use sillon_protocol::message::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeClusterRequest, DescribeClusterResponse,
    InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    StrBytes, create_topics_request, encode_request, list_offsets_request, metadata_request,
    offset_for_leader_epoch_request,
};
use sillon_protocol::{Api, TopicKey};
use sillon_runtime::{Clock, SystemClock};
use sillon_server::ListenerOptions;
use sillon_shard::Now;

/// The system's time and what the test adds to it.
struct Ahead {
    clock: SystemClock,
    ahead_ms: AtomicU64,
}

impl Clock for Ahead {
    fn now(&self) -> Now {
        let mut now = self.clock.now();
        now.mono_ns += self.ahead_ms.load(Ordering::Relaxed) * 1_000_000;
        now
    }
}

#[test]
fn responses_leave_in_the_order_of_the_requests() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let head = FetchHead {
        max_wait_ms: 200,
        min_bytes: 1,
        ..FetchHead::default()
    };
    let key = TopicKey::Name("furrow");
    for _ in 0..3 {
        let fetch = client.send_fetch(12, head, key, &[partition(0, 0)]);
        let metadata = client.send(Api::Metadata, 12, &MetadataRequest::default());
        let produce = client.send_produce(9, -1, key, &[(1, batch(&["x"]))]);
        client.receive_fetch(fetch);
        client.receive::<MetadataResponse>(metadata);
        assert_eq!(
            client.receive_produce(produce).partitions[0].error.code(),
            0
        );
    }
}

#[test]
fn more_requests_than_may_be_in_flight_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let key = TopicKey::Name("furrow");
    let mut sent = Vec::new();
    for _ in 0..500 {
        sent.push(client.send_produce(9, -1, key, &[(0, batch(&["x"]))]));
    }
    for (offset, sent) in (0..).zip(sent) {
        let response = client.receive_produce(sent);
        assert_eq!(response.partitions[0].base_offset, offset);
    }
}

#[test]
fn what_is_no_request_ends_the_connection_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut bystander = node.client();
    let negative = (-1_i32).to_be_bytes().to_vec();
    let huge = i32::MAX.to_be_bytes().to_vec();
    let large_first_frame = [&(1_i32 << 20).to_be_bytes()[..], &[0, 0, 0, 9]].concat();
    let unknown_api = [&[0, 0, 0, 8][..], &[0, 99, 0, 0, 0, 0, 0, 1]].concat();
    let old_produce = [&[0, 0, 0, 8][..], &[0, 0, 0, 2, 0, 0, 0, 1]].concat();
    let cut_metadata = [
        &[0, 0, 0, 12][..],
        &[0, 3, 0, 1, 0, 0, 0, 1, 255, 255, 0, 0],
    ]
    .concat();
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for bytes in [
        negative,
        huge,
        large_first_frame,
        unknown_api,
        old_produce,
        cut_metadata,
        http,
    ] {
        let mut client = node.client();
        client.send_bytes(&bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    bystander.create("furrow");
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_and_the_connection_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.send_bytes(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 7, 255, 255]);
    let frame = client.frame();
    assert_eq!(&frame[..6], &[0, 0, 0, 7, 0, 35]);
    let mut request = ApiVersionsRequest::default();
    request.client_software_name = StrBytes::from("test");
    request.client_software_version = StrBytes::from("1");
    let response: ApiVersionsResponse = client.ask(Api::ApiVersions, 4, &request);
    assert_eq!(response.error_code, 0);
    assert!(
        response
            .api_keys
            .iter()
            .any(|row| row.api_key == 0 && row.min_version == 0)
    );
}

#[test]
fn a_request_that_arrives_byte_by_byte_is_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    let mut out = BytesMut::new();
    encode_request(&mut out, 1, 5, None, &MetadataRequest::default()).unwrap();
    for byte in &out {
        client.send_bytes(std::slice::from_ref(byte));
    }
    assert_eq!(&client.frame()[..4], &[0, 0, 0, 5]);
}

#[test]
fn a_client_that_stops_within_a_frame_is_given_up_sooner_than_an_idle_one() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Ahead {
        clock: SystemClock::new(),
        ahead_ms: AtomicU64::new(0),
    });
    let node = Node::start_at(folder.path(), clock.clone(), |_| {});
    let (mut stuck, mut idle) = (node.client(), node.client());
    idle.create("furrow");
    stuck.await_topic("furrow");
    stuck.send_bytes(&[0, 0, 0, 100, 0, 3]);
    // The broker may see these bytes at any time, and counts from then on.
    let later = |client: &mut Client, by_ms| {
        clock.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
        client.is_closed_within(Duration::from_millis(200))
    };
    let started = Instant::now();
    while !later(&mut stuck, 31_000) {
        assert!(
            started.elapsed() < PATIENCE,
            "the stuck client is not given up"
        );
        idle.await_topic("furrow");
    }
    idle.await_topic("furrow");
    while !later(&mut idle, 601_000) {
        assert!(
            started.elapsed() < 2 * PATIENCE,
            "the idle client is not given up"
        );
    }
}

#[test]
fn connections_beyond_the_limit_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| options.connections_max = 2);
    let (mut first, mut second) = (node.client(), node.client());
    first.create("furrow");
    second.await_topic("furrow");
    assert!(node.client().is_closed());
    drop(first);
    second.create("plough");
}

#[test]
fn a_deleted_topic_comes_back_as_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let old = client.topic("furrow").topic_id;
    client.produce("furrow", &[(0, batch(&["x"]))]);
    let mut delete = DeleteTopicsRequest::default();
    delete.topic_names = vec![StrBytes::from("furrow"), StrBytes::from("no")];
    delete.timeout_ms = 30_000;
    let response: DeleteTopicsResponse = client.ask(Api::DeleteTopics, 5, &delete);
    let codes: Vec<_> = response.responses.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, 3]);
    assert_eq!(client.topic("furrow").error_code, 3);
    client.create("furrow");
    let new = client.topic("furrow").topic_id;
    assert_ne!(old, new);
    let by_id =
        |id: sillon_protocol::message::Uuid| TopicKey::Id(sillon_record::TopicId(id.to_bytes()));
    let sent = client.send_fetch(13, FetchHead::default(), by_id(old), &[partition(0, 0)]);
    assert_eq!(client.receive_fetch(sent).partitions[0].error.code(), 100);
    let sent = client.send_fetch(13, FetchHead::default(), by_id(new), &[partition(0, 0)]);
    assert!(values(&client.receive_fetch(sent).partitions[0].records).is_empty());
}

#[test]
fn refused_creations_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let topic = |name: &str, partitions, factor| {
        let mut topic = create_topics_request::CreatableTopic::default();
        topic.name = StrBytes::from(name);
        topic.num_partitions = partitions;
        topic.replication_factor = factor;
        topic
    };
    let mut request = CreateTopicsRequest::default();
    request.topics = vec![
        topic("furrow", 1, 1),
        topic("a b", 1, 1),
        topic("c", 0, 1),
        topic("d", 1, 2),
        topic("e", -1, -1),
    ];
    request.timeout_ms = 30_000;
    request.validate_only = true;
    let response: CreateTopicsResponse = client.ask(Api::CreateTopics, 7, &request);
    let codes: Vec<_> = response.topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [36, 17, 37, 38, 0]);
    assert_eq!(response.topics[4].num_partitions, 4);
    assert!(response.topics[0].error_message.is_some());
    assert_eq!(client.topic("e").error_code, 3, "it was only validated");
}

#[test]
fn metadata_creates_topics_where_both_sides_allow_it() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |node: &Node, name: &str, allow| {
        let mut topic = metadata_request::MetadataRequestTopic::default();
        topic.name = Some(StrBytes::from(name));
        let mut request = MetadataRequest::default();
        request.topics = Some(vec![topic]);
        request.allow_auto_topic_creation = allow;
        let response: MetadataResponse = node.client().ask(Api::Metadata, 9, &request);
        (
            response.topics[0].error_code,
            response.topics[0].partitions.len(),
        )
    };
    let node = Node::start(folder.path());
    assert_eq!(ask(&node, "furrow", false), (3, 0));
    assert_eq!(ask(&node, "furrow", true), (0, 4));
    node.stop();
    let node = Node::start_with(folder.path(), |options| options.auto_create_topics = false);
    assert_eq!(ask(&node, "plough", true), (3, 0));
    assert_eq!(ask(&node, "furrow", true), (0, 4));
}

#[test]
fn producer_ids_are_fresh_also_after_a_restart_and_transactions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = |node: &Node| {
        let mut request = InitProducerIdRequest::default();
        request.transactional_id = None;
        let response: InitProducerIdResponse = node.client().ask(Api::InitProducerId, 4, &request);
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        response.producer_id
    };
    let node = Node::start(folder.path());
    let before = [fresh(&node), fresh(&node)];
    assert_ne!(before[0], before[1]);
    let mut request = InitProducerIdRequest::default();
    request.transactional_id = Some(StrBytes::from("t"));
    let response: InitProducerIdResponse = node.client().ask(Api::InitProducerId, 4, &request);
    assert_eq!(response.error_code, 53);
    node.stop();
    let node = Node::start(folder.path());
    assert!(!before.contains(&fresh(&node)));
}

#[test]
fn offsets_and_epochs_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    client.produce("furrow", &[(0, batch(&["x", "y"]))]);
    let mut topic = list_offsets_request::ListOffsetsTopic::default();
    topic.name = StrBytes::from("furrow");
    for (index, timestamp) in [(0, -1), (1, -2), (2, -1), (3, 5), (9, -1)] {
        let mut partition = list_offsets_request::ListOffsetsPartition::default();
        partition.partition_index = index;
        partition.current_leader_epoch = -1;
        partition.timestamp = timestamp;
        topic.partitions.push(partition);
    }
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    request.topics = vec![topic];
    let response: ListOffsetsResponse = client.ask(Api::ListOffsets, 7, &request);
    let found = response.topics[0].partitions.iter();
    let found: Vec<_> = found.map(|p| (p.error_code, p.offset)).collect();
    assert_eq!(found, [(0, 2), (0, 0), (0, 0), (0, -1), (3, -1)]);

    let epoch = client.topic("furrow").partitions[0].leader_epoch;
    let mut topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default();
    topic.topic = StrBytes::from("furrow");
    for (current, asked) in [(-1, epoch), (epoch, epoch + 1), (epoch + 1, epoch)] {
        let mut partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
        partition.current_leader_epoch = current;
        partition.leader_epoch = asked;
        topic.partitions.push(partition);
    }
    let mut request = OffsetForLeaderEpochRequest::default();
    request.topics = vec![topic];
    let response: OffsetForLeaderEpochResponse = client.ask(Api::OffsetForLeaderEpoch, 4, &request);
    let found = response.topics[0].partitions.iter();
    let found: Vec<_> = found.map(|p| (p.error_code, p.end_offset)).collect();
    assert_eq!(found, [(0, 2), (0, -1), (75, -1)]);
}

#[test]
fn a_client_is_told_the_address_of_the_listener_that_it_came_by() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = free.local_addr().unwrap();
    drop(free);
    let node = Node::start_with(folder.path(), |options| {
        options.more.push(ListenerOptions {
            listen: other,
            also_listen: Vec::new(),
            host: "outside".to_owned(),
            port: Some(7),
        });
    });
    let inside = i32::from(node.address.port());
    for (address, host, port) in [(node.address, "localhost", inside), (other, "outside", 7)] {
        let mut client = Client::connect(address);
        let request = MetadataRequest::default();
        let response: MetadataResponse = client.ask(Api::Metadata, 12, &request);
        let broker = &response.brokers[0];
        assert_eq!((&*broker.host, broker.port), (host, port));
        let request = DescribeClusterRequest::default();
        let response: DescribeClusterResponse = client.ask(Api::DescribeCluster, 0, &request);
        let broker = &response.brokers[0];
        assert_eq!((&*broker.host, broker.port), (host, port));
    }
}
