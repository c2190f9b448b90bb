use std::rc::Rc;

use sillon_controller::Image;
use sillon_group::{
    FetchedPartition, FetchedTopic, GroupError, GroupRequest, GroupResponse, OffsetFetch,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use sillon_protocol::message::{OffsetFetchRequest, OffsetFetchResponse, StrBytes, Uuid};
use sillon_record::TopicId;
use sillon_runtime::Call;
use sillon_shard::ShardId;

use super::{answered, ask, code, coordinator, own, wire};
use crate::api::{RequestError, decode, respond, topic_id, uuid};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::unsent::Size;

/// First version with an error of the whole group.
const FIRST_VERSION_WITH_ERROR: i16 = 2;
/// First version with leader epochs.
const FIRST_VERSION_WITH_EPOCH: i16 = 5;
/// First version that asks for several groups (KIP-709).
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// First version that names topics by id.
const FIRST_VERSION_BY_ID: i16 = 10;

/// What one group is asked for.
struct Question {
    group_id: StrBytes,
    fetch: OffsetFetch,
    /// Topic ids that nothing is known of, with their partitions.
    unknown: Vec<(Uuid, Vec<i32>)>,
}

type Fetched = Result<Vec<FetchedTopic>, GroupError>;

/// Committed offsets.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: OffsetFetchRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let version = asked.version;
    let questions = context
        .core
        .with_image(|image| questions(image, &request, version));
    // Everything that a group has may be large, and is asked for when it is its turn.
    let is_bounded = questions
        .iter()
        .all(|question| question.fetch.topics.is_some());
    let early = match is_bounded {
        true => Some(ask_all(context, &questions).await),
        false => None,
    };
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut _begun = None;
        let calls = match early {
            Some(calls) => calls,
            None => {
                _begun = context.unsent.begin(Size::Large).await;
                ask_all(&context, &questions).await
            }
        };
        let mut fetched: Vec<Option<Fetched>> = questions.iter().map(|_| None).collect();
        for (places, call) in calls {
            let GroupResponse::OffsetFetch(answers) = answered(call).await? else {
                unreachable!("a question for offsets is answered as one");
            };
            for (place, answer) in places.into_iter().zip(answers) {
                fetched[place] = Some(answer);
            }
        }
        let fetched = fetched.into_iter().flatten();
        let response = context.core.with_image(|image| {
            let mut groups: Vec<(&Question, Fetched)> = questions.iter().zip(fetched).collect();
            for (question, fetched) in &mut groups {
                if let Ok(topics) = fetched {
                    hide_old(image, question.fetch.topics.is_none(), topics);
                }
            }
            answer(image, &groups, version)
        });
        respond(&asked, &response)
    }))
}

/// One call for each shard, with the places of its questions.
async fn ask_all(context: &Context, questions: &[Question]) -> Vec<(Vec<usize>, Call)> {
    let mut by_shard: Vec<(ShardId, Vec<usize>)> = Vec::new();
    for (place, question) in questions.iter().enumerate() {
        let shard = coordinator(context, &question.fetch.group_id);
        match by_shard.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, places)) => places.push(place),
            None => by_shard.push((shard, vec![place])),
        }
    }
    let mut calls = Vec::with_capacity(by_shard.len());
    for (shard, places) in by_shard {
        let fetches = places.iter().map(|place| questions[*place].fetch.clone());
        let request = GroupRequest::OffsetFetch(fetches.collect());
        calls.push((places, ask(context, shard, request).await));
    }
    calls
}

