use std::collections::BTreeMap;

use sillon_protocol::Api;
use sillon_protocol::message::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use sillon_protocol::message::{DeleteRecordsRequest, StrBytes};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;
use crate::topic_partition::TopicPartition;

/// How long a broker may take, in ms.
const TIMEOUT_MS: i32 = 30_000;

/// Kafka's number for the high watermark.
const HIGH_WATERMARK: i64 = -1;

impl Client {
    /// Gives up the records of some partitions before an offset; `None` is all there are. Returns
    /// where each now begins, in the partitions' order.
    pub fn delete_records(
        &mut self,
        topic: &str,
        partitions: &[i32],
        before: Option<i64>,
    ) -> Result<Vec<i64>, ClientError> {
        let before = before.unwrap_or(HIGH_WATERMARK);
        let places = partitions.iter();
        let places: Vec<TopicPartition> = places.map(|p| TopicPartition::new(topic, *p)).collect();
        self.retrying(|client| {
            let mut starts = BTreeMap::new();
            for (leader, places) in client.all_by_leader(&places)? {
                let partitions: Vec<i32> = places.iter().map(|place| place.partition).collect();
                client.with(leader, |connection| {
                    delete(connection, topic, &partitions, before, &mut starts)
                })?;
            }
            Ok(partitions.iter().map(|index| starts[index]).collect())
        })
    }
}

fn delete(
    connection: &mut Connection,
    topic: &str,
    partitions: &[i32],
    before: i64,
    starts: &mut BTreeMap<i32, i64>,
) -> Result<(), ClientError> {
    let mut wishes = DeleteRecordsTopic::default();
    wishes.name = StrBytes::from(topic);
    for index in partitions {
        let mut wish = DeleteRecordsPartition::default();
        wish.partition_index = *index;
        wish.offset = before;
        wishes.partitions.push(wish);
    }
    let mut request = DeleteRecordsRequest::default();
    request.topics = vec![wishes];
    request.timeout_ms = TIMEOUT_MS;
    let answer = connection.call(&request)?;
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let index = partition.partition_index;
        if partition.error_code != 0 {
            let what = format!("delete records of topic {topic}, partition {index}");
            let error = code(partition.error_code);
            return Err(ClientError::refused(what, error, None::<&str>));
        }
        starts.insert(index, partition.low_watermark);
    }
    match partitions.iter().find(|index| !starts.contains_key(index)) {
        Some(index) => {
            let silent = Malformed::Silent(format!("topic {topic}, partition {index}"));
            Err(connection.malformed(Api::DeleteRecords, silent))
        }
        None => Ok(()),
    }
}
