//! The same messages, encoded by two codecs that are not ours.

use super::{Fetch, Fetched, Produce, Produced};

/// Builds a message field by field; names are the same in both crates, types are not.
macro_rules! set {
    ($type:path { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = <$type>::default();
        $(message.$field = $value;)*
        message
    }};
}

macro_rules! oracle {
    () => {
        pub fn produce(model: &Produce, version: i16) -> Vec<u8> {
            let mut message = set!(ProduceRequest {
                transactional_id: model.transactional_id.as_deref().map(transactional_id),
                acks: model.acks,
                timeout_ms: model.timeout_ms,
            });
            for topic in &model.topics {
                let mut told = produce_request::TopicProduceData::default();
                if version >= 13 {
                    told.topic_id = uuid(topic.id);
                } else {
                    told.name = topic_name(&topic.name);
                }
                for (index, records) in &topic.partitions {
                    told.partition_data
                        .push(set!(produce_request::PartitionProduceData {
                            index: *index,
                            records: records.clone().map(Bytes::from),
                        }));
                }
                message.topic_data.push(told);
            }
            encode(message, version)
        }

        pub fn produced(model: &Produced, version: i16) -> Vec<u8> {
            let mut message = set!(ProduceResponse {
                throttle_time_ms: model.throttle_time_ms,
            });
            for topic in &model.topics {
                let mut told = produce_response::TopicProduceResponse::default();
                if version >= 13 {
                    told.topic_id = uuid(topic.id);
                } else {
                    told.name = topic_name(&topic.name);
                }
                for partition in &topic.partitions {
                    let mut said = set!(produce_response::PartitionProduceResponse {
                        index: partition.index,
                        error_code: partition.error.code(),
                        base_offset: partition.base_offset,
                        log_append_time_ms: partition.log_append_time_ms,
                    });
                    if version >= 5 {
                        said.log_start_offset = partition.log_start_offset;
                    }
                    if version >= 8 {
                        for error in &partition.record_errors {
                            let message = error.message.as_deref().map(text);
                            said.record_errors.push(set!(
                                produce_response::BatchIndexAndErrorMessage {
                                    batch_index: error.batch_index,
                                    batch_index_error_message: message,
                                }
                            ));
                        }
                        said.error_message = partition.error_message.as_deref().map(text);
                    }
                    if let (10.., Some(leader)) = (version, partition.current_leader) {
                        said.current_leader.leader_id = leader.leader.0.into();
                        said.current_leader.leader_epoch = leader.epoch.0;
                    }
                    told.partition_responses.push(said);
                }
                message.responses.push(told);
            }
            if version >= 10 {
                for endpoint in &model.endpoints {
                    message
                        .node_endpoints
                        .push(set!(produce_response::NodeEndpoint {
                            node_id: endpoint.broker.0.into(),
                            host: text(&endpoint.host),
                            port: endpoint.port,
                            rack: endpoint.rack.as_deref().map(text),
                        }));
                }
            }
            encode(message, version)
        }

        pub fn fetch(model: &Fetch, version: i16) -> Vec<u8> {
            let mut message = set!(FetchRequest {
                max_wait_ms: model.head.max_wait_ms,
                min_bytes: model.head.min_bytes,
                max_bytes: model.head.max_bytes,
                isolation_level: model.head.isolation_level,
            });
            if version < 15 {
                message.replica_id = model.head.replica.0.into();
            } else {
                message.replica_state.replica_id = model.head.replica.0.into();
                message.replica_state.replica_epoch = model.head.replica_epoch;
            }
            if version >= 7 {
                message.session_id = model.head.session_id;
                message.session_epoch = model.head.session_epoch;
            }
            for topic in &model.topics {
                let mut told = fetch_request::FetchTopic::default();
                if version >= 13 {
                    told.topic_id = uuid(topic.id);
                } else {
                    told.topic = topic_name(&topic.name);
                }
                for partition in &topic.partitions {
                    let mut asked = set!(fetch_request::FetchPartition {
                        partition: partition.index,
                        fetch_offset: partition.offset,
                        partition_max_bytes: partition.max_bytes,
                    });
                    if let (9.., Some(epoch)) = (version, partition.current_leader_epoch) {
                        asked.current_leader_epoch = epoch.0;
                    }
                    if let (12.., Some(epoch)) = (version, partition.last_fetched_epoch) {
                        asked.last_fetched_epoch = epoch.0;
                    }
                    if version >= 5 {
                        asked.log_start_offset = partition.log_start_offset;
                    }
                    told.partitions.push(asked);
                }
                message.topics.push(told);
            }
            if version >= 7 {
                for topic in &model.forgotten {
                    let mut told = fetch_request::ForgottenTopic::default();
                    if version >= 13 {
                        told.topic_id = uuid(topic.id);
                    } else {
                        told.topic = topic_name(&topic.name);
                    }
                    told.partitions = topic.partitions.clone();
                    message.forgotten_topics_data.push(told);
                }
            }
            if version >= 11 {
                message.rack_id = text(&model.rack);
            }
            encode(message, version)
        }

        pub fn fetched(model: &Fetched, version: i16) -> Vec<u8> {
            let mut message = set!(FetchResponse {
                throttle_time_ms: model.head.throttle_time_ms,
            });
            if version >= 7 {
                message.error_code = model.head.error.code();
                message.session_id = model.head.session_id;
            }
            for topic in &model.topics {
                let mut told = fetch_response::FetchableTopicResponse::default();
                if version >= 13 {
                    told.topic_id = uuid(topic.id);
                } else {
                    told.topic = topic_name(&topic.name);
                }
                for partition in &topic.partitions {
                    let mut said = set!(fetch_response::PartitionData {
                        partition_index: partition.index,
                        error_code: partition.error.code(),
                        high_watermark: partition.high_watermark,
                        last_stable_offset: partition.last_stable_offset,
                        aborted_transactions: None,
                        records: Some(Bytes::from(partition.records.clone())),
                    });
                    if version >= 5 {
                        said.log_start_offset = partition.log_start_offset;
                    }
                    if let (12.., Some(diverging)) = (version, partition.diverging) {
                        said.diverging_epoch.epoch = diverging.epoch.0;
                        said.diverging_epoch.end_offset = diverging.end_offset;
                    }
                    if let (12.., Some(leader)) = (version, partition.current_leader) {
                        said.current_leader.leader_id = leader.leader.0.into();
                        said.current_leader.leader_epoch = leader.epoch.0;
                    }
                    for aborted in partition.aborted.iter().flatten() {
                        let list = said.aborted_transactions.get_or_insert_default();
                        list.push(set!(fetch_response::AbortedTransaction {
                            producer_id: aborted.producer_id.into(),
                            first_offset: aborted.first_offset,
                        }));
                    }
                    if partition.aborted.as_ref().is_some_and(Vec::is_empty) {
                        said.aborted_transactions = Some(Vec::new());
                    }
                    if version >= 11 {
                        said.preferred_read_replica = partition.preferred_read_replica.into();
                    }
                    told.partitions.push(said);
                }
                message.responses.push(told);
            }
            if version >= 16 {
                for endpoint in &model.endpoints {
                    message
                        .node_endpoints
                        .push(set!(fetch_response::NodeEndpoint {
                            node_id: endpoint.broker.0.into(),
                            host: text(&endpoint.host),
                            port: endpoint.port,
                            rack: endpoint.rack.as_deref().map(text),
                        }));
                }
            }
            encode(message, version)
        }
    };
}

