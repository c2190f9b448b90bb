use std::rc::Rc;

use sillon_controller::Image;
use sillon_group::{
    CommitPartition, CommitTopic, GroupError, GroupRequest, GroupResponse, OffsetCommit,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::offset_commit_request::OffsetCommitRequestTopic;
use sillon_protocol::message::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use sillon_protocol::message::{OffsetCommitRequest, OffsetCommitResponse, StrBytes};

use super::{answered, ask, code_of, coordinator, own, own_option, wire};
use crate::api::{RequestError, decode, respond, topic_id, uuid};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that hears of groups that do not exist (KIP-848).
const FIRST_VERSION_WITH_MISSING_GROUPS: i16 = 9;
/// First version that names topics by id.
const FIRST_VERSION_BY_ID: i16 = 10;
/// Versions that say how long an offset is kept.
const VERSIONS_WITH_RETENTION: std::ops::RangeInclusive<i16> = 2..=4;

/// Keeps offsets; answered when they are durable.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: OffsetCommitRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let commit = context
        .core
        .with_image(|image| offset_commit(image, &request, asked.version));
    let shard = coordinator(context, &commit.group_id);
    let call = ask(context, shard, GroupRequest::OffsetCommit(commit)).await;
    // Ids that are not known have another code than names that are not.
    let by_id = asked.version >= FIRST_VERSION_BY_ID;
    let ids: Vec<_> = request.topics.iter().map(|topic| topic.topic_id).collect();
    drop(request);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let topics = match answered(call).await? {
            GroupResponse::OffsetCommit(topics) => topics,
            _ => unreachable!("a commit is answered as one"),
        };
        let mut response = OffsetCommitResponse::default();
        for (topic, id) in topics.iter().zip(ids) {
            let mut told = answer(topic, by_id);
            if by_id {
                told.topic_id = id;
            }
            response.topics.push(told);
        }
        respond(&asked, &response)
    }))
}

fn offset_commit(image: &Image, request: &OffsetCommitRequest, version: i16) -> OffsetCommit {
    let retention_ms = request.retention_time_ms;
    let has_retention = VERSIONS_WITH_RETENTION.contains(&version) && retention_ms >= 0;
    let topics = request.topics.iter();
    OffsetCommit {
        group_id: own(&request.group_id),
        member_id: own(&request.member_id),
        instance_id: own_option(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
        knows_missing_groups: version >= FIRST_VERSION_WITH_MISSING_GROUPS,
        retention_ms: has_retention.then_some(retention_ms),
        topics: topics.map(|t| commit_topic(image, t, version)).collect(),
    }
}

fn commit_topic(image: &Image, topic: &OffsetCommitRequestTopic, version: i16) -> CommitTopic {
    let found = match version >= FIRST_VERSION_BY_ID {
        true => image.topic(topic_id(topic.topic_id)),
        false => image.topic_named(&topic.name),
    };
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let exists = found.is_some_and(|found| found.partition(index).is_some());
        let metadata = partition.committed_metadata.as_ref();
        CommitPartition {
            partition: index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: metadata.map(own).unwrap_or_default(),
            error: (!exists).then_some(GroupError::UnknownTopicOrPartition),
        }
    });
    CommitTopic {
        name: found.map_or_else(|| own(&topic.name), |found| found.name.clone()),
        id: found.map(|found| found.id).unwrap_or_default(),
        partitions: partitions.collect(),
    }
}

fn answer(topic: &CommitTopic, by_id: bool) -> OffsetCommitResponseTopic {
    let mut response = OffsetCommitResponseTopic::default();
    response.name = match by_id {
        true => StrBytes::default(),
        false => wire(&topic.name),
    };
    if by_id {
        response.topic_id = uuid(topic.id);
    }
    let is_unknown_id = by_id && topic.id == sillon_record::TopicId::ZERO;
    let partitions = topic.partitions.iter().map(|partition| {
        let mut response = OffsetCommitResponsePartition::default();
        response.partition_index = partition.partition;
        response.error_code = match partition.error {
            Some(GroupError::UnknownTopicOrPartition) if is_unknown_id => {
                ErrorCode::UnknownTopicId.code()
            }
            error => code_of(error),
        };
        response
    });
    response.partitions = partitions.collect();
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_and_unknown_topics_are_told_by_how_they_were_named() {
        let topic = CommitTopic {
            name: "furrow".into(),
            partitions: vec![CommitPartition {
                error: Some(GroupError::UnknownTopicOrPartition),
                ..CommitPartition::default()
            }],
            ..CommitTopic::default()
        };
        let spec = Api::OffsetCommit.spec();
        for version in spec.min..=spec.max {
            let by_id = version >= FIRST_VERSION_BY_ID;
            let told = answer(&topic, by_id);
            assert_eq!(told.partitions[0].error_code, if by_id { 100 } else { 3 });
            let mut response = OffsetCommitResponse::default();
            response.topics.push(told);
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
