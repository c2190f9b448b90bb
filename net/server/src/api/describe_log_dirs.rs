use std::collections::BTreeMap;
use std::rc::Rc;

use sillon_controller::{Image, Topic};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use sillon_protocol::message::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use sillon_record::TopicPartition;
use sillon_shard::{Describe, Request};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::route::{ByOwner, answers};

/// First version with the size of the file system (KIP-827).
const FIRST_VERSION_WITH_TOTALS: i16 = 4;

/// Where partitions lie and how large they are.
pub(super) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeLogDirsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let partitions = context.core.with_image(|image| partitions(image, &request));
        let sizes = sizes(&context, partitions).await?;
        let mut result = DescribeLogDirsResult::default();
        result.log_dir = text(context.data_dir.display().to_string());
        result.topics = context.core.with_image(|image| topics(image, &sizes));
        if asked.version >= FIRST_VERSION_WITH_TOTALS {
            match rustix::fs::statvfs(&*context.data_dir) {
                Ok(file_system) => {
                    let bytes = |blocks: u64| blocks.saturating_mul(file_system.f_frsize) as i64;
                    result.total_bytes = bytes(file_system.f_blocks);
                    result.usable_bytes = bytes(file_system.f_bavail);
                }
                Err(error) => {
                    tracing::error!(%error, "the file system of the data folder does not answer");
                    result.error_code = ErrorCode::KafkaStorageError.code();
                }
            }
        }
        let mut response = DescribeLogDirsResponse::default();
        response.results.push(result);
        respond(&asked, &response)
    }))
}

/// The partitions that are asked for and exist; without a list all there are.
fn partitions(image: &Image, request: &DescribeLogDirsRequest) -> Vec<TopicPartition> {
    let place = |topic: &Topic, partition| TopicPartition {
        topic: topic.id,
        partition,
    };
    let mut found = Vec::new();
    match &request.topics {
        None => {
            for topic in image.topics() {
                let partitions = topic.partitions().iter();
                found.extend(partitions.map(|p| place(topic, p.partition)));
            }
        }
        Some(topics) => {
            for asked in topics {
                let Some(topic) = image.topic_named(&asked.topic) else {
                    continue;
                };
                let indexes = asked.partitions.iter().copied();
                let known = indexes.filter(|index| topic.partition(*index).is_some());
                found.extend(known.map(|index| place(topic, index)));
            }
            found.sort_unstable();
            found.dedup();
        }
    }
    found
}

/// Sizes in bytes, as far as a shard has the partition.
async fn sizes(
    context: &Context,
    partitions: Vec<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, u64>, Ended> {
    let mut by_owner = ByOwner::new(context.core.shards());
    for partition in partitions {
        let entry = Describe {
            partition,
            ..Describe::default()
        };
        by_owner.push(partition, entry);
    }
    let calls = by_owner.ask(&context.core, Request::Describe).await;
    let answered = answers(calls, |request| match request {
        Request::Describe(entries) => Some(entries),
        _ => None,
    });
    let mut sizes = BTreeMap::new();
    for entry in answered.await?.into_iter().flatten() {
        if let Some(Ok(described)) = entry.outcome {
            sizes.insert(entry.partition, described.size_bytes);
        }
    }
    Ok(sizes)
}

fn topics(image: &Image, sizes: &BTreeMap<TopicPartition, u64>) -> Vec<DescribeLogDirsTopic> {
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    let mut last = None;
    for (place, size_bytes) in sizes {
        let Some(topic) = image.topic(place.topic) else {
            continue;
        };
        if last != Some(topic.id) {
            last = Some(topic.id);
            let mut response = DescribeLogDirsTopic::default();
            response.name = text(&*topic.name);
            topics.push(response);
        }
        let mut partition = DescribeLogDirsPartition::default();
        partition.partition_index = place.partition;
        partition.partition_size = *size_bytes as i64;
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(partition);
        }
    }
    topics
}
