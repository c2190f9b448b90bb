use std::rc::Rc;

use sillon_controller::{Image, Partition, Topic};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use sillon_protocol::message::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    describe_topic_partitions_request,
};

use super::metadata::is_internal;
use super::{RequestError, decode, operations, respond, text, uuid};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::limits::DESCRIBED_PARTITIONS_MAX;

/// Topics and their partitions, by name, page by page (KIP-966).
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeTopicPartitionsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let response = context.core.with_image(|image| answer(image, &request));
        respond(&asked, &response)
    }))
}

fn answer(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    response.next_cursor = None;
    let cursor = request.cursor.as_ref();
    let begins_at = |name: &str| cursor.is_none_or(|cursor| name >= &*cursor.topic_name);
    let names: Vec<&str> = if request.topics.is_empty() {
        let all = image.topics_by_name().map(|topic| &*topic.name);
        all.filter(|name| begins_at(name)).collect()
    } else {
        let asked = request.topics.iter().map(|topic| &*topic.name);
        let mut names: Vec<&str> = asked.filter(|name| begins_at(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let wanted = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = wanted.clamp(1, DESCRIBED_PARTITIONS_MAX);
    for name in names {
        let first = first_partition(cursor, name);
        let Some(topic) = image.topic_named(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        if left == 0 {
            response.next_cursor = Some(cursor_at(name, first));
            break;
        }
        let partitions = topic.partitions().get(first..).unwrap_or_default();
        let page = &partitions[..partitions.len().min(left)];
        left -= page.len();
        response.topics.push(describe(topic, page));
        if page.len() < partitions.len() {
            response.next_cursor = Some(cursor_at(name, first + page.len()));
            break;
        }
    }
    response
}

fn first_partition(
    cursor: Option<&describe_topic_partitions_request::Cursor>,
    name: &str,
) -> usize {
    let here = cursor.filter(|cursor| *cursor.topic_name == *name);
    here.map_or(0, |cursor| cursor.partition_index.max(0) as usize)
}

fn cursor_at(name: &str, partition: usize) -> Cursor {
    let mut cursor = Cursor::default();
    cursor.topic_name = text(name);
    cursor.partition_index = partition as i32;
    cursor
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let mut response = DescribeTopicPartitionsResponseTopic::default();
    response.error_code = ErrorCode::UnknownTopicOrPartition.code();
    response.name = Some(text(name));
    response
}

fn describe(topic: &Topic, page: &[Partition]) -> DescribeTopicPartitionsResponseTopic {
    let mut response = DescribeTopicPartitionsResponseTopic::default();
    response.name = Some(text(&*topic.name));
    response.topic_id = uuid(topic.id);
    response.is_internal = is_internal(&topic.name);
    response.topic_authorized_operations = operations::ON_TOPIC;
    response.partitions = page.iter().map(partition).collect();
    response
}

fn partition(partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let mut response = DescribeTopicPartitionsResponsePartition::default();
    if partition.leader.is_none() {
        response.error_code = ErrorCode::LeaderNotAvailable.code();
    }
    response.partition_index = partition.partition;
    response.leader_id = partition.leader.map_or(-1, |leader| leader.0);
    response.leader_epoch = partition.leader_epoch.0;
    response.replica_nodes = partition.replicas.iter().map(|broker| broker.0).collect();
    response.isr_nodes = partition.isr.iter().map(|broker| broker.0).collect();
    response.eligible_leader_replicas = Some(Vec::new());
    response.last_known_elr = Some(Vec::new());
    response
}

#[cfg(test)]
mod tests {
    use sillon_controller::{MetadataRecord, TopicConfig};
    use sillon_protocol::message::StrBytes;
    use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

    use super::*;

    fn image() -> Image {
        let mut image = Image::new(TopicConfig::default());
        let mut incarnation = 0;
        for (id, name) in [(3, "a"), (2, "b"), (1, "c")] {
            let id = TopicId([id; 16]);
            let name = name.to_owned();
            image.apply(&MetadataRecord::Topic { id, name });
            for partition in 0..3 {
                incarnation += 1;
                image.apply(&MetadataRecord::Partition {
                    topic: id,
                    partition,
                    incarnation: PartitionIncarnation(incarnation),
                    replicas: vec![BrokerId(1)],
                });
            }
        }
        image
    }

    fn asking(topics: &[&str], limit: i32) -> DescribeTopicPartitionsRequest {
        let mut request = DescribeTopicPartitionsRequest::default();
        request.response_partition_limit = limit;
        request.cursor = None;
        let topic = |name: &&str| {
            let mut topic = describe_topic_partitions_request::TopicRequest::default();
            topic.name = StrBytes::from(*name);
            topic
        };
        request.topics = topics.iter().map(topic).collect();
        request
    }

    /// Goes through all pages.
    fn pages(mut request: DescribeTopicPartitionsRequest) -> Vec<Vec<(String, i16, Vec<i32>)>> {
        let image = image();
        let mut pages = Vec::new();
        loop {
            let response = answer(&image, &request);
            let page = response.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|p| p.partition_index);
                let name = topic.name.as_deref().unwrap().to_owned();
                (name, topic.error_code, partitions.collect())
            });
            pages.push(page.collect());
            let Some(next) = response.next_cursor else {
                return pages;
            };
            let mut cursor = describe_topic_partitions_request::Cursor::default();
            cursor.topic_name = next.topic_name;
            cursor.partition_index = next.partition_index;
            request.cursor = Some(cursor);
        }
    }

    #[test]
    fn all_topics_come_by_name_in_pages_that_fit_together() {
        let page = |topic: &str, partitions: &[i32]| (topic.to_owned(), 0, partitions.to_vec());
        assert_eq!(
            pages(asking(&[], 4)),
            [
                vec![page("a", &[0, 1, 2]), page("b", &[0])],
                vec![page("b", &[1, 2]), page("c", &[0, 1])],
                vec![page("c", &[2])],
            ]
        );
        assert_eq!(pages(asking(&[], 3)).len(), 3);
        assert_eq!(pages(asking(&[], 2000)).len(), 1);
    }

    #[test]
    fn topics_that_are_asked_for_come_once_and_by_name() {
        let found = pages(asking(&["c", "no", "a", "c"], 2000)).remove(0);
        let names: Vec<_> = found
            .iter()
            .map(|(name, code, _)| (&**name, *code))
            .collect();
        assert_eq!(names, [("a", 0), ("c", 0), ("no", 3)]);
    }
}
