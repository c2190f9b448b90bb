use std::collections::BTreeSet;
use std::rc::Rc;

use sillon_controller::{
    Assignment, ControlReply, ControlRequest, CreateTopicError, CreatedTopic, EffectiveConfig,
    NewTopic,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::create_topics_request::CreatableTopic;
use sillon_protocol::message::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use sillon_protocol::message::{CreateTopicsRequest, CreateTopicsResponse, StrBytes};
use sillon_record::BrokerId;

use super::{RequestError, Unanswered, control, decode, random_topic_id, respond, text, uuid};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that answers with the topic's counts and configuration (KIP-525).
const FIRST_VERSION_WITH_CONFIGS: i16 = 5;

/// Creates topics; answers when every partition of them is open.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: CreateTopicsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let names: Vec<StrBytes> = request.topics.iter().map(|t| t.name.clone()).collect();
        let asking = ControlRequest::CreateTopics {
            topics: request.topics.into_iter().map(new_topic).collect(),
            validate_only: request.validate_only,
        };
        let (results, unanswered) = match control(&context, asking, request.timeout_ms).await? {
            Some(ControlReply::CreateTopics(results)) => (results, Unanswered::Late),
            Some(ControlReply::NoSpace) => (Vec::new(), Unanswered::NoSpace),
            Some(_) => unreachable!("the controller answers what it was asked"),
            None => (Vec::new(), Unanswered::Late),
        };
        let mut results = results.into_iter();
        let mut response = CreateTopicsResponse::default();
        // A name that was sent twice is answered once.
        let mut answered = BTreeSet::new();
        for name in names {
            let result = results.next().ok_or(unanswered);
            if answered.insert(name.to_string()) {
                response.topics.push(answer(name, result, asked.version));
            }
        }
        respond(&asked, &response)
    }))
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.iter().map(|assignment| Assignment {
        partition: assignment.partition_index,
        replicas: assignment
            .broker_ids
            .iter()
            .copied()
            .map(BrokerId)
            .collect(),
    });
    let configs = topic.configs.iter();
    let configs = configs.map(|c| (c.name.to_string(), c.value.as_deref().map(str::to_owned)));
    NewTopic {
        id: random_topic_id(),
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn answer(
    name: StrBytes,
    result: Result<Result<CreatedTopic, CreateTopicError>, Unanswered>,
    version: i16,
) -> CreatableTopicResult {
    let mut response = CreatableTopicResult::default();
    // The generated default is an empty text, which clients show.
    response.error_message = None;
    response.name = name;
    match result {
        Ok(Ok(created)) => {
            response.topic_id = uuid(created.id);
            if version >= FIRST_VERSION_WITH_CONFIGS {
                response.num_partitions = created.partitions;
                response.replication_factor = created.replication_factor;
                match created.configs {
                    Some(configs) => {
                        response.configs = Some(configs.into_iter().map(config).collect());
                    }
                    None => {
                        response.configs = None;
                        response.topic_config_error_code = ErrorCode::PolicyViolation.code();
                    }
                }
            }
        }
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

fn config(config: EffectiveConfig) -> CreatableTopicConfigs {
    let mut response = CreatableTopicConfigs::default();
    response.name = StrBytes::from(config.name);
    response.value = config.value.map(text);
    response.config_source = config.source as i8;
    response
}

fn code(error: &CreateTopicError) -> ErrorCode {
    match error {
        CreateTopicError::NamedTwice { .. } | CreateTopicError::AssignmentAndCounts => {
            ErrorCode::InvalidRequest
        }
        CreateTopicError::AlreadyExists { .. } => ErrorCode::TopicAlreadyExists,
        CreateTopicError::InvalidName(_) | CreateTopicError::NameCollides { .. } => {
            ErrorCode::InvalidTopic
        }
        CreateTopicError::Reserved { .. } => ErrorCode::TopicAuthorizationFailed,
        CreateTopicError::IdUsed { .. } => ErrorCode::UnknownServerError,
        CreateTopicError::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
        CreateTopicError::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
        CreateTopicError::InvalidAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
        CreateTopicError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        CreateTopicError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        CreateTopicError::Storage { .. } => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};
    use sillon_record::TopicId;

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let created = CreatedTopic {
            id: TopicId([1; 16]),
            partitions: 3,
            replication_factor: 1,
            configs: Some(sillon_controller::Image::default().broker_configs()),
        };
        let untold = CreatedTopic {
            configs: None,
            ..created.clone()
        };
        let refused = CreateTopicError::InvalidPartitions { partitions: 0 };
        let spec = Api::CreateTopics.spec();
        for version in spec.min..=spec.max {
            let mut response = CreateTopicsResponse::default();
            let refused = Ok(Err(refused.clone()));
            let created = [Ok(Ok(created.clone())), Ok(Ok(untold.clone()))];
            for result in created
                .into_iter()
                .chain([refused, Err(Unanswered::NoSpace)])
            {
                let name = StrBytes::from("furrow");
                response.topics.push(answer(name, result, version));
            }
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
