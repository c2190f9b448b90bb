use std::collections::BTreeMap;

use sillon_protocol::Api;
use sillon_protocol::message::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetFetchResponse, StrBytes,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    },
};
use sillon_record::LeaderEpoch;

use super::membership::Membership;
use super::refused;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;
use crate::topic_partition::TopicPartition;

/// Highest version of OffsetCommit and OffsetFetch that names topics by name. Offsets of a topic
/// that is gone can be asked for by name only.
const LAST_VERSION_BY_NAME: i16 = 9;

/// First version of OffsetFetch that asks for several groups (KIP-709).
const FIRST_VERSION_WITH_GROUPS: i16 = 8;

/// First version of OffsetFetch that waits for open transactions.
const FIRST_VERSION_STABLE: i16 = 7;

/// What a group has committed of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The first offset that has not been processed.
    pub offset: i64,
    /// The leader epoch of the record before that, when the member said so.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl From<i64> for CommittedOffset {
    fn from(offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: None,
        }
    }
}

/// Offsets by partition.
pub(super) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

impl Client {
    /// What a group has committed, of all partitions. A group that does not exist has committed
    /// nothing.
    pub fn committed_offsets(&mut self, group: &str) -> Result<Offsets, ClientError> {
        self.with_coordinator(group, |connection| fetch(connection, group, None, false))
    }

    /// Commits offsets for a group that has no members; it comes into being when it does not exist.
    pub fn alter_committed_offsets(
        &mut self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), ClientError> {
        let nobody = Membership::outside(group);
        self.with_coordinator(group, |connection| commit(connection, &nobody, offsets))
    }

    /// Forgets what a group has committed of some partitions. Returns why it did not, partition by
    /// partition; one that nothing was committed of is forgotten as well.
    pub fn delete_committed_offsets(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Option<ClientError>>, ClientError> {
        let mut sorted = partitions.to_vec();
        sorted.sort();
        sorted.dedup();
        let topics = TopicPartition::by_topic(&sorted).map(|places| {
            let mut topic = OffsetDeleteRequestTopic::default();
            topic.name = StrBytes::from(places[0].topic.as_str());
            for place in places {
                let mut partition = OffsetDeleteRequestPartition::default();
                partition.partition_index = place.partition;
                topic.partitions.push(partition);
            }
            topic
        });
        let mut request = OffsetDeleteRequest::default();
        request.group_id = StrBytes::from(group);
        request.topics = topics.collect();
        self.with_coordinator(group, |connection| {
            let answer = connection.call(&request)?;
            if answer.error_code != 0 {
                let what = format!("delete offsets of group {group}");
                return Err(refused(&what, group, code(answer.error_code), None));
            }
            let mut results = BTreeMap::new();
            for topic in &answer.topics {
                for partition in &topic.partitions {
                    let place = TopicPartition::new(&*topic.name, partition.partition_index);
                    let what = format!("delete the offset of {place}");
                    let error = partition.error_code;
                    let error = (error != 0).then(|| refused(&what, group, code(error), None));
                    results.insert(place, error);
                }
            }
            everything_answered(connection, Api::OffsetDelete, &sorted, &results)?;
            Ok(results)
        })
    }
}

/// Asks a coordinator for a group's offsets; of all partitions when none are named. Partitions
/// without one are left out. `is_stable`: those that an open transaction may still change are a
/// passing error.
pub(super) fn fetch(
    connection: &mut Connection,
    group: &str,
    partitions: Option<&[TopicPartition]>,
    is_stable: bool,
) -> Result<Offsets, ClientError> {
    let version = connection.version(Api::OffsetFetch)?;
    let version = version.min(LAST_VERSION_BY_NAME);
    let names = partitions.map(|sorted| {
        let topics = TopicPartition::by_topic(sorted);
        let topics = topics.map(|places| {
            let indexes: Vec<i32> = places.iter().map(|place| place.partition).collect();
            (StrBytes::from(places[0].topic.as_str()), indexes)
        });
        topics.collect::<Vec<_>>()
    });
    let mut request = OffsetFetchRequest::default();
    request.require_stable = is_stable && version >= FIRST_VERSION_STABLE;
    if version >= FIRST_VERSION_WITH_GROUPS {
        let mut asked = OffsetFetchRequestGroup::default();
        asked.group_id = StrBytes::from(group);
        asked.topics = names.map(|names| {
            let topics = names.into_iter().map(|(name, partition_indexes)| {
                let mut topic = OffsetFetchRequestTopics::default();
                topic.name = name;
                topic.partition_indexes = partition_indexes;
                topic
            });
            topics.collect()
        });
        request.groups = vec![asked];
        request.topics = Some(Vec::new());
    } else {
        request.group_id = StrBytes::from(group);
        request.topics = names.map(|names| {
            let topics = names.into_iter().map(|(name, partition_indexes)| {
                let mut topic = OffsetFetchRequestTopic::default();
                topic.name = name;
                topic.partition_indexes = partition_indexes;
                topic
            });
            topics.collect()
        });
    }
    let answer = connection.call_up_to(&request, LAST_VERSION_BY_NAME)?;
    read(connection, group, &answer, version)
}

/// One answered partition: where, its offset, its leader epoch, its error.
type Answered = (TopicPartition, i64, i32, i16);

fn read(
    connection: &Connection,
    group: &str,
    answer: &OffsetFetchResponse,
    version: i16,
) -> Result<Offsets, ClientError> {
    let what = format!("offsets of group {group}");
    let (error, answered): (i16, Vec<Answered>) = if version >= FIRST_VERSION_WITH_GROUPS {
        let Some(found) = answer.groups.first() else {
            let silent = Malformed::Silent(format!("group {group}"));
            return Err(connection.malformed(Api::OffsetFetch, silent));
        };
        let partitions = found.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|part| {
                let place = TopicPartition::new(&*topic.name, part.partition_index);
                let epoch = part.committed_leader_epoch;
                (place, part.committed_offset, epoch, part.error_code)
            })
        });
        (found.error_code, partitions.collect())
    } else {
        let partitions = answer.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|part| {
                let place = TopicPartition::new(&*topic.name, part.partition_index);
                let epoch = part.committed_leader_epoch;
                (place, part.committed_offset, epoch, part.error_code)
            })
        });
        (answer.error_code, partitions.collect())
    };
    if error != 0 {
        return Err(refused(&what, group, code(error), None));
    }
    let mut offsets = Offsets::new();
    for (place, offset, epoch, error) in answered {
        if error != 0 {
            let what = format!("{what}, partition {place}");
            return Err(refused(&what, group, code(error), None));
        }
        if offset >= 0 {
            let committed = CommittedOffset {
                offset,
                leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
            };
            offsets.insert(place, committed);
        }
    }
    Ok(offsets)
}

