use sillon_controller::{Image, NewTopic};
use sillon_record::{TopicId, TopicPartition};
use sillon_shard::{ShardId, owner};

use crate::coverage::Coverage;
use crate::history::{Checked, Compaction, History, PartitionHistory, Violation};
use crate::random::Random;

/// Names that topics have; few, so that they are used again.
const NAMES: u64 = 6;

/// Most topics at a time.
const TOPICS_MAX: usize = 5;

/// A topic as clients know it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// What is known of it.
    pub state: TopicState,
    /// Since when it is known to be there, in ns.
    pub live_since_ns: u64,
}

/// What clients know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// Its creation was asked for.
    Creating,
    /// Its creation was acknowledged.
    Live,
    /// Its deletion was asked for.
    Deleting,
    /// Its deletion was acknowledged, or its creation never happened.
    Gone,
}

/// All topics there ever were.
#[derive(Default)]
pub struct Topics {
    all: Vec<Topic>,
}

impl Topics {
    /// The topic of that index.
    pub fn topic(&mut self, index: usize) -> &mut Topic {
        &mut self.all[index]
    }

    /// What is known of a partition's topic.
    pub fn state_of(&self, partition: TopicPartition) -> TopicState {
        let topic = self.all.iter().find(|topic| topic.id == partition.topic);
        topic.map_or(TopicState::Gone, |topic| topic.state)
    }

    /// Whether a partition was there for sure when something was sent at `sent_ns`, and still is.
    pub fn is_live_since(&self, partition: TopicPartition, sent_ns: u64) -> bool {
        let mut topics = self.all.iter();
        topics.any(|topic| {
            topic.id == partition.topic
                && topic.state == TopicState::Live
                && topic.live_since_ns <= sent_ns
        })
    }

    /// Partitions of topics that are there for sure.
    pub fn live_partitions(&self) -> Vec<TopicPartition> {
        let live = self.all.iter().filter(|t| t.state == TopicState::Live);
        live.flat_map(Topic::partition_ids).collect()
    }

    /// Live partitions that one shard owns.
    pub fn live_partitions_of(&self, shard: ShardId, shards: u16) -> Vec<TopicPartition> {
        let mut live = self.live_partitions();
        live.retain(|partition| owner(*partition, shards) == shard);
        live
    }

    /// A partition to work on: usually a live one, at times one that is coming or going or gone.
    pub fn pick(&self, random: &mut Random) -> Option<TopicPartition> {
        let mut choices = self.live_partitions();
        if random.percent(5) || choices.is_empty() {
            choices = self.all.iter().flat_map(Topic::partition_ids).collect();
        }
        (!choices.is_empty()).then(|| random.pick(&choices))
    }

    /// A topic to be made, when there is a free name. Returns its index.
    pub fn create(
        &mut self,
        history: &mut History,
        coverage: &mut Coverage,
        random: &mut Random,
    ) -> Option<(usize, NewTopic)> {
        let is_there = |topic: &&Topic| topic.state != TopicState::Gone;
        if self.all.iter().filter(is_there).count() >= TOPICS_MAX {
            return None;
        }
        let name = format!("t{}", random.below(NAMES));
        let mut same = self.all.iter().filter(|topic| topic.name == name);
        if same.clone().any(|topic| topic.state != TopicState::Gone) {
            return None;
        }
        if same.next().is_some() {
            coverage.hit("topic created again under its old name");
        }
        let flush_messages = random.pick(&[1, 1, 1, 2, 10, 1000]);
        let is_log_append_time = random.percent(25);
        let mut new = NewTopic {
            id: TopicId(random.next_u128().to_be_bytes()),
            name: name.clone(),
            partitions: random.between(1, 3) as i32,
            replication_factor: 1,
            ..NewTopic::default()
        };
        let mut set = |key: &str, value: &str| {
            new.configs.push((key.to_owned(), Some(value.to_owned())));
        };
        if flush_messages != 1 {
            set("flush.messages", &flush_messages.to_string());
        }
        if is_log_append_time {
            set("message.timestamp.type", "LogAppendTime");
        }
        let has_retention = random.percent(25);
        let compaction = random
            .percent(35)
            .then(|| draw_compaction(random, &mut set));
        if compaction.is_some() {
            let with_retention = if has_retention {
                "compact,delete"
            } else {
                "compact"
            };
            set("cleanup.policy", with_retention);
        }
        if has_retention {
            set("retention.bytes", "20000");
        }
        let topic = Topic {
            id: new.id,
            name: name.clone(),
            partitions: new.partitions,
            state: TopicState::Creating,
            live_since_ns: u64::MAX,
        };
        for id in topic.partition_ids() {
            let mut fresh = PartitionHistory::new(id, &name, flush_messages, is_log_append_time);
            fresh.may_lose_its_start = has_retention;
            fresh.compaction = compaction;
            history.partitions.insert(id, fresh);
        }
        self.all.push(topic);
        Some((self.all.len() - 1, new))
    }

    /// A live topic to be deleted, when more than one is there.
    pub fn delete(&mut self, random: &mut Random) -> Option<usize> {
        let live: Vec<usize> = (0..self.all.len())
            .filter(|index| self.all[*index].state == TopicState::Live)
            .collect();
        (live.len() > 1).then(|| random.pick(&live))
    }

    /// After a start: what became of creations and deletions that were cut short, and whether the
    /// others are as they were.
    pub fn restarted(&mut self, image: &Image, coverage: &mut Coverage) -> Checked {
        for topic in &mut self.all {
            let is_there = image.topic(topic.id).is_some();
            topic.state = match topic.state {
                TopicState::Live if !is_there => {
                    return Err(Violation::new("topic-lost", format!("{topic:?}")));
                }
                TopicState::Gone if is_there => {
                    return Err(Violation::new("topic-undead", format!("{topic:?}")));
                }
                TopicState::Creating => {
                    coverage.hit("topic creation cut short");
                    known(is_there)
                }
                TopicState::Deleting => {
                    coverage.hit("topic deletion cut short");
                    known(is_there)
                }
                same => same,
            };
            if topic.state == TopicState::Live {
                topic.live_since_ns = 0;
            }
        }
        Ok(())
    }
}

impl Topic {
    /// Its partitions.
    pub fn partition_ids(&self) -> impl Iterator<Item = TopicPartition> + use<> {
        let topic = self.id;
        (0..self.partitions).map(move |partition| TopicPartition { topic, partition })
    }
}

/// How a topic is compacted.
fn draw_compaction(random: &mut Random, set: &mut impl FnMut(&str, &str)) -> Compaction {
    let takes_tombstones = random.percent(50);
    // The second is longer than any run.
    let retention = if takes_tombstones { "0" } else { "3600000000" };
    set("delete.retention.ms", retention);
    set("min.cleanable.dirty.ratio", random.pick(&["0", "0.3"]));
    if random.percent(80) {
        set("max.compaction.lag.ms", random.pick(&["20", "200"]));
    }
    if random.percent(20) {
        set("min.compaction.lag.ms", "1000");
    }
    Compaction { takes_tombstones }
}

fn known(is_there: bool) -> TopicState {
    if is_there {
        TopicState::Live
    } else {
        TopicState::Gone
    }
}
