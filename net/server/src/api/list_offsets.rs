use std::collections::BTreeSet;
use std::rc::Rc;

use sillon_protocol::message::list_offsets_request::ListOffsetsPartition;
use sillon_protocol::message::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use sillon_protocol::message::{ListOffsetsRequest, ListOffsetsResponse, StrBytes};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{LeaderEpoch, TopicPartition};
use sillon_shard::{FoundOffset, ListOffset, OffsetTarget, Request};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::{ByOwner, Place, answers, find_led, find_topic};

/// First version that answers with the leader epoch (KIP-320).
const FIRST_VERSION_WITH_EPOCH: i16 = 4;

/// What becomes of a partition of the request.
enum Fate {
    Asked(Place),
    /// There is no such offset.
    Nothing,
    Refused(ErrorCode),
}

/// Finds offsets by time, or the ends of logs.
pub(super) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: ListOffsetsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let (topics, by_owner) = route(context, &request, asked.version);
    let calls = by_owner.ask(&context.core, Request::ListOffsets).await;
    Ok(Box::pin(async move {
        // The topics' names are parts of the frame.
        let _permit = incoming.permit;
        let answered = answers(calls, |request| match request {
            Request::ListOffsets(entries) => Some(entries),
            _ => None,
        });
        let answered = answered.await?;
        let mut response = ListOffsetsResponse::default();
        for (name, partitions) in topics {
            let mut topic = ListOffsetsTopicResponse::default();
            topic.name = name;
            let partitions = partitions.into_iter();
            let version = asked.version;
            let answer = |(index, fate)| answer(index, &fate, &answered, version);
            let partitions = partitions.map(answer);
            topic.partitions = partitions.collect();
            response.topics.push(topic);
        }
        respond(&asked, &response)
    }))
}

type Topics = Vec<(StrBytes, Vec<(i32, Fate)>)>;

fn route(
    context: &Context,
    request: &ListOffsetsRequest,
    version: i16,
) -> (Topics, ByOwner<ListOffset>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let twice = named_twice(request);
    let topics = context.core.with_image(|image| {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let found = find_topic(image, &TopicKey::Name(&*topic.name));
            let mut fate = |partition: &ListOffsetsPartition| {
                let index = partition.partition_index;
                if twice.contains(&(&topic.name, index)) {
                    return Err(ErrorCode::InvalidRequest);
                }
                let topic = found?;
                find_led(topic, index, context.core.broker())?;
                let Some(target) = target(partition.timestamp, version)? else {
                    return Ok(Fate::Nothing);
                };
                let place = TopicPartition {
                    topic: topic.id,
                    partition: index,
                };
                let epoch = partition.current_leader_epoch;
                let entry = ListOffset {
                    partition: place,
                    current_leader_epoch: (epoch != -1).then_some(LeaderEpoch(epoch)),
                    target,
                    outcome: None,
                };
                Ok(Fate::Asked(by_owner.push(place, entry)))
            };
            let fates = topic.partitions.iter().map(|partition| {
                let fate = fate(partition).unwrap_or_else(Fate::Refused);
                (partition.partition_index, fate)
            });
            topics.push((topic.name.clone(), fates.collect()));
        }
        topics
    });
    (topics, by_owner)
}

fn named_twice(request: &ListOffsetsRequest) -> BTreeSet<(&StrBytes, i32)> {
    let mut seen = BTreeSet::new();
    let topics = request.topics.iter();
    let all = topics.flat_map(|t| t.partitions.iter().map(|p| (&t.name, p.partition_index)));
    all.filter(|partition| !seen.insert((partition.0.as_str(), partition.1)))
        .collect()
}

/// What a timestamp asks for; `None`: an offset that there never is, as nothing is tiered.
fn target(timestamp: i64, version: i16) -> Result<Option<OffsetTarget>, ErrorCode> {
    match timestamp {
        0.. => Ok(Some(OffsetTarget::AtOrAfter(timestamp))),
        -1 => Ok(Some(OffsetTarget::Latest)),
        -2 => Ok(Some(OffsetTarget::Earliest)),
        -3 if version >= 7 => Ok(Some(OffsetTarget::MaxTimestamp)),
        -4 if version >= 8 => Ok(Some(OffsetTarget::Earliest)),
        -5 if version >= 9 => Ok(None),
        -6 if version >= 11 => Ok(None),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn answer(
    index: i32,
    fate: &Fate,
    answered: &[Vec<ListOffset>],
    version: i16,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse::default();
    response.partition_index = index;
    response.offset = -1;
    response.timestamp = -1;
    let outcome = match fate {
        Fate::Refused(code) => Err(*code),
        Fate::Nothing => Ok(None),
        Fate::Asked(place) => {
            let outcome = answered[place.group][place.entry].outcome;
            let outcome = outcome.expect("a shard fills in every outcome");
            outcome.map_err(ErrorCode::from)
        }
    };
    match outcome {
        Ok(None) => {}
        Ok(Some(FoundOffset {
            offset,
            timestamp_ms,
            leader_epoch,
        })) => {
            response.offset = offset.0;
            response.timestamp = timestamp_ms;
            if version >= FIRST_VERSION_WITH_EPOCH {
                response.leader_epoch = leader_epoch.map_or(-1, |epoch| epoch.0);
            }
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
        let found = FoundOffset {
            offset: Offset(7),
            timestamp_ms: 8,
            leader_epoch: Some(LeaderEpoch(9)),
        };
        let answered = [vec![ListOffset {
            outcome: Some(Ok(Some(found))),
            ..ListOffset::default()
        }]];
        let fates = [
            Fate::Asked(Place { group: 0, entry: 0 }),
            Fate::Nothing,
            Fate::Refused(ErrorCode::NotLeaderOrFollower),
        ];
        let spec = Api::ListOffsets.spec();
        for version in spec.min..=spec.max {
            let mut topic = ListOffsetsTopicResponse::default();
            let partitions = fates.iter().map(|fate| answer(0, fate, &answered, version));
            topic.partitions = partitions.collect();
            let mut response = ListOffsetsResponse::default();
            response.topics.push(topic);
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }

    #[test]
    fn a_negative_timestamp_has_a_meaning_from_its_version_on() {
        assert_eq!(target(0, 1), Ok(Some(OffsetTarget::AtOrAfter(0))));
        assert_eq!(target(-1, 1), Ok(Some(OffsetTarget::Latest)));
        assert_eq!(target(-2, 1), Ok(Some(OffsetTarget::Earliest)));
        for (timestamp, first, expected) in [
            (-3, 7, Some(OffsetTarget::MaxTimestamp)),
            (-4, 8, Some(OffsetTarget::Earliest)),
            (-5, 9, None),
            (-6, 11, None),
        ] {
            assert_eq!(target(timestamp, first), Ok(expected));
            let refused = target(timestamp, first - 1);
            assert_eq!(refused, Err(ErrorCode::UnsupportedVersion));
        }
        assert_eq!(target(-7, 11), Err(ErrorCode::UnsupportedVersion));
    }
}
