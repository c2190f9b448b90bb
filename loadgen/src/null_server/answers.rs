//! What the null server answers to each API.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{
    FetchRequest, FetchResponseHead, FetchResponseWriter, PartitionFetched,
};
use sillon_protocol::frame::RequestHeader;
use sillon_protocol::message::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    InitProducerIdResponse, KafkaResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, StrBytes, Uuid, api_versions, create_topics_response,
    decode_request, delete_topics_response, encode_response, list_offsets_response,
    metadata_response,
};
use sillon_protocol::produce::{PartitionProduced, ProduceRequest, ProduceResponseWriter};
use sillon_protocol::{Api, ErrorCode, Frame, TopicKey};

use super::log::{Cluster, Topic};
use super::{Behaviour, Lie, next_request, shared};

/// The only broker.
const BROKER: i32 = 1;

/// Between two looks whether something to fetch has come.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// What all connections share.
#[derive(Debug)]
pub struct Answering {
    /// Topics.
    pub cluster: Arc<Cluster>,
    /// What else it does.
    pub behaviour: Arc<Behaviour>,
    /// Produce requests so far.
    pub produced: Arc<AtomicU64>,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    shared: Answering,
    /// The topic that was asked for last.
    topic: Option<Arc<Topic>>,
}

/// A frame that is decoded where it is.
#[derive(Clone, Copy)]
struct View<'a>(&'a [u8]);

impl AsRef<[u8]> for View<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Frame for View<'_> {
    fn part(&self, range: Range<usize>) -> Self {
        View(&self.0[range])
    }
}

impl Session {
    /// A connection that has said nothing yet.
    pub fn new(shared: Answering) -> Session {
        Session {
            shared,
            topic: None,
        }
    }

