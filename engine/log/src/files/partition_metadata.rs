use sillon_record::TopicId;

use super::uuid::parse_uuid;

/// The text of Kafka's `partition.metadata`: which topic a partition's folder belongs to.
pub fn encode_partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}")
}

/// Reads what [`encode_partition_metadata`] writes.
///
/// # Errors
/// It is something else, or a version above 0.
pub fn decode_partition_metadata(text: &str) -> Result<TopicId, PartitionMetadataError> {
    let mut lines = text.lines();
    let version = value(lines.next(), "version")?;
    if version != "0" {
        return Err(PartitionMetadataError::Version {
            version: version.to_owned(),
        });
    }
    let topic_id = value(lines.next(), "topic_id")?;
    match parse_uuid(topic_id) {
        // Kafka refuses the id of no topic here as well.
        Some(topic) if topic != 0 => Ok(TopicId(topic.to_be_bytes())),
        _ => Err(PartitionMetadataError::TopicId {
            topic_id: topic_id.to_owned(),
        }),
    }
}

fn value<'a>(line: Option<&'a str>, key: &'static str) -> Result<&'a str, PartitionMetadataError> {
    line.and_then(|line| line.split_once(':'))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.trim())
        .ok_or(PartitionMetadataError::Missing { key })
}

/// A `partition.metadata` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionMetadataError {
    /// A line is not there, or not in its place.
    #[error("partition.metadata lacks the line `{key}: ...`")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// Written by a newer program.
    #[error("partition.metadata has version {version:?}; version 0 is known")]
    Version {
        /// What stands there.
        version: String,
    },
    /// Not the id of a topic.
    #[error("partition.metadata has topic_id {topic_id:?}, which is not the id of a topic")]
    TopicId {
        /// What stands there.
        topic_id: String,
    },
}
