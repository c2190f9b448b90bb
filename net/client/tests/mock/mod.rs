//! A broker in memory with one node, which fails when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use bytes::BytesMut;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{
    FetchRequest, FetchResponseHead, FetchResponseWriter, PartitionFetched,
};
use sillon_protocol::frame::{LENGTH_BYTES, RequestHeader, check_length};
use sillon_protocol::message::*;
use sillon_protocol::produce::{PartitionProduced, ProduceRequest, ProduceResponseWriter};
use sillon_protocol::{Api, ErrorCode, NodeEndpoint, Text, TopicKey};
use sillon_record::{
    BatchHeader, BatchInfo, BatchRules, LeaderEpoch, Offset, Producer, Scratch, TopicId,
    ValidBatch, patch_placement,
};

/// What happens to a Produce request instead of what should.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing is appended, every partition is answered with this.
    Refuse(ErrorCode),
    /// Records are appended, then the connection ends without an answer.
    LoseAnswer,
    /// The answer says that it belongs to another request.
    WrongAnswer,
}

#[derive(Default)]
pub struct State {
    pub topics: BTreeMap<String, Topic>,
    pub faults: VecDeque<Fault>,
    /// Highest version of an API, where it is lower than it could be.
    pub newest: BTreeMap<Api, i16>,
    /// Base sequences of the batches that came, appended or not.
    pub sequences: Vec<i32>,
}

pub struct Topic {
    pub id: TopicId,
    pub partitions: Vec<Log>,
}

#[derive(Default)]
pub struct Log {
    pub bytes: Vec<u8>,
    pub next_offset: i64,
    last: Option<(Producer, i32, i64)>,
}

pub struct Mock {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Mock {
    pub fn start() -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, port) = (state.clone(), listener.local_addr().unwrap().port());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, stream) = (shared.clone(), stream.unwrap());
                thread::spawn(move || serve(stream, &state, port));
            }
        });
        Mock { address, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn topic(&self, name: &str, partitions: usize) {
        let topic = Topic {
            id: TopicId([name.len() as u8; 16]),
            partitions: (0..partitions).map(|_| Log::default()).collect(),
        };
        self.state().topics.insert(name.to_string(), topic);
    }
}

/// Answers requests until the client is gone or a fault ends the connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>, port: u16) {
    loop {
        let mut length = [0; LENGTH_BYTES];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut frame = vec![0; check_length(length, false).unwrap()];
        stream.read_exact(&mut frame).unwrap();
        let mut out = BytesMut::new();
        let is_over = answer(&frame, &mut state.lock().unwrap(), port, &mut out);
        stream.write_all(&out).unwrap();
        if is_over {
            return;
        }
    }
}

/// Whether the connection ends after what is in `out`.
fn answer(frame: &[u8], state: &mut State, port: u16, out: &mut BytesMut) -> bool {
    let frame = Slice::copy_of(frame);
    let header = RequestHeader::decode(&frame, false).unwrap();
    let (version, id) = (header.version, header.correlation_id);
    let newest = state.newest.get(&header.api).copied();
    if newest.is_some_and(|newest| version > newest) {
        assert_eq!(header.api, Api::ApiVersions, "only it may be asked in vain");
        unsupported_api_versions(out, id);
        return false;
    }
    macro_rules! request {
        () => {
            decode_request(&frame, version, header.body, false).unwrap()
        };
    }
    macro_rules! respond {
        ($message:expr) => {
            encode_response(out, version, id, &$message).unwrap()
        };
    }
    match header.api {
        Api::ApiVersions => respond!(versions(state)),
        Api::Metadata => respond!(metadata(state, request!(), port)),
        Api::InitProducerId => {
            let mut response = InitProducerIdResponse::default();
            response.producer_id = 7;
            respond!(response);
        }
        Api::CreateTopics => respond!(create(state, request!())),
        Api::DeleteTopics => respond!(delete(state, request!())),
        Api::ListOffsets => respond!(list_offsets(state, request!())),
        Api::Produce => return produce(&frame, &header, state, out),
        Api::Fetch => fetch(&frame, &header, state, out),
        api => panic!("{api} is not mocked"),
    }
    false
}

