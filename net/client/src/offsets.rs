use std::collections::BTreeMap;

use sillon_protocol::Api;
use sillon_protocol::message::{
    ListOffsetsRequest, StrBytes, list_offsets_request::ListOffsetsPartition,
    list_offsets_request::ListOffsetsTopic,
};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;
use crate::topic_partition::TopicPartition;

/// What offset is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Where the next record will be.
    Latest,
    /// The first record that is left.
    Earliest,
    /// The first record at or after this time, in ms since the Unix epoch.
    AtOrAfter(i64),
}

impl OffsetSpec {
    /// Kafka's number for it.
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::AtOrAfter(timestamp_ms) => timestamp_ms,
        }
    }
}

/// An offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The partition.
    pub partition: i32,
    /// The offset; `None` when no record is as late as asked for.
    pub offset: Option<i64>,
}

impl Client {
    /// Looks for an offset in some partitions of a topic, in their order.
    pub fn list_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        spec: OffsetSpec,
    ) -> Result<Vec<FoundOffset>, ClientError> {
        let places = partitions.iter();
        let places: Vec<TopicPartition> = places.map(|p| TopicPartition::new(topic, *p)).collect();
        let found = self.list_offsets_of(&places, spec)?;
        let found = places.iter().map(|place| FoundOffset {
            partition: place.partition,
            offset: found.get(place).copied(),
        });
        Ok(found.collect())
    }

    /// Looks for an offset in partitions of any topics. Those without a record as late as asked for
    /// are left out.
    pub fn list_offsets_of(
        &mut self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        self.retrying(|client| {
            let mut found = BTreeMap::new();
            for (leader, places) in client.all_by_leader(partitions)? {
                client.with(leader, |connection| {
                    list(connection, &places, spec, &mut found)
                })?;
            }
            let found = found.into_iter();
            Ok(found
                .filter_map(|(place, offset)| Some((place, offset?)))
                .collect())
        })
    }
}

/// Asks one leader; `places` are sorted.
fn list(
    connection: &mut Connection,
    places: &[TopicPartition],
    spec: OffsetSpec,
    found: &mut BTreeMap<TopicPartition, Option<i64>>,
) -> Result<(), ClientError> {
    let topics = TopicPartition::by_topic(places).map(|places| {
        let mut topic = ListOffsetsTopic::default();
        topic.name = StrBytes::from(places[0].topic.as_str());
        for place in places {
            let mut partition = ListOffsetsPartition::default();
            partition.partition_index = place.partition;
            partition.timestamp = spec.timestamp();
            topic.partitions.push(partition);
        }
        topic
    });
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    request.topics = topics.collect();
    let answer = connection.call(&request)?;
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let place = TopicPartition::new(&*topic.name, partition.partition_index);
            if partition.error_code != 0 {
                let (topic, index) = (&place.topic, place.partition);
                let what = format!("offsets of topic {topic}, partition {index}");
                let error = code(partition.error_code);
                return Err(ClientError::refused(what, error, None::<&str>));
            }
            found.insert(place, (partition.offset >= 0).then_some(partition.offset));
        }
    }
    match places.iter().find(|place| !found.contains_key(place)) {
        Some(place) => {
            let (topic, index) = (&place.topic, place.partition);
            let silent = Malformed::Silent(format!("topic {topic}, partition {index}"));
            Err(connection.malformed(Api::ListOffsets, silent))
        }
        None => Ok(()),
    }
}
