//! Consumer groups: a shard coordinates those whose partition of `__consumer_offsets` it owns.
//! What the coordinator writes goes the way of every produced batch, so a commit is answered when
//! it is durable and below the high watermark.

use std::collections::VecDeque;

use sillon_buffer::Slice;
use sillon_group::{
    AppendError, Coordinator, Effect, GroupConfig, GroupError, GroupRequest, LogRecord, RequestId,
};
use sillon_record::{
    BatchBuilder, BatchRules, Compression, Scratch, TopicId, TopicPartition, ValidBatch,
};

use crate::procedure::Io;
use crate::state::State;
use crate::{
    GroupCall, LogLevel, OFFSETS_TOPIC, Outcome, Produce, ProduceEntry, Refusal, Request, ShardId,
    Ticket,
};

/// The "shard" whose tickets are the coordinator's own appends.
pub(crate) const COORDINATOR: ShardId = ShardId(u16::MAX);

/// The coordinator and what is on its way to it.
pub(crate) struct Groups {
    pub(crate) coordinator: Coordinator,
    /// `__consumer_offsets`, while there is such a topic.
    pub(crate) topic: Option<TopicId>,
    /// Partitions that are to be read, in order.
    pub(crate) to_load: VecDeque<TopicPartition>,
    /// A procedure reads them.
    pub(crate) is_loading: bool,
    /// Appends that have ended, by token.
    ended: Vec<(u64, Result<(), AppendError>)>,
    /// Reused.
    pub(crate) effects: Vec<Effect>,
    builder: BatchBuilder,
    scratch: Scratch,
    /// Refusals for want of memory that have been told of, and when, in ns.
    told_refusals: u64,
    told_ns: u64,
}

/// How often a lack of memory is told of, in ns.
const TELL_AGAIN_NS: u64 = 60_000_000_000;

impl Groups {
    pub(crate) fn new(config: GroupConfig) -> Groups {
        Groups {
            coordinator: Coordinator::new(config),
            topic: None,
            to_load: VecDeque::new(),
            is_loading: false,
            ended: Vec::new(),
            effects: Vec::new(),
            builder: BatchBuilder::new(Compression::None),
            scratch: Scratch::default(),
            told_refusals: 0,
            told_ns: 0,
        }
    }

    /// What there is to say of groups that may not grow.
    fn shortage(&mut self, now_ns: u64) -> Option<String> {
        let refusals = self.coordinator.memory_refusals();
        let is_due = self.told_ns == 0 || now_ns >= self.told_ns + TELL_AGAIN_NS;
        if refusals == self.told_refusals || !is_due {
            return None;
        }
        let new = refusals - self.told_refusals;
        (self.told_refusals, self.told_ns) = (refusals, now_ns);
        Some(format!(
            "consumer groups take all of their memory ({} bytes on this shard): {new} requests \
             that would have made them larger were answered COORDINATOR_NOT_AVAILABLE; raise \
             --memory, or delete groups",
            self.coordinator.memory_bytes()
        ))
    }

    /// An append of the coordinator has ended.
    pub(crate) fn ended(&mut self, token: u64, outcome: &Outcome<crate::Appended>) {
        let result = match outcome {
            Some(Ok(_)) => Ok(()),
            Some(Err(Refusal::MessageTooLarge)) => Err(AppendError::TooLarge),
            Some(Err(Refusal::Storage)) => Err(AppendError::Storage),
            _ => Err(AppendError::NotLeader),
        };
        self.ended.push((token, result));
    }

    /// Makes a batch of records.
    fn batch(&mut self, records: &[LogRecord], now_ms: i64) -> Option<ValidBatch> {
        for record in records {
            let value = record.value.as_deref();
            let appended = self.builder.append(now_ms, Some(&record.key), value, &[]);
            appended.ok()?;
        }
        let rules = BatchRules {
            max_message_bytes: u32::MAX,
            ..BatchRules::defaults(now_ms)
        };
        let bytes = Slice::copy_of(&self.builder.build());
        let batch = ValidBatch::check(bytes, &rules, &mut self.scratch);
        Some(batch.expect("the coordinator's records make a valid batch"))
    }
}