/// The crate that the generated messages come from.
pub mod wire {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_wire::{
        FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, fetch_request,
        fetch_response, produce_request, produce_response,
    };
    use kafka_wire_core::{ApiVersion, KafkaEncode, StrBytes, Uuid};

    fn text(text: &str) -> StrBytes {
        StrBytes::from(text)
    }

    fn topic_name(name: &str) -> StrBytes {
        StrBytes::from(name)
    }

    fn transactional_id(id: &str) -> StrBytes {
        StrBytes::from(id)
    }

    fn uuid(bytes: [u8; 16]) -> Uuid {
        Uuid::from_bytes(bytes)
    }

    fn encode<M: KafkaEncode>(message: M, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        message
            .encode_into(&mut out, ApiVersion::new(version))
            .unwrap();
        out.to_vec()
    }

    oracle!();
}

/// An independent one.
pub mod kafka_protocol {
    use super::*;
    use ::kafka_protocol::messages::{
        FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, TopicName, TransactionalId,
        fetch_request, fetch_response, produce_request, produce_response,
    };
    use ::kafka_protocol::protocol::{Encodable, StrBytes};
    use bytes::{Bytes, BytesMut};

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_string())
    }

    fn topic_name(name: &str) -> TopicName {
        TopicName(text(name))
    }

    fn transactional_id(id: &str) -> TransactionalId {
        TransactionalId(text(id))
    }

    fn uuid(bytes: [u8; 16]) -> ::uuid::Uuid {
        ::uuid::Uuid::from_bytes(bytes)
    }

    fn encode<M: Encodable>(message: M, version: i16) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.encode(&mut out, version).unwrap();
        out.to_vec()
    }

    oracle!();
}
