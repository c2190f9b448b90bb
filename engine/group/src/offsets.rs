use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_record::TopicId;

use crate::memory::{OFFSET_BYTES, TOPIC_BYTES};

/// An offset that is durable in the group's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Of which topic of that name; [`TopicId::ZERO`]: the record does not say. Another topic's
    /// offset is none of the one that has its name now.
    pub topic_id: TopicId,
    /// The next record to be read.
    pub offset: i64,
    /// The epoch of the record before it; -1 when unknown.
    pub leader_epoch: i32,
    /// What the client wrote beside it.
    pub metadata: Arc<str>,
    /// When it was committed, in ms since the Unix epoch.
    pub committed_ms: i64,
    /// When it ends, where the client said so (OffsetCommit 2 to 4), in ms since the Unix epoch.
    pub expires_ms: Option<i64>,
}

impl CommittedOffset {
    /// Whether it is an offset of that topic, as far as is known.
    pub(crate) fn is_of(&self, topic: TopicId) -> bool {
        self.topic_id == topic || self.topic_id == TopicId::ZERO || topic == TopicId::ZERO
    }
}

/// What is known of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub committed: Option<CommittedOffset>,
    /// Commits on their way into the log.
    pub pending_count: u32,
}

/// The offsets of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Slot>>,
    /// What they take, in bytes.
    bytes: u64,
}

impl Slot {
    fn bytes(&self) -> u64 {
        let text = self
            .committed
            .as_ref()
            .map_or(0, |found| found.metadata.len());
        OFFSET_BYTES + text as u64
    }
}

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        let slot = self.topics.get(topic)?.get(&partition)?;
        slot.committed.as_ref()
    }

    pub(crate) fn has(&self, topic: &str, partition: i32) -> bool {
        let topic = self.topics.get(topic);
        topic.is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// A commit is on its way.
    pub(crate) fn begin(&mut self, topic: &Arc<str>, partition: i32) {
        self.slot(topic, partition).pending_count += 1;
    }

    /// A commit has ended: with an offset that is durable, or without.
    pub(crate) fn end(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        committed: Option<CommittedOffset>,
    ) {
        let slot = self.slot(topic, partition);
        slot.pending_count = slot.pending_count.saturating_sub(1);
        if let Some(committed) = committed {
            self.put(topic, partition, committed);
        }
        self.forget_empty(topic, partition);
    }

    pub(crate) fn put(&mut self, topic: &Arc<str>, partition: i32, committed: CommittedOffset) {
        let slot = self.slot(topic, partition);
        let before = slot.bytes();
        slot.committed = Some(committed);
        let after = slot.bytes();
        self.bytes = self.bytes - before + after;
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(slot) = self
            .topics
            .get_mut(topic)
            .and_then(|partitions| partitions.get_mut(&partition))
        {
            self.bytes -= slot.bytes();
            slot.committed = None;
            self.bytes += slot.bytes();
        }
        self.forget_empty(topic, partition);
    }

    fn slot(&mut self, topic: &Arc<str>, partition: i32) -> &mut Slot {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), BTreeMap::new());
            self.bytes += TOPIC_BYTES + topic.len() as u64;
        }
        let partitions = self.topics.get_mut(topic).expect("inserted above");
        partitions.entry(partition).or_insert_with(|| {
            self.bytes += OFFSET_BYTES;
            Slot::default()
        })
    }

    fn forget_empty(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        if partitions
            .get(&partition)
            .is_some_and(|slot| slot.committed.is_none() && slot.pending_count == 0)
        {
            partitions.remove(&partition);
            self.bytes -= OFFSET_BYTES;
        }
        if partitions.is_empty() {
            self.topics.remove(topic);
            self.bytes -= TOPIC_BYTES + topic.len() as u64;
        }
    }

    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What one of them takes, in bytes; 0: it is not there.
    pub(crate) fn bytes_of(&self, topic: &str, partition: i32) -> u64 {
        let slot = self
            .topics
            .get(topic)
            .and_then(|found| found.get(&partition));
        slot.map_or(0, Slot::bytes)
    }

    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All partitions with an offset or a commit under way, by topic and number.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Slot)> {
        let topics = self.topics.iter();
        topics.flat_map(|(topic, partitions)| {
            let partitions = partitions.iter();
            partitions.map(move |(partition, slot)| (topic, *partition, slot))
        })
    }

    /// Those of one topic.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<(Arc<str>, i32)> {
        let Some((topic, partitions)) = self.topics.get_key_value(topic) else {
            return Vec::new();
        };
        let numbers = partitions.keys();
        numbers.map(|number| (topic.clone(), *number)).collect()
    }
}
