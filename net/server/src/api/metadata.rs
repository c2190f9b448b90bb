use std::rc::Rc;

use sillon_controller::{
    Broker, ControlRequest, Image, NewTopic, Partition, Topic, check_topic_name,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::metadata_request::MetadataRequestTopic;
use sillon_protocol::message::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use sillon_protocol::message::{MetadataRequest, MetadataResponse, Uuid};

use super::{
    RequestError, control, decode, operations, random_topic_id, respond, text, topic_id, uuid,
};
use crate::context::{Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::limits::{AUTO_CREATE_MS, SMALL_METADATA_PARTITIONS_MAX};
use crate::unsent::Size;

/// First version in which an empty list means no topic rather than all.
const FIRST_VERSION_WITH_NONE: i16 = 1;

/// First version in which a topic may be asked for by its id (KIP-516).
const FIRST_VERSION_BY_ID: i16 = 12;

/// Kafka's own topics.
pub(super) const INTERNAL: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// Whether a topic is one of them.
pub(super) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Brokers, topics and who leads their partitions. Makes topics that are asked for by name, where
/// client and broker allow it.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: MetadataRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        // The request's texts are parts of the frame.
        let _permit = incoming.permit;
        let missing = context
            .core
            .with_image(|image| to_create(&context, image, &request));
        let created = !missing.is_empty();
        if created {
            create(&context, missing).await?;
        }
        let version = asked.version;
        let partitions = context
            .core
            .with_image(|image| partitions_count(image, &request, version));
        if partitions > SMALL_METADATA_PARTITIONS_MAX {
            context.unsent.begin(Size::Any).await;
        }
        let mut response = context
            .core
            .with_image(|image| answer(image, &request, version, created));
        for broker in &mut response.brokers {
            if let Some(told) = context.told(broker.node_id, incoming.listener) {
                broker.host = text(&*told.host);
                broker.port = i32::from(told.port);
            }
        }
        response.cluster_id = Some(text(&*context.core.cluster_id()));
        response.controller_id = context.core.broker().0;
        respond(&asked, &response)
    }))
}

/// How many partitions an answer is about.
fn partitions_count(image: &Image, request: &MetadataRequest, version: i16) -> usize {
    let count = |topic: &Topic| topic.partitions().len();
    match wanted(request, version) {
        None => image.topics().map(count).sum(),
        Some(topics) => {
            let found = topics
                .iter()
                .map(|wanted| find(image, wanted, version, false));
            found.map(|topic| topic.map_or(1, count)).sum()
        }
    }
}

/// The topics that are asked for by name; `None`: all there are.
fn wanted(request: &MetadataRequest, version: i16) -> Option<&[MetadataRequestTopic]> {
    let topics = request.topics.as_deref()?;
    (version >= FIRST_VERSION_WITH_NONE || !topics.is_empty()).then_some(topics)
}

fn to_create(context: &Context, image: &Image, request: &MetadataRequest) -> Vec<NewTopic> {
    if !context.auto_create_topics || !request.allow_auto_topic_creation {
        return Vec::new();
    }
    let topics = request.topics.iter().flatten();
    let names = topics.filter_map(|topic| topic.name.as_deref());
    let missing = names.filter(|name| {
        image.topic_named(name).is_none() && check_topic_name(name).is_ok() && !is_internal(name)
    });
    let mut missing: Vec<&str> = missing.collect();
    missing.sort_unstable();
    missing.dedup();
    let new = |name: &str| NewTopic::with_defaults(random_topic_id(), name);
    missing.into_iter().map(new).collect()
}

/// Refusals are not looked at: the client is told that the topic is not there.
async fn create(context: &Context, topics: Vec<NewTopic>) -> Result<(), Ended> {
    let request = ControlRequest::CreateTopics {
        topics,
        validate_only: false,
    };
    control(context, request, AUTO_CREATE_MS as i32)
        .await
        .map(drop)
}

fn answer(
    image: &Image,
    request: &MetadataRequest,
    version: i16,
    created: bool,
) -> MetadataResponse {
    let mut response = MetadataResponse::default();
    response.brokers = image.brokers().map(broker).collect();
    response.topics = describe(image, request, version, created);
    let has_cluster_operations = (8..=10).contains(&version);
    if has_cluster_operations && request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::ON_CLUSTER;
    }
    response
}

fn describe(
    image: &Image,
    request: &MetadataRequest,
    version: i16,
    created: bool,
) -> Vec<MetadataResponseTopic> {
    let operations = version >= 8 && request.include_topic_authorized_operations;
    let one = |wanted: &MetadataRequestTopic| match find(image, wanted, version, created) {
        Ok(found) => topic(found, operations),
        Err(error) => {
            let mut response = MetadataResponseTopic::default();
            response.error_code = error.code();
            response.name.clone_from(&wanted.name);
            // Null is for topics that are asked for by id.
            if version < FIRST_VERSION_BY_ID && response.name.is_none() {
                response.name = Some(text(""));
            }
            response.topic_id = wanted.topic_id;
            response
        }
    };
    match wanted(request, version) {
        Some(topics) => topics.iter().map(one).collect(),
        None => image
            .topics_by_name()
            .map(|found| topic(found, operations))
            .collect(),
    }
}

