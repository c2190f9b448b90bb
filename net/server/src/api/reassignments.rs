//! Moving partitions: one node has nowhere to move them to.

use std::rc::Rc;

use sillon_controller::Image;
use sillon_protocol::message::alter_partition_reassignments_request::ReassignablePartition;
use sillon_protocol::message::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use sillon_protocol::message::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use sillon_protocol::{ErrorCode, TopicKey};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::find_topic;

/// First version that may change the number of replicas, or refuse to.
const FIRST_VERSION_WITH_FACTOR: i16 = 1;

/// Moves partitions, or stops doing so.
pub(super) fn alter(context: &Rc<Context>, mut incoming: Incoming) -> Result<Answer, RequestError> {
    let request: AlterPartitionReassignmentsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = context.core.with_image(|image| answer(image, &request));
        if asked.version >= FIRST_VERSION_WITH_FACTOR {
            response.allow_replication_factor_change = request.allow_replication_factor_change;
        }
        respond(&asked, &response)
    }))
}

fn answer(
    image: &Image,
    request: &AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let mut response = AlterPartitionReassignmentsResponse::default();
    response.error_message = None;
    for topic in &request.topics {
        let found = find_topic(image, &TopicKey::Name(&*topic.name)).ok();
        let mut result = ReassignableTopicResponse::default();
        result.name = topic.name.clone();
        for asked in &topic.partitions {
            let partition = found.and_then(|topic| topic.partition(asked.partition_index));
            let mut response = ReassignablePartitionResponse::default();
            response.partition_index = asked.partition_index;
            response.error_message = None;
            if let Err((code, message)) = check(partition, asked) {
                response.error_code = code.code();
                response.error_message = Some(text(message));
            }
            result.partitions.push(response);
        }
        response.responses.push(result);
    }
    response
}

/// Whether there is nothing to do.
fn check(
    partition: Option<&sillon_controller::Partition>,
    asked: &ReassignablePartition,
) -> Result<(), (ErrorCode, &'static str)> {
    let Some(partition) = partition else {
        let code = ErrorCode::UnknownTopicOrPartition;
        return Err((code, "there is no such partition"));
    };
    let Some(replicas) = &asked.replicas else {
        let code = ErrorCode::NoReassignmentInProgress;
        return Err((code, "the partition is not being moved"));
    };
    let current = partition.replicas.iter().map(|broker| broker.0);
    match current.eq(replicas.iter().copied()) {
        true => Ok(()),
        false => Err((
            ErrorCode::InvalidReplicaAssignment,
            "this is the only broker: a partition's replicas are this one",
        )),
    }
}

/// Partitions that are being moved: none.
pub(super) fn list(context: &Rc<Context>, mut incoming: Incoming) -> Result<Answer, RequestError> {
    let _: ListPartitionReassignmentsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let mut response = ListPartitionReassignmentsResponse::default();
        response.error_message = None;
        respond(&asked, &response)
    }))
}