impl State {
    pub(crate) fn group_now(&self) -> sillon_group::Now {
        sillon_group::Now {
            mono_ns: self.now.mono_ns,
            wall_ms: self.now.wall_ms,
        }
    }

    pub(crate) fn group(&mut self, io: &Io, ticket: Ticket, call: GroupCall) {
        let GroupCall::Ask(mut request) = call else {
            return self.reply(ticket, Request::Group(Box::new(call)));
        };
        self.check_commit(&mut request);
        let now = self.group_now();
        let Groups {
            coordinator,
            effects,
            ..
        } = &mut self.groups;
        coordinator.handle(now, request_id(ticket), request, effects);
        if let Some(message) = self.groups.shortage(now.mono_ns) {
            self.log(LogLevel::Warn, message);
        }
        self.perform_for_groups(io);
    }

    /// A topic may have gone since whoever asks looked: its offsets must not come back.
    fn check_commit(&self, request: &mut GroupRequest) {
        let GroupRequest::OffsetCommit(commit) = request else {
            return;
        };
        for topic in &mut commit.topics {
            if self.image.topic(topic.id).is_none() {
                for partition in &mut topic.partitions {
                    let gone = GroupError::UnknownTopicOrPartition;
                    partition.error.get_or_insert(gone);
                }
            }
        }
    }

    pub(crate) fn cancel_group_request(&mut self, ticket: Ticket) {
        let now = self.group_now();
        self.groups.coordinator.cancel(now, request_id(ticket));
    }

    /// Does what is due in groups.
    pub(crate) fn tick_groups(&mut self, io: &Io) {
        let now = self.group_now();
        let Groups {
            coordinator,
            effects,
            ..
        } = &mut self.groups;
        if coordinator
            .next_deadline()
            .is_some_and(|at_ns| at_ns <= now.mono_ns)
        {
            coordinator.tick(now, effects);
            self.perform_for_groups(io);
        }
    }

    /// Tells the coordinator of appends that have ended.
    pub(crate) fn settle_groups(&mut self, io: &Io) {
        while !self.groups.ended.is_empty() {
            let now = self.group_now();
            let Groups {
                coordinator,
                effects,
                ended,
                ..
            } = &mut self.groups;
            for (token, result) in ended.drain(..) {
                coordinator.appended(now, token, result, effects);
            }
            self.perform_for_groups(io);
        }
    }