fn versions(state: &State) -> ApiVersionsResponse {
    let mut response = api_versions();
    for row in &mut response.api_keys {
        let newest = Api::from_key(row.api_key).and_then(|api| state.newest.get(&api));
        row.max_version = newest.copied().unwrap_or(row.max_version);
    }
    response
}

fn metadata(state: &State, request: MetadataRequest, port: u16) -> MetadataResponse {
    let mut response = MetadataResponse::default();
    let mut broker = metadata_response::MetadataResponseBroker::default();
    broker.node_id = 1;
    broker.host = StrBytes::from("127.0.0.1");
    broker.port = i32::from(port);
    broker.rack = None;
    response.brokers.push(broker);
    response.controller_id = 1;
    let asked: Vec<String> = match request.topics {
        None => state.topics.keys().cloned().collect(),
        Some(topics) => topics
            .iter()
            .map(|t| t.name.as_deref().unwrap().to_string())
            .collect(),
    };
    for name in asked {
        let mut told = metadata_response::MetadataResponseTopic::default();
        told.name = Some(StrBytes::from(name.as_str()));
        match state.topics.get(&name) {
            None => told.error_code = ErrorCode::UnknownTopicOrPartition.code(),
            Some(topic) => {
                told.topic_id = Uuid::from_bytes(topic.id.0);
                for index in 0..topic.partitions.len() {
                    let mut partition = metadata_response::MetadataResponsePartition::default();
                    partition.partition_index = index as i32;
                    partition.leader_id = 1;
                    partition.leader_epoch = 3;
                    partition.replica_nodes = vec![1];
                    partition.isr_nodes = vec![1];
                    told.partitions.push(partition);
                }
            }
        }
        response.topics.push(told);
    }
    response
}

fn create(state: &mut State, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut response = CreateTopicsResponse::default();
    for topic in request.topics {
        let mut result = create_topics_response::CreatableTopicResult::default();
        result.name = topic.name.clone();
        if state.topics.contains_key(&*topic.name) {
            result.error_code = ErrorCode::TopicAlreadyExists.code();
            result.error_message = Some(StrBytes::from("it is there"));
        } else {
            let id = TopicId([9; 16]);
            result.topic_id = Uuid::from_bytes(id.0);
            let partitions = (0..topic.num_partitions).map(|_| Log::default()).collect();
            state
                .topics
                .insert(topic.name.to_string(), Topic { id, partitions });
        }
        response.topics.push(result);
    }
    response
}

fn delete(state: &mut State, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let mut response = DeleteTopicsResponse::default();
    let named = request.topics.into_iter().filter_map(|topic| topic.name);
    for name in request.topic_names.into_iter().chain(named) {
        let mut result = delete_topics_response::DeletableTopicResult::default();
        if state.topics.remove(&*name).is_none() {
            result.error_code = ErrorCode::UnknownTopicOrPartition.code();
        }
        result.error_message = None;
        result.name = Some(name);
        response.responses.push(result);
    }
    response
}

fn list_offsets(state: &State, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let mut told = list_offsets_response::ListOffsetsTopicResponse::default();
        for asked in topic.partitions {
            let log = &state.topics[&*topic.name].partitions[asked.partition_index as usize];
            let mut found = list_offsets_response::ListOffsetsPartitionResponse::default();
            found.partition_index = asked.partition_index;
            found.offset = match asked.timestamp {
                -1 => log.next_offset,
                -2 => 0,
                _ => -1,
            };
            told.partitions.push(found);
        }
        told.name = topic.name;
        response.topics.push(told);
    }
    response
}

impl State {
    fn logs(&mut self, key: &TopicKey<Text<Slice>>) -> &mut Vec<Log> {
        let mut topics = self.topics.iter_mut();
        let found = topics.find(|(name, topic)| match key {
            TopicKey::Name(asked) => **asked == ***name,
            TopicKey::Id(id) => topic.id == *id,
        });
        &mut found.unwrap().1.partitions
    }
}

