use std::rc::Rc;

use sillon_controller::Image;
use sillon_protocol::message::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use sillon_protocol::message::{ElectLeadersRequest, ElectLeadersResponse};
use sillon_protocol::{ErrorCode, TopicKey};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::find_topic;

/// Elects leaders anew: every partition has its preferred one already.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: ElectLeadersRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let response = context.core.with_image(|image| answer(image, request));
        respond(&asked, &response)
    }))
}

fn answer(image: &Image, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let mut response = ElectLeadersResponse::default();
    // Who asks for all partitions hears of those only that got a leader.
    for asked in request.topic_partitions.into_iter().flatten() {
        let topic = find_topic(image, &TopicKey::Name(&*asked.topic)).ok();
        let mut result = ReplicaElectionResult::default();
        result.topic = asked.topic;
        let partitions = asked.partitions.into_iter();
        result.partition_result = partitions
            .map(|index| {
                let partition = topic.and_then(|topic| topic.partition(index));
                partition_result(index, partition.is_some())
            })
            .collect();
        response.replica_election_results.push(result);
    }
    response
}

fn partition_result(index: i32, is_known: bool) -> PartitionResult {
    let (code, message) = match is_known {
        true => (
            ErrorCode::ElectionNotNeeded,
            "the partition is led by its preferred leader",
        ),
        false => (
            ErrorCode::UnknownTopicOrPartition,
            "there is no such partition",
        ),
    };
    let mut result = PartitionResult::default();
    result.partition_id = index;
    result.error_code = code.code();
    result.error_message = Some(text(message));
    result
}
