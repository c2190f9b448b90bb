use std::rc::Rc;

use sillon_protocol::message::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use sillon_protocol::message::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use sillon_protocol::message::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, StrBytes,
};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{LeaderEpoch, TopicPartition};
use sillon_shard::{EpochEnd, Request};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::{ByOwner, Place, answers, find_led, find_topic};

/// Where leader epochs end (KIP-101, KIP-320).
pub(super) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: OffsetForLeaderEpochRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let (topics, by_owner) = route(context, &request);
    let calls = by_owner.ask(&context.core, Request::EpochEnds).await;
    Ok(Box::pin(async move {
        // The topics' names are parts of the frame.
        let _permit = incoming.permit;
        let answered = answers(calls, |request| match request {
            Request::EpochEnds(entries) => Some(entries),
            _ => None,
        });
        let answered = answered.await?;
        let mut response = OffsetForLeaderEpochResponse::default();
        for (name, partitions) in topics {
            let mut topic = OffsetForLeaderTopicResult::default();
            topic.topic = name;
            let partitions = partitions.into_iter();
            let partitions = partitions.map(|(index, fate)| answer(index, fate, &answered));
            topic.partitions = partitions.collect();
            response.topics.push(topic);
        }
        respond(&asked, &response)
    }))
}

type Topics = Vec<(StrBytes, Vec<(i32, Result<Place, ErrorCode>)>)>;

fn route(context: &Context, request: &OffsetForLeaderEpochRequest) -> (Topics, ByOwner<EpochEnd>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let topics = context.core.with_image(|image| {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let found = find_topic(image, &TopicKey::Name(&*topic.topic));
            let mut fate = |partition: &OffsetForLeaderPartition| {
                let topic = found?;
                find_led(topic, partition.partition, context.core.broker())?;
                let place = TopicPartition {
                    topic: topic.id,
                    partition: partition.partition,
                };
                let epoch = partition.current_leader_epoch;
                let entry = EpochEnd {
                    partition: place,
                    current_leader_epoch: (epoch != -1).then_some(LeaderEpoch(epoch)),
                    leader_epoch: LeaderEpoch(partition.leader_epoch),
                    outcome: None,
                };
                Ok(by_owner.push(place, entry))
            };
            let partitions = topic.partitions.iter();
            let fates = partitions.map(|partition| (partition.partition, fate(partition)));
            topics.push((topic.topic.clone(), fates.collect()));
        }
        topics
    });
    (topics, by_owner)
}

fn answer(
    index: i32,
    fate: Result<Place, ErrorCode>,
    answered: &[Vec<EpochEnd>],
) -> EpochEndOffset {
    let mut response = EpochEndOffset::default();
    response.partition = index;
    response.leader_epoch = -1;
    response.end_offset = -1;
    let outcome = fate.and_then(|place| {
        let outcome = answered[place.group][place.entry].outcome;
        let outcome = outcome.expect("a shard fills in every outcome");
        outcome.map_err(ErrorCode::from)
    });
    match outcome {
        Ok(None) => {}
        Ok(Some((epoch, end))) => {
            response.leader_epoch = epoch.0;
            response.end_offset = end.0;
        }
        Err(code) => response.error_code = code.code(),
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};
    use sillon_record::Offset;

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let answered = [vec![EpochEnd {
            outcome: Some(Ok(Some((LeaderEpoch(3), Offset(7))))),
            ..EpochEnd::default()
        }]];
        let spec = Api::OffsetForLeaderEpoch.spec();
        for version in spec.min..=spec.max {
            let mut topic = OffsetForLeaderTopicResult::default();
            for fate in [
                Ok(Place { group: 0, entry: 0 }),
                Err(ErrorCode::FencedLeaderEpoch),
            ] {
                topic.partitions.push(answer(0, fate, &answered));
            }
            let mut response = OffsetForLeaderEpochResponse::default();
            response.topics.push(topic);
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}
