//! What goes over a limit of the server is refused, and nobody else notices.

mod house;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use house::{Client, Node, PATIENCE, batch};
use sillon_protocol::message::{
    CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, MetadataResponse, StrBytes,
    create_topics_request, encode_request, metadata_request,
};
use sillon_protocol::versions::SERVED;
use sillon_protocol::{Api, frame};
use sillon_runtime::{Clock, SystemClock};
use sillon_server::limits::UNTAKEN_MS;
use sillon_shard::Now;

/// The system's time and what the test adds to it.
struct Ahead {
    clock: SystemClock,
    ahead_ms: AtomicU64,
}

impl Ahead {
    fn new() -> Arc<Ahead> {
        Arc::new(Ahead {
            clock: SystemClock::new(),
            ahead_ms: AtomicU64::new(0),
        })
    }

    /// Moves on by `step_ms` at a time until the broker gives `client` up; how far that was, in
    /// ms. Between two steps the broker has time to look.
    fn until_closed(&self, client: &mut Client, step_ms: u64) -> u64 {
        let started = Instant::now();
        let mut passed_ms = 0;
        while !client.is_closed_within(Duration::from_millis(200)) {
            assert!(started.elapsed() < 2 * PATIENCE, "it is not given up");
            self.ahead_ms.fetch_add(step_ms, Ordering::Relaxed);
            passed_ms += step_ms;
        }
        passed_ms
    }
}

impl Clock for Ahead {
    fn now(&self) -> Now {
        let mut now = self.clock.now();
        now.mono_ns += self.ahead_ms.load(Ordering::Relaxed) * 1_000_000;
        now
    }
}

/// The beginning of a frame: its length, and the header of an API without client id.
fn start(length: usize, api: Api, version: i16) -> Vec<u8> {
    let mut bytes = (length as u32).to_be_bytes().to_vec();
    bytes.extend(api.key().to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 255, 255]);
    bytes
}

fn greets(node: &Node) -> Client {
    let mut client = node.client();
    let _: MetadataResponse = client.ask(Api::Metadata, 12, &MetadataRequest::default());
    client
}

#[test]
fn a_frame_over_its_apis_limit_ends_the_connection_before_and_after_the_first_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    for spec in SERVED {
        let (api, version) = (spec.api, spec.min);
        for first in [true, false] {
            let max = spec.limits(first).frame_bytes_max;
            let mut client = if first { node.client() } else { greets(&node) };
            client.send_bytes(&start(max + 1, api, version));
            assert!(client.is_closed(), "{api}, first: {first}");
        }
    }
    // The limits themselves are taken: the broker waits for the rest.
    let mut client = node.client();
    client.send_bytes(&start(frame::FIRST_FRAME_BYTES_MAX, Api::Metadata, 1));
    assert!(!client.is_closed_within(Duration::from_millis(100)));
}

#[test]
fn a_count_over_its_limit_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    for first in [true, false] {
        let max = Api::Metadata.spec().limits(first).array_elements_max;
        for (count, is_answered) in [(max, true), (max + 1, false)] {
            let mut client = if first { node.client() } else { greets(&node) };
            // Names of two bytes each, all of them empty.
            let mut request = start(10 + 4 + 2 * count, Api::Metadata, 1);
            request.extend((count as u32).to_be_bytes());
            request.resize(4 + 10 + 4 + 2 * count, 0);
            client.send_bytes(&request);
            if is_answered {
                assert_eq!(&client.frame()[..4], &[0, 0, 0, 1], "first: {first}");
            } else {
                assert!(client.is_closed(), "first: {first}");
            }
        }
    }
}

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| {
        options.connections_per_ip_max = Some(2);
    });
    let (first, mut second) = (greets(&node), greets(&node));
    assert!(node.client().is_closed());
    second.create("furrow");
    drop(first);
    // The broker sees the end of the first one at some time.
    let deadline = Instant::now() + PATIENCE;
    while node.client().is_closed_within(Duration::from_millis(100)) {
        assert!(Instant::now() < deadline, "its place is not free again");
    }
}

#[test]
fn an_override_for_an_address_goes_before_the_number_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| {
        options.connections_per_ip_max = Some(0);
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        options.connections_per_ip_overrides.insert(localhost, 1);
    });
    let _first = greets(&node);
    assert!(node.client().is_closed());
}

#[test]
fn a_stranger_who_says_nothing_is_given_up_long_before_an_idle_client() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Ahead::new();
    let node = Node::start_at(folder.path(), clock.clone(), |_| {});
    let (mut stranger, mut idle) = (node.client(), greets(&node));
    let passed_ms = clock.until_closed(&mut stranger, 5_000);
    assert!(passed_ms < 300_000, "{passed_ms}");
    idle.create("furrow");
}

#[test]
fn the_idle_time_is_what_the_options_say() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Ahead::new();
    let node = Node::start_at(folder.path(), clock.clone(), |options| {
        options.idle_ms = Some(60_000);
    });
    let mut idle = greets(&node);
    let passed_ms = clock.until_closed(&mut idle, 30_000);
    assert!((60_000..600_000).contains(&passed_ms), "{passed_ms}");
    node.stop();

    let clock = Ahead::new();
    let node = Node::start_at(folder.path(), clock.clone(), |options| {
        options.idle_ms = None;
    });
    let (mut idle, mut stranger) = (greets(&node), node.client());
    // What ends the stranger would have ended the idle one.
    clock.until_closed(&mut stranger, 3_600_000);
    idle.create("furrow");
}

