use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use sillon_protocol::message::{
    DescribeQuorumRequest, DescribeQuorumResponse, describe_quorum_request,
};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// The one partition that has a quorum of controllers.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// First version with an error's text and the controllers' addresses (KIP-853).
const FIRST_VERSION_WITH_NODES: i16 = 2;
/// First version with times.
const FIRST_VERSION_WITH_TIMES: i16 = 1;

/// The controllers and how far they are: this one node, which leads itself.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeQuorumRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        respond(&asked, &answer(&context, request, asked.version))
    }))
}

fn answer(
    context: &Context,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let mut response = DescribeQuorumResponse::default();
    response.error_message = None;
    let topics = request.topics.into_iter();
    response.topics = topics
        .map(|topic| describe(context, topic, version))
        .collect();
    if version >= FIRST_VERSION_WITH_NODES {
        let core = &context.core;
        let broker = core.broker();
        let mut node = Node::default();
        node.node_id = broker.0;
        core.with_image(|image| {
            if let Some(broker) = image.broker(broker) {
                let mut listener = Listener::default();
                listener.name = text("PLAINTEXT");
                listener.host = text(&*broker.host);
                listener.port = broker.port;
                node.listeners.push(listener);
            }
        });
        response.nodes.push(node);
    }
    response
}

fn describe(
    context: &Context,
    asked: describe_quorum_request::TopicData,
    version: i16,
) -> TopicData {
    let is_quorum = *asked.topic_name == *CLUSTER_METADATA;
    let mut topic = TopicData::default();
    topic.topic_name = asked.topic_name;
    for asked in asked.partitions {
        let mut partition = PartitionData::default();
        partition.partition_index = asked.partition_index;
        partition.error_message = None;
        if is_quorum && asked.partition_index == 0 {
            fill(context, &mut partition, version);
        } else {
            partition.error_code = ErrorCode::UnknownTopicOrPartition.code();
        }
        topic.partitions.push(partition);
    }
    topic
}

fn fill(context: &Context, partition: &mut PartitionData, version: i16) {
    let core = &context.core;
    let records = core.with_image(|image| image.records_applied()) as i64;
    partition.leader_id = core.broker().0;
    partition.leader_epoch = 1;
    partition.high_watermark = records;
    let mut voter = ReplicaState::default();
    voter.replica_id = core.broker().0;
    voter.log_end_offset = records;
    if version >= FIRST_VERSION_WITH_TIMES {
        let now_ms = core.now().wall_ms;
        voter.last_fetch_timestamp = now_ms;
        voter.last_caught_up_timestamp = now_ms;
    }
    partition.current_voters.push(voter);
}