impl Log {
    /// Appends a batch as a broker would: checked, and once.
    fn append(&mut self, records: &Slice) -> Result<i64, ErrorCode> {
        let rules = BatchRules::defaults(i64::MAX / 2);
        let mut scratch = Scratch::default();
        let batch = ValidBatch::check(records.clone(), &rules, &mut scratch);
        let info: BatchInfo = *batch.map_err(|_| ErrorCode::InvalidRecord)?.info();
        if let Some(producer) = info.producer {
            let first = info.base_sequence;
            match self.last {
                Some((same, sequence, offset)) if same == producer && sequence == first => {
                    return Ok(offset);
                }
                _ => self.last = Some((producer, first, self.next_offset)),
            }
        }
        let mut copy = records.to_vec();
        patch_placement(&mut copy, Offset(self.next_offset), LeaderEpoch(3));
        self.bytes.extend(copy);
        let base_offset = self.next_offset;
        self.next_offset += info.offsets_count();
        Ok(base_offset)
    }
}

fn produce(
    frame: &Slice,
    header: &RequestHeader<'_>,
    state: &mut State,
    out: &mut BytesMut,
) -> bool {
    let mut request = ProduceRequest::default();
    request
        .decode(frame, header.version, header.body, false)
        .unwrap();
    let fault = state.faults.pop_front();
    let correlation_id = match fault {
        Some(Fault::WrongAnswer) => header.correlation_id + 1,
        _ => header.correlation_id,
    };
    let topics = request.topics.len();
    let mut writer = ProduceResponseWriter::begin(out, header.version, correlation_id, topics);
    for topic in &request.topics {
        writer.topic(topic.key.as_ref(), topic.partitions.len());
        for partition in request.partitions_of(topic) {
            let records = partition.records.as_ref().unwrap();
            state
                .sequences
                .push(BatchHeader::peek(records).unwrap().base_sequence());
            let log = &mut state.logs(&topic.key)[partition.index as usize];
            let appended = match fault {
                Some(Fault::Refuse(error)) => Err(error),
                _ => log.append(records),
            };
            let mut produced = PartitionProduced::<&str>::failed(partition.index, ErrorCode::None);
            match appended {
                Ok(base_offset) => produced.base_offset = base_offset,
                Err(error) => produced.error = error,
            }
            writer.partition(&produced);
        }
    }
    writer.finish::<&str>(0, &[]);
    if request.acks == 0 || matches!(fault, Some(Fault::LoseAnswer)) {
        out.clear();
    }
    matches!(fault, Some(Fault::LoseAnswer))
}

fn fetch(frame: &Slice, header: &RequestHeader<'_>, state: &mut State, out: &mut BytesMut) {
    let mut request = FetchRequest::default();
    request
        .decode(frame, header.version, header.body, false)
        .unwrap();
    let head = FetchResponseHead::default();
    let (version, topics) = (header.version, request.topics.len());
    let mut writer = FetchResponseWriter::begin(out, version, header.correlation_id, head, topics);
    let mut gaps = Vec::new();
    for topic in &request.topics {
        writer.topic(topic.key.as_ref(), topic.partitions.len());
        for asked in request.partitions_of(topic) {
            let log = &state.logs(&topic.key)[asked.index as usize];
            let mut fetched = PartitionFetched::failed(asked.index, ErrorCode::None);
            let mut records = Vec::new();
            if asked.offset > log.next_offset {
                fetched.error = ErrorCode::OffsetOutOfRange;
            } else {
                fetched.high_watermark = log.next_offset;
                // Whole batches, from the one that holds the offset on.
                for batch in sillon_record::Batches::new(&log.bytes) {
                    let batch = batch.unwrap();
                    if batch.header.last_offset().0 >= asked.offset {
                        records.extend_from_slice(batch.bytes);
                    }
                }
            }
            fetched.records = records.len();
            gaps.push((writer.partition(&fetched), records));
        }
    }
    let endpoints: &[NodeEndpoint<&str>] = &[];
    writer.finish(endpoints);
    let head = out.split();
    let mut from = 0;
    for (at, records) in gaps {
        out.extend_from_slice(&head[from..at]);
        out.extend_from_slice(&records);
        from = at;
    }
    out.extend_from_slice(&head[from..]);
}
