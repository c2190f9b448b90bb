use std::collections::BTreeMap;

use sillon_protocol::Api;
use sillon_protocol::message::{
    ListOffsetsRequest, StrBytes, list_offsets_request::ListOffsetsPartition,
    list_offsets_request::ListOffsetsTopic,
};
use sillon_record::BrokerId;

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;

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
        self.retrying(|client| {
            let mut by_leader: BTreeMap<BrokerId, Vec<i32>> = BTreeMap::new();
            for partition in partitions {
                let leader = client.leader(topic, *partition)?;
                by_leader.entry(leader).or_default().push(*partition);
            }
            let mut found = BTreeMap::new();
            for (leader, partitions) in by_leader {
                client.with(leader, |connection| {
                    list(connection, topic, &partitions, spec, &mut found)
                })?;
            }
            let found = partitions.iter().map(|partition| FoundOffset {
                partition: *partition,
                offset: found.get(partition).copied().flatten(),
            });
            Ok(found.collect())
        })
    }
}

fn list(
    connection: &mut Connection,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
    found: &mut BTreeMap<i32, Option<i64>>,
) -> Result<(), ClientError> {
    let mut asked = ListOffsetsTopic::default();
    asked.name = StrBytes::from(topic);
    for index in partitions {
        let mut partition = ListOffsetsPartition::default();
        partition.partition_index = *index;
        partition.timestamp = spec.timestamp();
        asked.partitions.push(partition);
    }
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    request.topics = vec![asked];
    let answer = connection.call(&request)?;
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let index = partition.partition_index;
        if partition.error_code != 0 {
            let what = format!("offsets of topic {topic}, partition {index}");
            let error = code(partition.error_code);
            return Err(ClientError::refused(what, error, None::<&str>));
        }
        found.insert(index, (partition.offset >= 0).then_some(partition.offset));
    }
    match partitions.iter().find(|index| !found.contains_key(index)) {
        Some(index) => {
            let silent = Malformed::Silent(format!("topic {topic}, partition {index}"));
            Err(connection.malformed(Api::ListOffsets, silent))
        }
        None => Ok(()),
    }
}
