//! A node in this process, and a client that says exactly what a test wants.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sillon_protocol::fetch::{FetchHead, FetchPartition, FetchRequestWriter, FetchResponse};
use sillon_protocol::message::metadata_response::MetadataResponseTopic;
use sillon_protocol::message::{self, KafkaRequest, KafkaResponse, StrBytes};
use sillon_protocol::produce::{ProduceHead, ProduceRequestWriter, ProduceResponse};
use sillon_protocol::{Api, TopicKey, frame};
use sillon_record::{BatchBuilder, Batches, Compression, Records, Scratch};
use sillon_runtime::{Clock, Core, NodeError, NodeOptions, ServiceFuture, StopHandle, SystemClock};
use sillon_server::{Server, ServerOptions};

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    pub address: SocketAddr,
    stop: StopHandle,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

impl Node {
    /// A node of two shards on that folder.
    pub fn start(folder: &Path) -> Node {
        Node::start_with(folder, |_| {})
    }

    pub fn start_with(folder: &Path, change: impl FnOnce(&mut ServerOptions)) -> Node {
        Node::start_at(folder, Arc::new(SystemClock::new()), change)
    }

    pub fn start_at(
        folder: &Path,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Node {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = ServerOptions::new(listen, folder);
        change(&mut options);
        let server = Server::bind(options).unwrap();
        let address = server.local_addr();
        let mut node = NodeOptions::new(folder);
        node.shards = Some(2);
        node.memory_bytes = 128 << 20;
        node.journal_bytes = Some(16 << 20);
        node.port = address.port();
        node.catches_signals = false;
        node.clock = clock;
        node.controller.default_partitions = 4;
        // Tests bring their members at once.
        node.groups.initial_rebalance_delay_ms = 0;
        let stop = node.stop.clone();
        let (ready, is_ready) = mpsc::channel();
        node.ready = Box::new(move |_| ready.send(()).unwrap());
        let service = move |core: Core| -> ServiceFuture {
            let server = server.clone();
            Box::pin(async move {
                server.serve(core).await;
                Ok(())
            })
        };
        let thread = std::thread::spawn(move || sillon_runtime::run(node, service));
        is_ready.recv_timeout(PATIENCE).expect("the node is ready");
        Node {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn stop(mut self) {
        self.stop.stop();
        let thread = self.thread.take().unwrap();
        thread.join().unwrap().unwrap();
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub struct Client {
    stream: TcpStream,
    next_correlation_id: i32,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub api: Api,
    pub version: i16,
    pub correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            next_correlation_id: 0,
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As [`Self::send_bytes`]; false when the broker has ended the connection.
    pub fn sends(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends, and gives why that failed: `WouldBlock` when the broker does not take it in time.
    pub fn send_error(&mut self, bytes: &[u8], patience: Duration) -> Option<ErrorKind> {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let sent = self.stream.write_all(bytes);
        sent.err().map(|error| error.kind())
    }

    /// Waits until the broker ends the connection; false when it does not, or sends something.
    pub fn is_closed(&mut self) -> bool {
        self.is_closed_within(PATIENCE)
    }

    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match read {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// The next frame, without its length.
    pub fn frame(&mut self) -> Bytes {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Bytes::from(frame)
    }

    fn sent(&mut self, api: Api, version: i16) -> Sent {
        self.next_correlation_id += 1;
        Sent {
            api,
            version,
            correlation_id: self.next_correlation_id,
        }
    }

    pub fn send<M: KafkaRequest>(&mut self, api: Api, version: i16, request: &M) -> Sent {
        let sent = self.sent(api, version);
        let mut out = BytesMut::new();
        message::encode_request(&mut out, version, sent.correlation_id, Some("t"), request)
            .unwrap();
        self.send_bytes(&out);
        sent
    }

    /// The next response's frame and where its body begins. It must answer `sent`.
    fn body(&mut self, sent: Sent) -> (Bytes, usize) {
        let frame = self.frame();
        let (correlation_id, body) =
            frame::read_response_header(&frame, sent.api, sent.version).unwrap();
        assert_eq!(correlation_id, sent.correlation_id);
        (frame, body)
    }

    pub fn receive<M: KafkaResponse>(&mut self, sent: Sent) -> M {
        let (frame, body) = self.body(sent);
        message::decode_response(frame, sent.version, body).unwrap()
    }

    pub fn ask<M: KafkaRequest, R: KafkaResponse>(
        &mut self,
        api: Api,
        version: i16,
        request: &M,
    ) -> R {
        let sent = self.send(api, version, request);
        self.receive(sent)
    }

    pub fn send_produce(
        &mut self,
        version: i16,
        acks: i16,
        topic: TopicKey<&str>,
        batches: &[(i32, Vec<u8>)],
    ) -> Sent {
        let sent = self.sent(Api::Produce, version);
        let head = ProduceHead {
            transactional_id: None,
            acks,
            timeout_ms: 1000,
        };
        let mut out = BytesMut::new();
        let mut writer =
            ProduceRequestWriter::begin(&mut out, version, sent.correlation_id, None, head, 1);
        writer.topic(topic, batches.len());
        for (index, batch) in batches {
            writer.partition(*index, Some(batch));
        }
        writer.finish();
        self.send_bytes(&out);
        sent
    }

    pub fn receive_produce(&mut self, sent: Sent) -> ProduceResponse<Bytes> {
        let (frame, body) = self.body(sent);
        let mut response = ProduceResponse::default();
        response.decode(&frame, sent.version, body).unwrap();
        response
    }

    /// Produces with acks=all and gives each partition's error and base offset.
    pub fn produce(&mut self, topic: &str, batches: &[(i32, Vec<u8>)]) -> Vec<(i16, i64)> {
        let sent = self.send_produce(9, -1, TopicKey::Name(topic), batches);
        let response = self.receive_produce(sent);
        let partitions = response.partitions.iter();
        partitions
            .map(|p| (p.error.code(), p.base_offset))
            .collect()
    }

    pub fn send_fetch(
        &mut self,
        version: i16,
        head: FetchHead,
        topic: TopicKey<&str>,
        partitions: &[FetchPartition],
    ) -> Sent {
        self.send_fetch_in_session(version, head, &[(topic, partitions)], &[])
    }

    pub fn send_fetch_in_session(
        &mut self,
        version: i16,
        head: FetchHead,
        topics: &[(TopicKey<&str>, &[FetchPartition])],
        forgotten: &[(TopicKey<&str>, &[i32])],
    ) -> Sent {
        let sent = self.sent(Api::Fetch, version);
        let mut out = BytesMut::new();
        let correlation_id = sent.correlation_id;
        let mut writer =
            FetchRequestWriter::begin(&mut out, version, correlation_id, None, head, topics.len());
        for (topic, partitions) in topics {
            writer.topic(*topic, partitions.len());
            for partition in *partitions {
                writer.partition(partition);
            }
        }
        writer.finish(forgotten, "");
        self.send_bytes(&out);
        sent
    }

    pub fn receive_fetch(&mut self, sent: Sent) -> FetchResponse<Bytes> {
        let (frame, body) = self.body(sent);
        let mut response = FetchResponse::default();
        response.decode(&frame, sent.version, body).unwrap();
        response
    }

    /// Waits until this connection's executor knows the topic.
    pub fn await_topic(&mut self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.topic(name).error_code != 0 {
            assert!(Instant::now() < deadline, "{name} does not appear");
        }
    }

    /// What Metadata says of a topic.
    pub fn topic(&mut self, name: &str) -> MetadataResponseTopic {
        let mut topic = message::metadata_request::MetadataRequestTopic::default();
        topic.name = Some(StrBytes::from(name));
        let mut request = message::MetadataRequest::default();
        request.topics = Some(vec![topic]);
        request.allow_auto_topic_creation = false;
        let response: message::MetadataResponse = self.ask(Api::Metadata, 12, &request);
        response.topics.into_iter().next().unwrap()
    }

    /// Creates a topic of four partitions, which lie on both shards.
    pub fn create(&mut self, name: &str) {
        let mut topic = message::create_topics_request::CreatableTopic::default();
        topic.name = StrBytes::from(name);
        topic.num_partitions = 4;
        topic.replication_factor = 1;
        let mut request = message::CreateTopicsRequest::default();
        request.topics = vec![topic];
        request.timeout_ms = 30_000;
        let response: message::CreateTopicsResponse = self.ask(Api::CreateTopics, 7, &request);
        let created = &response.topics[0];
        assert_eq!(created.error_code, 0, "{:?}", created.error_message);
    }
}

pub fn partition(index: i32, offset: i64) -> FetchPartition {
    FetchPartition {
        index,
        current_leader_epoch: None,
        offset,
        last_fetched_epoch: None,
        log_start_offset: -1,
        max_bytes: 1 << 20,
    }
}

/// An uncompressed batch of records without keys.
pub fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder
            .append(1, None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.build()
}

/// The values of all records in an answer's `records`.
pub fn values(records: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    for batch in Batches::new(records).checking_crcs() {
        let batch = batch.unwrap();
        let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
        for record in Records::of(batch.bytes, &mut buffer, 0, &mut scratch).unwrap() {
            let value = record.unwrap().value.unwrap();
            values.push(String::from_utf8(value.to_vec()).unwrap());
        }
    }
    values
}