    pub(crate) fn perform_for_groups(&mut self, io: &Io) {
        let mut effects = std::mem::take(&mut self.groups.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { request, response } => {
                    let answer = Box::new(GroupCall::Answer(response));
                    self.reply(ticket(request), Request::Group(answer));
                }
                Effect::Append {
                    partition,
                    token,
                    records,
                } => self.append_for_groups(io, partition, token, &records),
            }
        }
        self.groups.effects = effects;
    }

    fn append_for_groups(&mut self, io: &Io, partition: i32, token: u64, records: &[LogRecord]) {
        let Some(topic) = self.groups.topic else {
            self.groups.ended.push((token, Err(AppendError::NotLeader)));
            return;
        };
        let Some(batch) = self.groups.batch(records, self.now.wall_ms) else {
            self.groups.ended.push((token, Err(AppendError::TooLarge)));
            return;
        };
        let ticket = Ticket {
            shard: COORDINATOR,
            key: token,
        };
        let entry = ProduceEntry {
            partition: TopicPartition { topic, partition },
            batch,
            outcome: None,
        };
        let produce = Produce {
            entries: vec![entry],
            wait: true,
            ..Produce::default()
        };
        self.produce(io, ticket, produce);
    }

    /// The shard is open: reads the partitions that it owns.
    pub(crate) fn open_groups(&mut self, io: &Io) {
        self.groups.to_load.clear();
        let Some(topic) = self.image.topic_named(OFFSETS_TOPIC) else {
            return;
        };
        let id = topic.id;
        let numbers: Vec<i32> = topic.partitions().iter().map(|p| p.partition).collect();
        for partition in numbers {
            self.add_group_partition(
                io,
                TopicPartition {
                    topic: id,
                    partition,
                },
            );
        }
    }

    /// A partition has been created; it may be one of `__consumer_offsets`.
    pub(crate) fn add_group_partition(&mut self, io: &Io, place: TopicPartition) {
        let Some(topic) = self.image.topic(place.topic) else {
            return;
        };
        if &*topic.name != OFFSETS_TOPIC {
            return;
        }
        let count = topic.partitions().len() as i32;
        self.groups.topic = Some(place.topic);
        self.groups.coordinator.set_partitions_count(count);
        if self.partition_key(place).is_some() {
            self.groups.coordinator.loading(place.partition);
            self.groups.to_load.push_back(place);
            self.spawn_group_loader(io);
        }
    }

    /// A topic is about to go: `__consumer_offsets` itself, or one that groups have offsets of.
    pub(crate) fn remove_topic_from_groups(&mut self, io: &Io, topic: TopicId) {
        let Some(name) = self.image.topic(topic).map(|topic| topic.name.clone()) else {
            return;
        };
        let now = self.group_now();
        let Groups {
            coordinator,
            effects,
            topic: own,
            to_load,
            ..
        } = &mut self.groups;
        if *own == Some(topic) {
            coordinator.unload_all(effects);
            coordinator.set_partitions_count(0);
            *own = None;
            to_load.clear();
        } else {
            coordinator.topic_removed(now, &name, effects);
        }
        self.perform_for_groups(io);
    }

    /// The shard serves no groups any more; who waits looks elsewhere.
    pub(crate) fn close_groups(&mut self) {
        let Groups {
            coordinator,
            effects,
            to_load,
            ..
        } = &mut self.groups;
        to_load.clear();
        coordinator.unload_all(effects);
        for effect in std::mem::take(effects) {
            if let Effect::Reply { request, response } = effect {
                let answer = Box::new(GroupCall::Answer(response));
                self.reply(ticket(request), Request::Group(answer));
            }
        }
    }

    /// A partition has been read to its end.
    pub(crate) fn finish_group_load(&mut self, io: &Io, partition: i32) {
        let now = self.group_now();
        let image = &self.image;
        let Groups {
            coordinator,
            effects,
            ..
        } = &mut self.groups;
        let topic_id = |name: &str| image.topic_named(name).map(|topic| topic.id);
        coordinator.loaded(now, partition, topic_id, effects);
        self.perform_for_groups(io);
    }
}

/// A ticket in one number, and back.
fn request_id(ticket: Ticket) -> RequestId {
    RequestId(u128::from(ticket.shard.0) << 64 | u128::from(ticket.key))
}

fn ticket(request: RequestId) -> Ticket {
    Ticket {
        shard: ShardId((request.0 >> 64) as u16),
        key: request.0 as u64,
    }
}

/// The partition that has a group's records, whose owner coordinates it; `None` without
/// `__consumer_offsets`.
pub fn group_partition(image: &sillon_controller::Image, group_id: &str) -> Option<TopicPartition> {
    let topic = image.topic_named(OFFSETS_TOPIC)?;
    let count = topic.partitions().len() as i32;
    (count > 0).then(|| TopicPartition {
        topic: topic.id,
        partition: sillon_group::partition_of(group_id, count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_the_way_through_the_coordinator() {
        for (shard, key) in [(0, 0), (3, u64::MAX), (u16::MAX - 1, 1 << 32 | 5)] {
            let asked = Ticket {
                shard: ShardId(shard),
                key,
            };
            assert_eq!(ticket(request_id(asked)), asked);
        }
    }
}
