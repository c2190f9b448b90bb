use std::collections::BTreeSet;
use std::rc::Rc;

use sillon_protocol::message::delete_records_request::DeleteRecordsPartition;
use sillon_protocol::message::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use sillon_protocol::message::{DeleteRecordsRequest, DeleteRecordsResponse, StrBytes};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{Offset, TopicPartition};
use sillon_shard::{DeleteRecords, Request};

use super::metadata::INTERNAL;
use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::{ByOwner, Place, answers, find_led, find_topic};

/// Offset that means the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Low watermark of a partition whose records were not deleted.
const NO_LOW_WATERMARK: i64 = -1;

type Fate = Result<Place, ErrorCode>;

/// Gives up records before an offset; answers when that is durable.
pub(super) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DeleteRecordsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let (topics, by_owner) = route(context, &request);
    let calls = by_owner.ask(&context.core, Request::DeleteRecords).await;
    Ok(Box::pin(async move {
        // The topics' names are parts of the frame.
        let _permit = incoming.permit;
        let answered = answers(calls, |request| match request {
            Request::DeleteRecords(entries) => Some(entries),
            _ => None,
        });
        let answered = answered.await?;
        let mut response = DeleteRecordsResponse::default();
        for (name, partitions) in topics {
            let mut topic = DeleteRecordsTopicResult::default();
            topic.name = name;
            let partitions = partitions.into_iter();
            let answer = |(index, fate)| answer(index, fate, &answered);
            topic.partitions = partitions.map(answer).collect();
            response.topics.push(topic);
        }
        respond(&asked, &response)
    }))
}

type Topics = Vec<(StrBytes, Vec<(i32, Fate)>)>;

fn route(context: &Context, request: &DeleteRecordsRequest) -> (Topics, ByOwner<DeleteRecords>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let mut seen = BTreeSet::new();
    let topics = context.core.with_image(|image| {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let found = find_topic(image, &TopicKey::Name(&*topic.name));
            let mut fate = |partition: &DeleteRecordsPartition| {
                let index = partition.partition_index;
                if !seen.insert((topic.name.as_str(), index)) {
                    return Err(ErrorCode::InvalidRequest);
                }
                if INTERNAL.contains(&topic.name.as_str()) {
                    return Err(ErrorCode::InvalidTopic);
                }
                let topic = found?;
                find_led(topic, index, context.core.broker())?;
                if !topic.config.cleanup_policy.delete {
                    return Err(ErrorCode::PolicyViolation);
                }
                let place = TopicPartition {
                    topic: topic.id,
                    partition: index,
                };
                let before = match partition.offset {
                    HIGH_WATERMARK => None,
                    offset if offset < 0 => return Err(ErrorCode::OffsetOutOfRange),
                    offset => Some(Offset(offset)),
                };
                let entry = DeleteRecords {
                    partition: place,
                    before,
                    outcome: None,
                };
                Ok(by_owner.push(place, entry))
            };
            let partitions = topic.partitions.iter();
            let fates = partitions.map(|partition| (partition.partition_index, fate(partition)));
            topics.push((topic.name.clone(), fates.collect()));
        }
        topics
    });
    (topics, by_owner)
}

fn answer(index: i32, fate: Fate, answered: &[Vec<DeleteRecords>]) -> DeleteRecordsPartitionResult {
    let mut response = DeleteRecordsPartitionResult::default();
    response.partition_index = index;
    let outcome = fate.and_then(|place| {
        let outcome = answered[place.group][place.entry].outcome;
        let outcome = outcome.expect("a shard fills in every outcome");
        outcome.map_err(ErrorCode::from)
    });
    match outcome {
        Ok(log_start) => response.low_watermark = log_start.0,
        Err(code) => {
            response.low_watermark = NO_LOW_WATERMARK;
            response.error_code = code.code();
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let answered = [vec![DeleteRecords {
            outcome: Some(Ok(Offset(7))),
            ..DeleteRecords::default()
        }]];
        let spec = Api::DeleteRecords.spec();
        for version in spec.min..=spec.max {
            let fates = [
                Ok(Place { group: 0, entry: 0 }),
                Err(ErrorCode::PolicyViolation),
            ];
            let mut topic = DeleteRecordsTopicResult::default();
            let partitions = fates.into_iter().map(|fate| answer(0, fate, &answered));
            topic.partitions = partitions.collect();
            let mut response = DeleteRecordsResponse::default();
            response.topics.push(topic);
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
