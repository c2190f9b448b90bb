use std::collections::BTreeSet;

use sillon_record::{PartitionIncarnation, TopicId};

use crate::{DeleteTopicError, DeletedTopic, Image, MetadataRecord, TopicTarget};

/// What a DeleteTopics request comes to.
#[derive(Debug, Default)]
pub(crate) struct Deletion {
    pub results: Vec<Result<DeletedTopic, DeleteTopicError>>,
    pub records: Vec<MetadataRecord>,
    /// The partitions that go.
    pub partitions: Vec<PartitionIncarnation>,
}

/// Decides about a DeleteTopics request. Applies nothing.
pub(crate) fn delete_topics(image: &Image, topics: Vec<TopicTarget>) -> Deletion {
    let mut deletion = Deletion::default();
    let mut seen = BTreeSet::new();
    for target in topics {
        let result = delete_topic(image, target, &mut seen, &mut deletion);
        deletion.results.push(result);
    }
    deletion
}

fn delete_topic(
    image: &Image,
    target: TopicTarget,
    seen: &mut BTreeSet<TopicId>,
    deletion: &mut Deletion,
) -> Result<DeletedTopic, DeleteTopicError> {
    let topic = match target {
        TopicTarget::Name(name) => {
            let topic = image.topic_named(&name);
            topic.ok_or(DeleteTopicError::UnknownTopic { name })?
        }
        TopicTarget::Id(id) => {
            let topic = image.topic(id);
            topic.ok_or(DeleteTopicError::UnknownTopicId { id })?
        }
    };
    if !seen.insert(topic.id) {
        return Err(DeleteTopicError::NamedTwice);
    }
    let record = MetadataRecord::TopicRemoved { id: topic.id };
    deletion.records.push(record);
    let partitions = topic.partitions().iter();
    deletion
        .partitions
        .extend(partitions.map(|p| p.incarnation));
    Ok(DeletedTopic {
        id: topic.id,
        name: topic.name.to_string(),
    })
}