    /// Appends the answer to a request.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn answer(&mut self, frame: &[u8], out: &mut BytesMut) -> io::Result<()> {
        let header = RequestHeader::decode(frame, false).map_err(io::Error::other)?;
        let cluster = &self.shared.cluster;
        let answers = Answers { frame, header, out };
        match header.api {
            Api::Produce => self.produce(answers),
            Api::Fetch => self.fetch(answers),
            Api::ApiVersions => answers.give(&api_versions()),
            Api::Metadata => {
                let request = answers.request()?;
                answers.give(&metadata(cluster, request))
            }
            Api::CreateTopics => {
                let request = answers.request()?;
                answers.give(&create(cluster, request))
            }
            Api::DeleteTopics => {
                let request = answers.request()?;
                answers.give(&delete(cluster, request))
            }
            Api::ListOffsets => {
                let request = answers.request()?;
                answers.give(&list_offsets(cluster, request))
            }
            Api::InitProducerId => {
                let mut response = InitProducerIdResponse::default();
                response.producer_id = 7000 + next_request(&self.shared.produced) as i64;
                answers.give(&response)
            }
            api => Err(io::Error::other(format!("{api} is not served"))),
        }
    }

    fn topic<T: AsRef<str>>(&mut self, key: &TopicKey<T>) -> Option<Arc<Topic>> {
        let is_same = |topic: &Arc<Topic>| match key {
            TopicKey::Id(id) => topic.id == *id,
            TopicKey::Name(_) => false,
        };
        if !self.topic.as_ref().is_some_and(is_same) {
            self.topic = self.shared.cluster.topic(key);
        }
        self.topic.clone()
    }

    fn lie(&self) -> Option<Lie> {
        let (at, lie) = self.shared.behaviour.lie?;
        (next_request(&self.shared.produced) == at).then_some(lie)
    }

    fn produce(&mut self, answers: Answers<'_>) -> io::Result<()> {
        let Answers { frame, header, out } = answers;
        let mut request = ProduceRequest::default();
        request
            .decode(&View(frame), header.version, header.body, false)
            .map_err(io::Error::other)?;
        let lie = self.lie();
        match lie {
            Some(Lie::Stall(duration)) => thread::sleep(duration),
            Some(Lie::HangUp) => return Err(io::Error::other("told to hang up")),
            _ => {}
        }
        let is_storing = self.shared.behaviour.is_storing;
        let before = out.len();
        let topics = request.topics.len();
        let mut writer =
            ProduceResponseWriter::begin(out, header.version, header.correlation_id, topics);
        for topic in &request.topics {
            writer.topic(topic.key.as_ref(), topic.partitions.len());
            let found = self.topic(&topic.key);
            for partition in request.partitions_of(topic) {
                let batch = partition
                    .records
                    .as_ref()
                    .map_or(&[][..], |records| records.0);
                let log = found.as_ref().and_then(|topic| topic.log(partition.index));
                let mut produced =
                    PartitionProduced::<&str>::failed(partition.index, ErrorCode::None);
                match log {
                    _ if lie == Some(Lie::Refuse) => {
                        produced.error = ErrorCode::NotLeaderOrFollower
                    }
                    None => produced.error = ErrorCode::UnknownTopicOrPartition,
                    Some(mut log) => match log.append(batch, is_storing, lie) {
                        Some(offset) => produced.base_offset = offset,
                        None => produced.error = ErrorCode::CorruptMessage,
                    },
                }
                writer.partition(&produced);
            }
        }
        writer.finish::<&str>(0, &[]);
        if request.acks == 0 {
            out.truncate(before);
        }
        Ok(())
    }

    fn fetch(&mut self, answers: Answers<'_>) -> io::Result<()> {
        let Answers { frame, header, out } = answers;
        let frame = shared(frame);
        let mut request = FetchRequest::<Slice>::default();
        request
            .decode(&frame, header.version, header.body, false)
            .map_err(io::Error::other)?;
        let wait = Duration::from_millis(request.head.max_wait_ms.max(0) as u64);
        let deadline = Instant::now() + wait;
        loop {
            let before = out.len();
            let is_empty = !self.put_fetched(&request, &header, out);
            if !is_empty || Instant::now() >= deadline {
                return Ok(());
            }
            out.truncate(before);
            thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// Whether there is anything in the answer.
    fn put_fetched(
        &mut self,
        request: &FetchRequest<Slice>,
        header: &RequestHeader<'_>,
        out: &mut BytesMut,
    ) -> bool {
        let mut written = BytesMut::new();
        let head = FetchResponseHead::default();
        let mut writer = FetchResponseWriter::begin(
            &mut written,
            header.version,
            header.correlation_id,
            head,
            request.topics.len(),
        );
        let mut gaps = Vec::new();
        let mut left = request.head.max_bytes.max(0) as usize;
        let mut has_any = false;
        for topic in &request.topics {
            writer.topic(topic.key.as_ref(), topic.partitions.len());
            let found = self.topic(&topic.key);
            for asked in request.partitions_of(topic) {
                let mut fetched = PartitionFetched::failed(asked.index, ErrorCode::None);
                let mut records = Vec::new();
                match found.as_ref().and_then(|topic| topic.log(asked.index)) {
                    None => fetched.error = ErrorCode::UnknownTopicOrPartition,
                    Some(log) if asked.offset > log.end || asked.offset < 0 => {
                        fetched.error = ErrorCode::OffsetOutOfRange;
                    }
                    Some(log) => {
                        fetched.high_watermark = log.end;
                        let max_bytes = left.min(asked.max_bytes.max(0) as usize);
                        if max_bytes > 0 {
                            records = log.read(asked.offset, max_bytes).to_vec();
                        }
                    }
                }
                left = left.saturating_sub(records.len());
                has_any |= !records.is_empty() || fetched.error.is_error();
                fetched.records = records.len();
                gaps.push((writer.partition(&fetched), records));
            }
        }
        writer.finish::<&str>(&[]);
        let mut from = 0;
        for (at, records) in gaps {
            out.extend_from_slice(&written[from..at]);
            out.extend_from_slice(&records);
            from = at;
        }
        out.extend_from_slice(&written[from..]);
        has_any
    }
}

/// A request and where its answer goes.
struct Answers<'a> {
    frame: &'a [u8],
    header: RequestHeader<'a>,
    out: &'a mut BytesMut,
}

