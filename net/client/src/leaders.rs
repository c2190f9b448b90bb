use std::collections::BTreeMap;

use sillon_record::BrokerId;

use crate::client::Client;
use crate::error::ClientError;
use crate::topic_partition::TopicPartition;

/// Partitions by the broker that leads them, sorted.
pub(crate) type ByLeader = BTreeMap<BrokerId, Vec<TopicPartition>>;

impl Client {
    /// Sorts partitions by who leads them; what cannot be said of one is its error.
    pub(crate) fn by_leader<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        mut failed: impl FnMut(&'a TopicPartition, ClientError),
    ) -> ByLeader {
        let mut by_leader = ByLeader::new();
        for place in partitions {
            match self.leader(&place.topic, place.partition) {
                Ok(leader) => by_leader.entry(leader).or_default().push(place.clone()),
                Err(error) => failed(place, error),
            }
        }
        for places in by_leader.values_mut() {
            places.sort();
        }
        by_leader
    }

    /// As [`Self::by_leader`], all or nothing.
    pub(crate) fn all_by_leader<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<ByLeader, ClientError> {
        let mut first = None;
        let by_leader = self.by_leader(partitions, |_, error| {
            first.get_or_insert(error);
        });
        first.map_or(Ok(by_leader), Err)
    }
}
