use std::sync::Arc;

use sillon_controller::{Image, Partition, Topic};
use sillon_protocol::{CurrentLeader, ErrorCode, NodeEndpoint, TopicKey};
use sillon_record::{BrokerId, TopicPartition};
use sillon_runtime::{Call, Core};
use sillon_shard::{Refusal, Request, ShardId, owner};

use crate::in_flight::Ended;

/// Why a partition of a request goes to no shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub code: ErrorCode,
    /// For a human, where the response has room for it.
    pub message: Option<String>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Refused {
        Refused {
            code,
            message: None,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused {
            code: refusal.into(),
            message: Some(refusal.to_string()),
        }
    }
}

/// The topic that a request names.
pub(crate) fn find_topic<'a, T: AsRef<str>>(
    image: &'a Image,
    key: &TopicKey<T>,
) -> Result<&'a Topic, ErrorCode> {
    match key {
        TopicKey::Name(name) => {
            let topic = image.topic_named(name.as_ref());
            topic.ok_or(ErrorCode::UnknownTopicOrPartition)
        }
        TopicKey::Id(id) => image.topic(*id).ok_or(ErrorCode::UnknownTopicId),
    }
}

/// A partition that this broker leads.
pub(crate) fn find_led(
    topic: &Topic,
    index: i32,
    broker: BrokerId,
) -> Result<&Partition, ErrorCode> {
    let partition = topic.partition(index);
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match partition.leader == Some(broker) {
        true => Ok(partition),
        false => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// The key of a topic in its response: the request's, without the request's memory.
pub(crate) fn own_key<T: AsRef<str>>(
    key: &TopicKey<T>,
    topic: Option<&Topic>,
) -> TopicKey<Arc<str>> {
    match (key, topic) {
        (TopicKey::Id(id), _) => TopicKey::Id(*id),
        (TopicKey::Name(_), Some(topic)) => TopicKey::Name(topic.name.clone()),
        (TopicKey::Name(name), None) => TopicKey::Name(Arc::from(name.as_ref())),
    }
}

/// Leaders that responses name to clients that asked the wrong broker (KIP-951).
#[derive(Default)]
pub(crate) struct Leaders {
    pub endpoints: Vec<NodeEndpoint<Arc<str>>>,
}

impl Leaders {
    /// Whom to ask about a partition that answers with `code`.
    pub(crate) fn hint<T: AsRef<str>>(
        &mut self,
        core: &Core,
        code: ErrorCode,
        key: &TopicKey<T>,
        index: i32,
    ) -> Option<CurrentLeader> {
        let helps = [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch];
        if !helps.contains(&code) {
            return None;
        }
        core.with_image(|image| {
            let partition = find_topic(image, key).ok()?.partition(index)?;
            let leader = partition.leader.unwrap_or(BrokerId(-1));
            if let Some(broker) = image.broker(leader)
                && !self.endpoints.iter().any(|known| known.broker == leader)
            {
                self.endpoints.push(NodeEndpoint {
                    broker: leader,
                    host: broker.host.clone(),
                    port: i32::from(broker.port),
                    rack: None,
                });
            }
            Some(CurrentLeader {
                leader,
                epoch: partition.leader_epoch,
            })
        })
    }
}

/// The entries of a request, by the shard that owns their partitions.
pub(crate) struct ByOwner<T> {
    shards: u16,
    pub groups: Vec<(ShardId, Vec<T>)>,
}

/// Where an entry of a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which group.
    pub group: usize,
    /// Which entry of it.
    pub entry: usize,
}

impl<T> ByOwner<T> {
    pub(crate) fn new(shards: u16) -> ByOwner<T> {
        ByOwner {
            shards,
            groups: Vec::new(),
        }
    }

    /// Adds an entry behind those of the same shard.
    pub(crate) fn push(&mut self, partition: TopicPartition, entry: T) -> Place {
        let owner = owner(partition, self.shards);
        let group = self.groups.iter().position(|(shard, _)| *shard == owner);
        let group = group.unwrap_or_else(|| {
            self.groups.push((owner, Vec::new()));
            self.groups.len() - 1
        });
        let entries = &mut self.groups[group].1;
        entries.push(entry);
        Place {
            group,
            entry: entries.len() - 1,
        }
    }

    /// Hands every shard its entries, in the order of the groups. The connection waits here while
    /// a mailbox is full.
    pub(crate) async fn ask(self, core: &Core, request: impl Fn(Vec<T>) -> Request) -> Vec<Call> {
        let mut calls = Vec::with_capacity(self.groups.len());
        for (owner, entries) in self.groups {
            core.has_room(owner).await;
            calls.push(core.call(owner, request(entries)));
        }
        calls
    }
}

/// Waits for all shards, in the order of their groups. `entries` takes out of a request what was
/// put into it.
pub(crate) async fn answers<R>(
    calls: Vec<Call>,
    entries: impl Fn(Request) -> Option<R>,
) -> Result<Vec<R>, Ended> {
    let mut answered = Vec::with_capacity(calls.len());
    for call in calls {
        let entries = entries(call.await.map_err(stopped)?);
        answered.push(entries.expect("a shard hands back what it was given"));
    }
    Ok(answered)
}

/// A call that the broker's end has cut off.
pub(crate) fn stopped(_: sillon_runtime::Stopping) -> Ended {
    Ended::Stopping
}

#[cfg(test)]
mod tests {
    use sillon_record::TopicId;

    use super::*;

    #[test]
    fn entries_keep_their_order_within_their_owner() {
        let mut by_owner = ByOwner::new(2);
        let topic = TopicId([2; 16]);
        let place = |partition| TopicPartition { topic, partition };
        let places: Vec<_> = (0..4).map(|n| by_owner.push(place(n), n)).collect();
        assert_eq!(by_owner.groups.len(), 2);
        for (number, at) in places.iter().enumerate() {
            assert_eq!(by_owner.groups[at.group].1[at.entry], number as i32);
        }
        assert!(
            by_owner
                .groups
                .iter()
                .all(|(_, entries)| entries.is_sorted())
        );
    }
}
