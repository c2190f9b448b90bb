use std::rc::Rc;

use sillon_controller::{ControlReply, ControlRequest, CreatePartitionsError, MorePartitions};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::create_partitions_request::CreatePartitionsTopic;
use sillon_protocol::message::create_partitions_response::CreatePartitionsTopicResult;
use sillon_protocol::message::{CreatePartitionsRequest, CreatePartitionsResponse, StrBytes};
use sillon_record::BrokerId;

use super::{RequestError, Unanswered, control, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// Adds partitions to topics; answers when every one of them is open.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: CreatePartitionsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut names: Vec<StrBytes> = Vec::with_capacity(request.topics.len());
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            names.push(topic.name.clone());
            topics.push(more(topic));
        }
        let asking = ControlRequest::CreatePartitions {
            topics,
            validate_only: request.validate_only,
        };
        let reply = control(&context, asking, request.timeout_ms).await?;
        let (results, unanswered) = match reply {
            Some(ControlReply::CreatePartitions(results)) => (results, Unanswered::Late),
            Some(ControlReply::NoSpace) => (Vec::new(), Unanswered::NoSpace),
            Some(_) => unreachable!("the controller answers what it was asked"),
            None => (Vec::new(), Unanswered::Late),
        };
        let mut results = results.into_iter();
        let mut response = CreatePartitionsResponse::default();
        // A name that was sent twice is answered once.
        let mut answered = std::collections::BTreeSet::new();
        for name in names {
            let result = results.next().ok_or(unanswered);
            if answered.insert(name.to_string()) {
                response.results.push(answer(name, result));
            }
        }
        respond(&asked, &response)
    }))
}

fn more(topic: CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.map(|assignments| {
        let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
        let assignments = assignments.into_iter();
        assignments.map(|one| brokers(one.broker_ids)).collect()
    });
    MorePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments,
    }
}

fn answer(
    name: StrBytes,
    result: Result<Result<(), CreatePartitionsError>, Unanswered>,
) -> CreatePartitionsTopicResult {
    let mut response = CreatePartitionsTopicResult::default();
    response.name = name;
    response.error_message = None;
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            response.error_code = code(&error).code();
            response.error_message = Some(text(error.to_string()));
        }
        Err(unanswered) => {
            response.error_code = unanswered.code().code();
            response.error_message = Some(text(unanswered.message()));
        }
    }
    response
}

fn code(error: &CreatePartitionsError) -> ErrorCode {
    match error {
        CreatePartitionsError::NamedTwice { .. } => ErrorCode::InvalidRequest,
        CreatePartitionsError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        CreatePartitionsError::NoIncrease { .. } => ErrorCode::InvalidPartitions,
        CreatePartitionsError::AssignmentsCount { .. }
        | CreatePartitionsError::InvalidAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
        CreatePartitionsError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        CreatePartitionsError::Storage { .. } => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let refused = CreatePartitionsError::UnknownTopic {
            name: "plough".to_owned(),
        };
        let spec = Api::CreatePartitions.spec();
        for version in spec.min..=spec.max {
            let mut response = CreatePartitionsResponse::default();
            for result in [Ok(Ok(())), Ok(Err(refused.clone())), Err(Unanswered::Late)] {
                let name = StrBytes::from("furrow");
                response.results.push(answer(name, result));
            }
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