fn questions(image: &Image, request: &OffsetFetchRequest, version: i16) -> Vec<Question> {
    if version < FIRST_VERSION_WITH_GROUPS {
        let topics = request.topics.as_ref();
        let topics = topics.map(|topics| {
            let topics = topics.iter();
            topics
                .map(|topic| (own(&topic.name), topic.partition_indexes.clone()))
                .collect()
        });
        return vec![Question {
            group_id: request.group_id.clone(),
            fetch: OffsetFetch {
                group_id: own(&request.group_id),
                topics,
            },
            unknown: Vec::new(),
        }];
    }
    let groups = request.groups.iter().map(|group| {
        let mut unknown = Vec::new();
        let topics = group.topics.as_ref().map(|topics| {
            let mut known = Vec::new();
            for topic in topics {
                let partitions = topic.partition_indexes.clone();
                if version < FIRST_VERSION_BY_ID {
                    known.push((own(&topic.name), partitions));
                } else if let Some(found) = image.topic(topic_id(topic.topic_id)) {
                    known.push((found.name.clone(), partitions));
                } else {
                    unknown.push((topic.topic_id, partitions));
                }
            }
            known
        });
        Question {
            group_id: group.group_id.clone(),
            fetch: OffsetFetch {
                group_id: own(&group.group_id),
                topics,
            },
            unknown,
        }
    });
    groups.collect()
}

/// Hides offsets of topics that went and whose names others have by now: their tombstones may be on
/// their way. Where all offsets are asked for, they are left out.
fn hide_old(image: &Image, asks_for_all: bool, topics: &mut Vec<FetchedTopic>) {
    for topic in topics.iter_mut() {
        let Some(current) = image.topic_named(&topic.name).map(|found| found.id) else {
            continue;
        };
        let is_old = |partition: &FetchedPartition| {
            partition.topic_id != TopicId::ZERO && partition.topic_id != current
        };
        if asks_for_all {
            topic.partitions.retain(|partition| !is_old(partition));
        }
        for partition in topic.partitions.iter_mut().filter(|p| is_old(p)) {
            *partition = nothing(partition.partition);
        }
    }
    if asks_for_all {
        topics.retain(|topic| !topic.partitions.is_empty());
    }
}

fn answer(image: &Image, groups: &[(&Question, Fetched)], version: i16) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    if version >= FIRST_VERSION_WITH_GROUPS {
        let groups = groups.iter();
        let told = groups.map(|(question, fetched)| group(image, question, fetched, version));
        response.groups = told.collect();
        return response;
    }
    let Some((question, fetched)) = groups.first() else {
        return response;
    };
    match fetched {
        Ok(topics) => response.topics = topics.iter().map(|t| topic(t, version, None)).collect(),
        Err(error) if version >= FIRST_VERSION_WITH_ERROR => {
            response.error_code = code(Err(*error));
        }
        Err(error) => {
            let topics = question.fetch.topics.iter().flatten();
            let topics = topics.map(|(name, partitions)| {
                let nothing = FetchedTopic {
                    name: name.clone(),
                    partitions: partitions.iter().map(|p| nothing(*p)).collect(),
                };
                topic(&nothing, version, Some(*error))
            });
            response.topics = topics.collect();
        }
    }
    response
}

fn nothing(partition: i32) -> FetchedPartition {
    FetchedPartition {
        partition,
        topic_id: TopicId::ZERO,
        offset: -1,
        leader_epoch: -1,
        metadata: Default::default(),
    }
}

fn topic(
    topic: &FetchedTopic,
    version: i16,
    error: Option<GroupError>,
) -> OffsetFetchResponseTopic {
    let mut response = OffsetFetchResponseTopic::default();
    response.name = wire(&topic.name);
    let partitions = topic.partitions.iter().map(|partition| {
        let mut response = OffsetFetchResponsePartition::default();
        response.partition_index = partition.partition;
        response.committed_offset = partition.offset;
        if version >= FIRST_VERSION_WITH_EPOCH {
            response.committed_leader_epoch = partition.leader_epoch;
        }
        response.metadata = Some(wire(&partition.metadata));
        response.error_code = super::code_of(error);
        response
    });
    response.partitions = partitions.collect();
    response
}

