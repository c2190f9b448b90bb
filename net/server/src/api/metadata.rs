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
use crate::limits::AUTO_CREATE_MS;

/// First version in which an empty list means no topic rather than all.
const FIRST_VERSION_WITH_NONE: i16 = 1;

/// First version in which a topic may be asked for by its id (KIP-516).
const FIRST_VERSION_BY_ID: i16 = 12;

/// Kafka's own topics.
const INTERNAL: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

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
        let mut response = context.core.with_image(|image| {
            let topics = describe(image, &request, asked.version, created);
            let mut response = MetadataResponse::default();
            response.brokers = image.brokers().map(broker).collect();
            response.topics = topics;
            response
        });
        response.cluster_id = Some(text(&*context.core.cluster_id()));
        response.controller_id = context.core.broker().0;
        if (8..=10).contains(&asked.version) && request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = operations::ON_CLUSTER;
        }
        respond(&asked, &response)
    }))
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
        image.topic_named(name).is_none()
            && check_topic_name(name).is_ok()
            && !INTERNAL.contains(name)
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
    response.is_internal = INTERNAL.contains(&&*topic.name);
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