impl Answers<'_> {
    fn request<M: sillon_protocol::message::KafkaRequest>(&self) -> io::Result<M> {
        let frame = shared(self.frame);
        decode_request(&frame, self.header.version, self.header.body, false)
            .map_err(io::Error::other)
    }

    fn give(self, response: &impl KafkaResponse) -> io::Result<()> {
        let RequestHeader {
            version,
            correlation_id,
            ..
        } = self.header;
        encode_response(self.out, version, correlation_id, response).map_err(io::Error::other)
    }
}

fn metadata(cluster: &Cluster, request: MetadataRequest) -> MetadataResponse {
    let mut response = MetadataResponse::default();
    let mut broker = metadata_response::MetadataResponseBroker::default();
    broker.node_id = BROKER;
    broker.host = StrBytes::from("127.0.0.1");
    broker.port = i32::from(cluster.port);
    broker.rack = None;
    response.brokers.push(broker);
    response.controller_id = BROKER;
    let topics = cluster.topics();
    let asked: Vec<String> = match request.topics {
        None => topics.iter().map(|(name, _)| name.clone()).collect(),
        Some(asked) => {
            let names = asked.iter().filter_map(|topic| topic.name.as_deref());
            names.map(str::to_string).collect()
        }
    };
    for name in asked {
        let mut told = metadata_response::MetadataResponseTopic::default();
        told.name = Some(StrBytes::from(name.as_str()));
        match topics.iter().find(|(known, _)| *known == name) {
            None => told.error_code = ErrorCode::UnknownTopicOrPartition.code(),
            Some((_, topic)) => {
                told.topic_id = Uuid::from_bytes(topic.id.0);
                for index in 0..topic.partitions.len() {
                    let mut partition = metadata_response::MetadataResponsePartition::default();
                    partition.partition_index = index as i32;
                    partition.leader_id = BROKER;
                    partition.leader_epoch = 0;
                    partition.replica_nodes = vec![BROKER];
                    partition.isr_nodes = vec![BROKER];
                    told.partitions.push(partition);
                }
            }
        }
        response.topics.push(told);
    }
    response
}

fn create(cluster: &Cluster, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut response = CreateTopicsResponse::default();
    for topic in request.topics {
        let mut result = create_topics_response::CreatableTopicResult::default();
        result.error_message = None;
        match cluster.create(&topic.name, topic.num_partitions.max(1) as usize) {
            Some(id) => result.topic_id = Uuid::from_bytes(id.0),
            None => result.error_code = ErrorCode::TopicAlreadyExists.code(),
        }
        result.name = topic.name;
        response.topics.push(result);
    }
    response
}

fn delete(cluster: &Cluster, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let mut response = DeleteTopicsResponse::default();
    let named = request.topics.into_iter().filter_map(|topic| topic.name);
    for name in request.topic_names.into_iter().chain(named) {
        let mut result = delete_topics_response::DeletableTopicResult::default();
        if !cluster.delete(&name) {
            result.error_code = ErrorCode::UnknownTopicOrPartition.code();
        }
        result.error_message = None;
        result.name = Some(name);
        response.responses.push(result);
    }
    response
}

fn list_offsets(cluster: &Cluster, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let mut told = list_offsets_response::ListOffsetsTopicResponse::default();
        let found = cluster.topic(&TopicKey::Name(&*topic.name));
        for asked in topic.partitions {
            let mut answer = list_offsets_response::ListOffsetsPartitionResponse::default();
            answer.partition_index = asked.partition_index;
            match found
                .as_ref()
                .and_then(|topic| topic.log(asked.partition_index))
            {
                None => answer.error_code = ErrorCode::UnknownTopicOrPartition.code(),
                Some(log) => {
                    answer.offset = match asked.timestamp {
                        -1 => log.end,
                        -2 => 0,
                        _ => -1,
                    }
                }
            }
            told.partitions.push(answer);
        }
        told.name = topic.name;
        response.topics.push(told);
    }
    response
}