#[test]
fn a_client_that_takes_no_byte_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Ahead::new();
    let node = Node::start_at(folder.path(), clock.clone(), |_| {});
    let mut stuck = greets(&node);
    stuck.create("furrow");
    let mut request = BytesMut::new();
    encode_request(&mut request, 1, 7, None, &MetadataRequest::default()).unwrap();
    let started = Instant::now();
    let mut send = |patience| {
        assert!(started.elapsed() < 2 * PATIENCE, "the broker reads on");
        stuck.send_error(&request, patience)
    };
    // Until the answers fill its socket and the broker reads no more of it.
    while send(Duration::from_millis(500)).is_none() {}
    let mut bystander = greets(&node);
    while send(Duration::from_millis(200)).is_none_or(|kind| kind == ErrorKind::WouldBlock) {
        clock.ahead_ms.fetch_add(20_000, Ordering::Relaxed);
        bystander.await_topic("furrow");
    }
}

#[test]
fn clients_that_leave_large_answers_lying_are_given_up_when_these_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Ahead::new();
    // On each shard answers may hold 64 KiB, which is less than one that fills its socket.
    let node = Node::start_at(folder.path(), clock.clone(), |options| {
        options.send_bytes = 256 << 10;
    });
    let mut others: Vec<Client> = (0..2).map(|_| greets(&node)).collect();
    let mut stuck: Vec<Client> = (0..4).map(|_| greets(&node)).collect();
    // Names of nothing come back.
    let name = |number| {
        let mut topic = metadata_request::MetadataRequestTopic::default();
        topic.name = Some(StrBytes::from(format!("{number:0200}")));
        topic
    };
    let mut metadata = MetadataRequest::default();
    metadata.allow_auto_topic_creation = false;
    metadata.topics = Some((0..100).map(name).collect());
    let mut request = BytesMut::new();
    encode_request(&mut request, 8, 7, None, &metadata).unwrap();
    let started = Instant::now();
    for client in &mut stuck {
        while client
            .send_error(&request, Duration::from_millis(500))
            .is_none()
        {
            assert!(started.elapsed() < 2 * PATIENCE, "the broker reads on");
        }
    }
    // Far less than what a client has that is alone with its answers.
    clock.ahead_ms.fetch_add(2 * UNTAKEN_MS, Ordering::Relaxed);
    let is_given_up = |client: &mut Client| {
        let error = client.send_error(&request, Duration::from_millis(100));
        error.is_some_and(|kind| kind != ErrorKind::WouldBlock)
    };
    while stuck
        .iter_mut()
        .filter_map(|client| is_given_up(client).then_some(()))
        .count()
        < 2
    {
        assert!(started.elapsed() < 2 * PATIENCE, "they are not given up");
    }
    for client in &mut others {
        let _: MetadataResponse = client.ask(Api::Metadata, 12, &MetadataRequest::default());
    }
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_given_up_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Ahead::new();
    let node = Node::start_at(folder.path(), clock.clone(), |_| {});
    let mut slow = greets(&node);
    slow.send_bytes(&start(1 << 20, Api::Produce, 3));
    let started = Instant::now();
    // Each byte comes long before the patience for a frame is over.
    while !slow.is_closed_within(Duration::from_millis(200)) {
        assert!(started.elapsed() < 2 * PATIENCE, "it is not given up");
        clock.ahead_ms.fetch_add(10_000, Ordering::Relaxed);
        if !slow.sends(&[0]) {
            break;
        }
    }
}

#[test]
fn a_huge_frame_that_does_not_come_keeps_nobody_with_usual_ones_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| options.receive_bytes = 16 << 20);
    let mut bystander = greets(&node);
    bystander.create("furrow");
    // Twice as many as there is room for, on both shards.
    let slow: Vec<Client> = (0..8)
        .map(|_| {
            let mut slow = greets(&node);
            slow.send_bytes(&start(4 << 20, Api::Produce, 3));
            slow
        })
        .collect();
    for _ in 0..8 {
        let mut client = greets(&node);
        client.await_topic("furrow");
        let answers = client.produce("furrow", &[(0, batch(&["x"]))]);
        assert_eq!(answers[0].0, 0);
    }
    drop(slow);
}

#[test]
fn a_frame_that_is_larger_than_the_memory_for_frames_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| options.receive_bytes = 16 << 20);
    let mut client = greets(&node);
    client.send_bytes(&start((4 << 20) + 1, Api::Produce, 3));
    assert!(client.is_closed());
}

#[test]
fn a_creation_of_very_many_topics_is_answered_with_a_bounded_number_of_configs() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = greets(&node);
    let topic = |number: usize| {
        let mut topic = create_topics_request::CreatableTopic::default();
        topic.name = StrBytes::from(format!("furrow-{number}"));
        topic.num_partitions = 1;
        topic.replication_factor = 1;
        topic
    };
    let mut request = CreateTopicsRequest::default();
    request.topics = (0..10_000).map(topic).collect();
    request.timeout_ms = 30_000;
    request.validate_only = true;
    let response: CreateTopicsResponse = client.ask(Api::CreateTopics, 7, &request);
    assert!(response.topics.iter().all(|topic| topic.error_code == 0));
    let told = |topic: &&_| -> bool {
        let topic: &sillon_protocol::message::create_topics_response::CreatableTopicResult = topic;
        topic.topic_config_error_code == 0
    };
    let (with, without): (Vec<_>, Vec<_>) = response.topics.iter().partition(told);
    let configs =
        |topic: &&sillon_protocol::message::create_topics_response::CreatableTopicResult| {
            topic.configs.as_ref().map_or(0, Vec::len)
        };
    let values: usize = with.iter().map(configs).sum();
    assert!(
        (1..=sillon_controller::CREATED_CONFIGS_MAX).contains(&values),
        "{values}"
    );
    assert!(!without.is_empty());
    assert!(without.iter().all(|topic| topic.configs.is_none()));
}