fn find<'a>(
    image: &'a Image,
    wanted: &MetadataRequestTopic,
    version: i16,
    created: bool,
) -> Result<&'a Topic, ErrorCode> {
    match &wanted.name {
        Some(name) => {
            let found = image.topic_named(name);
            check_topic_name(name).map_err(|_| ErrorCode::InvalidTopic)?;
            found.ok_or(match created {
                // It may be on its way to this executor.
                true => ErrorCode::LeaderNotAvailable,
                false => ErrorCode::UnknownTopicOrPartition,
            })
        }
        None if version < FIRST_VERSION_BY_ID || wanted.topic_id == Uuid::ZERO => {
            Err(ErrorCode::InvalidRequest)
        }
        None => {
            let found = image.topic(topic_id(wanted.topic_id));
            found.ok_or(ErrorCode::UnknownTopicId)
        }
    }
}

fn broker(broker: &Broker) -> MetadataResponseBroker {
    let mut response = MetadataResponseBroker::default();
    response.node_id = broker.id.0;
    response.host = text(&*broker.host);
    response.port = i32::from(broker.port);
    response
}

fn topic(topic: &Topic, operations: bool) -> MetadataResponseTopic {
    let mut response = MetadataResponseTopic::default();
    response.name = Some(text(&*topic.name));
    response.topic_id = uuid(topic.id);
    response.is_internal = is_internal(&topic.name);
    response.partitions = topic.partitions().iter().map(partition).collect();
    if operations {
        response.topic_authorized_operations = operations::ON_TOPIC;
    }
    response
}

fn partition(partition: &Partition) -> MetadataResponsePartition {
    let mut response = MetadataResponsePartition::default();
    if partition.leader.is_none() {
        response.error_code = ErrorCode::LeaderNotAvailable.code();
    }
    response.partition_index = partition.partition;
    response.leader_id = partition.leader.map_or(-1, |leader| leader.0);
    response.leader_epoch = partition.leader_epoch.0;
    response.replica_nodes = partition.replicas.iter().map(|broker| broker.0).collect();
    response.isr_nodes = partition.isr.iter().map(|broker| broker.0).collect();
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_controller::{MetadataRecord, TopicConfig};
    use sillon_protocol::message::StrBytes;
    use sillon_protocol::{Api, message};
    use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

    use super::*;

    fn image() -> Image {
        let mut image = Image::new(TopicConfig::default());
        image.apply(&MetadataRecord::BrokerRegistered {
            broker: BrokerId(1),
            host: "field".to_owned(),
            port: 9092,
        });
        for (id, name) in [(2, "furrow"), (1, "plough")] {
            let id = TopicId([id; 16]);
            let name = name.to_owned();
            image.apply(&MetadataRecord::Topic { id, name });
            image.apply(&MetadataRecord::Partition {
                topic: id,
                partition: 0,
                incarnation: PartitionIncarnation(0),
                replicas: vec![BrokerId(1)],
            });
        }
        image
    }

    fn by_name(name: &str) -> MetadataRequestTopic {
        let mut topic = MetadataRequestTopic::default();
        topic.name = Some(StrBytes::from(name));
        topic
    }

    fn by_id(id: u8) -> MetadataRequestTopic {
        let mut topic = MetadataRequestTopic::default();
        topic.name = None;
        topic.topic_id = Uuid::from_bytes([id; 16]);
        topic
    }

    fn asking(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
        let mut request = MetadataRequest::default();
        request.topics = topics;
        request
    }

    fn codes(request: &MetadataRequest, version: i16) -> Vec<i16> {
        let topics = describe(&image(), request, version, false);
        topics.iter().map(|topic| topic.error_code).collect()
    }

    #[test]
    fn null_is_all_topics_and_an_empty_list_is_none_except_in_the_first_version() {
        let names = |topics, version| -> Vec<String> {
            let topics = describe(&image(), &asking(topics), version, false);
            topics
                .iter()
                .map(|t| t.name.as_deref().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names(None, 1), ["furrow", "plough"]);
        assert_eq!(names(Some(vec![]), 0), ["furrow", "plough"]);
        assert!(names(Some(vec![]), 1).is_empty());
        assert_eq!(names(Some(vec![by_name("plough")]), 1), ["plough"]);
    }

    #[test]
    fn what_is_not_there_is_told_by_the_way_it_was_named() {
        let wanted = [by_name("no"), by_name("a b"), by_id(9), by_id(1), by_id(0)];
        let request = asking(Some(wanted.to_vec()));
        assert_eq!(codes(&request, 12), [3, 17, 100, 0, 42]);
        assert_eq!(codes(&request, 11), [3, 17, 42, 42, 42]);
    }

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let mut request = asking(Some(vec![by_name("furrow"), by_name("no"), by_id(9)]));
        request.include_topic_authorized_operations = true;
        request.include_cluster_authorized_operations = true;
        let spec = Api::Metadata.spec();
        for version in spec.min..=spec.max {
            let mut response = answer(&image(), &request, version, false);
            response.cluster_id = Some(text("c"));
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