/// Commits offsets, as a member or for a group without members.
pub(super) fn commit(
    connection: &mut Connection,
    membership: &Membership,
    offsets: &Offsets,
) -> Result<(), ClientError> {
    let places: Vec<TopicPartition> = offsets.keys().cloned().collect();
    let topics = TopicPartition::by_topic(&places).map(|places| {
        let mut topic = OffsetCommitRequestTopic::default();
        topic.name = StrBytes::from(places[0].topic.as_str());
        for place in places {
            let committed = &offsets[place];
            let mut partition = OffsetCommitRequestPartition::default();
            partition.partition_index = place.partition;
            partition.committed_offset = committed.offset;
            partition.committed_leader_epoch = committed.leader_epoch.map_or(-1, |epoch| epoch.0);
            partition.committed_metadata = Some(StrBytes::from(""));
            topic.partitions.push(partition);
        }
        topic
    });
    let mut request = OffsetCommitRequest::default();
    request.group_id = StrBytes::from(membership.group.as_str());
    request.generation_id_or_member_epoch = membership.generation;
    request.member_id = StrBytes::from(membership.member_id.as_str());
    request.group_instance_id = membership.instance_id.as_deref().map(StrBytes::from);
    request.retention_time_ms = -1;
    request.topics = topics.collect();
    let answer = connection.call_up_to(&request, LAST_VERSION_BY_NAME)?;
    all_committed(connection, &membership.group, &places, &answer)
}

fn all_committed(
    connection: &Connection,
    group: &str,
    places: &[TopicPartition],
    answer: &OffsetCommitResponse,
) -> Result<(), ClientError> {
    let mut results = BTreeMap::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let place = TopicPartition::new(&*topic.name, partition.partition_index);
            if partition.error_code != 0 {
                let what = format!("commit the offset of {place} for group {group}");
                return Err(refused(&what, group, code(partition.error_code), None));
            }
            results.insert(place, ());
        }
    }
    everything_answered(connection, Api::OffsetCommit, places, &results)
}

fn everything_answered<V>(
    connection: &Connection,
    api: Api,
    asked: &[TopicPartition],
    answered: &BTreeMap<TopicPartition, V>,
) -> Result<(), ClientError> {
    match asked.iter().find(|place| !answered.contains_key(place)) {
        Some(place) => Err(connection.malformed(api, Malformed::Silent(format!("{place}")))),
        None => Ok(()),
    }
}