fn group(
    image: &Image,
    question: &Question,
    fetched: &Fetched,
    version: i16,
) -> OffsetFetchResponseGroup {
    let mut response = OffsetFetchResponseGroup::default();
    response.group_id = question.group_id.clone();
    let topics = match fetched {
        Ok(topics) => topics,
        Err(error) => {
            response.error_code = code(Err(*error));
            return response;
        }
    };
    for topic in topics {
        let mut told = OffsetFetchResponseTopics::default();
        if version < FIRST_VERSION_BY_ID {
            told.name = wire(&topic.name);
        } else if let Some(found) = image.topic_named(&topic.name) {
            told.topic_id = uuid(found.id);
        } else {
            // It has gone meanwhile, and has no id any more.
            continue;
        }
        let none = ErrorCode::None.code();
        let partitions = topic.partitions.iter();
        told.partitions = partitions.map(|p| partition(p, none)).collect();
        response.topics.push(told);
    }
    for (id, partitions) in &question.unknown {
        let mut told = OffsetFetchResponseTopics::default();
        told.topic_id = *id;
        let unknown = ErrorCode::UnknownTopicId.code();
        let partitions = partitions.iter();
        let partitions = partitions.map(|number| partition(&nothing(*number), unknown));
        told.partitions = partitions.collect();
        response.topics.push(told);
    }
    response
}

fn partition(fetched: &FetchedPartition, error_code: i16) -> OffsetFetchResponsePartitions {
    let mut response = OffsetFetchResponsePartitions::default();
    response.partition_index = fetched.partition;
    response.committed_offset = fetched.offset;
    response.committed_leader_epoch = fetched.leader_epoch;
    response.metadata = Some(wire(&fetched.metadata));
    response.error_code = error_code;
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_controller::MetadataRecord;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let question = Question {
            group_id: StrBytes::from("g"),
            fetch: OffsetFetch {
                group_id: "g".into(),
                topics: Some(vec![("furrow".into(), vec![0])]),
            },
            unknown: vec![(Uuid::from_bytes([1; 16]), vec![0])],
        };
        let fetched = vec![FetchedTopic {
            name: "furrow".into(),
            partitions: vec![FetchedPartition {
                partition: 0,
                topic_id: TopicId::ZERO,
                offset: 5,
                leader_epoch: 2,
                metadata: "seen".into(),
            }],
        }];
        let image = Image::default();
        let spec = Api::OffsetFetch.spec();
        for version in spec.min..=spec.max {
            for fetched in [Ok(fetched.clone()), Err(GroupError::LoadInProgress)] {
                let groups = [(&question, fetched)];
                let response = answer(&image, &groups, version);
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &response).unwrap();
            }
        }
    }

    #[test]
    fn offsets_of_the_last_topic_of_a_name_are_not_told_for_the_next_one() {
        let (old, new) = (TopicId([7; 16]), TopicId([8; 16]));
        let mut image = Image::default();
        image.apply(&MetadataRecord::Topic {
            id: new,
            name: "furrow".to_owned(),
        });
        let partitions = [old, new, TopicId::ZERO].map(|topic_id| FetchedPartition {
            topic_id,
            offset: 5,
            ..nothing(0)
        });
        let fetched = ["furrow", "gone"].map(|name| FetchedTopic {
            name: name.into(),
            partitions: partitions.to_vec(),
        });
        for (asks_for_all, expected) in [(false, &[-1, 5, 5][..]), (true, &[5, 5])] {
            let mut topics = fetched.to_vec();
            hide_old(&image, asks_for_all, &mut topics);
            let offsets = topics[0].partitions.iter().map(|p| p.offset);
            assert_eq!(offsets.collect::<Vec<_>>(), expected);
            assert_eq!(topics[1], fetched[1], "which id it had is not known");
        }
        let mut topics = fetched.to_vec();
        topics[0].partitions.truncate(1);
        hide_old(&image, true, &mut topics);
        assert_eq!(topics, fetched[1..]);
    }
}
