//! Partitions of `__consumer_offsets` come and go; their records become groups again.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_record::TopicId;

use crate::coordinator::{Coordinator, Readiness};
use crate::group::{Group, GroupState};
use crate::join::refused;
use crate::member::Member;
use crate::offsets::Slot;
use crate::records::{GroupMetadata, Key, decode_group, decode_key, decode_offset};
use crate::turn::Turn;
use crate::{Effect, GroupError, GroupResponse, Now, Protocol};

impl Coordinator {
    /// How many partitions the topic has; 0: it does not exist.
    pub fn set_partitions_count(&mut self, count: i32) {
        self.partitions_count = count;
    }

    /// The shard owns this partition, and begins to read it: its groups are not served until
    /// [`Coordinator::loaded`].
    pub fn loading(&mut self, partition: i32) {
        self.partitions.insert(partition, Readiness::Loading);
    }

    /// Takes the next record of a partition that is being loaded. What it does not know (records
    /// of newer Kafkas, of other kinds of groups) is passed over; false tells of it.
    pub fn load(&mut self, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        match key.and_then(decode_key) {
            Some(Key::Offset {
                group,
                topic,
                partition: number,
            }) => match value {
                None => {
                    if let Some(group) = self.groups.get_mut(&*group) {
                        group.offsets.remove(&topic, number);
                    }
                    true
                }
                Some(value) => match decode_offset(value) {
                    Some(committed) => {
                        let group = self.loading_group(partition, group);
                        group.offsets.put(&topic, number, committed);
                        true
                    }
                    None => false,
                },
            },
            Some(Key::Group { group }) => match value.map(decode_group) {
                None => {
                    self.forget_metadata(&group);
                    true
                }
                Some(Some(metadata)) => {
                    self.loading_group(partition, group).restore(metadata);
                    true
                }
                Some(None) => false,
            },
            None => false,
        }
    }

    /// The partition has been read to its end: its groups are served from now on. Offsets of
    /// topics that are not there any more go, also when another topic has the name by now:
    /// `topic_id` says which one has it.
    pub fn loaded(
        &mut self,
        now: Now,
        partition: i32,
        topic_id: impl Fn(&str) -> Option<TopicId>,
        effects: &mut Vec<Effect>,
    ) {
        self.partitions.insert(partition, Readiness::Loaded);
        let mut blank = Vec::new();
        for group in self.groups.values_mut() {
            if group.partition != partition {
                continue;
            }
            let mut turn = Turn {
                now,
                config: &self.config,
                work: &mut self.work,
                effects,
            };
            let is_of = |topic: &str, slot: &Slot| {
                let committed = slot.committed.as_ref();
                topic_id(topic).is_some_and(|id| committed.is_none_or(|found| found.is_of(id)))
            };
            let offsets = group.offsets.all();
            let gone: Vec<(Arc<str>, i32)> = offsets
                .filter(|(topic, _, slot)| !is_of(topic, slot))
                .map(|(topic, number, _)| (topic.clone(), number))
                .collect();
            if !gone.is_empty() {
                group.append_tombstones(&mut turn, gone, None);
            }
            let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
            for member in members {
                group.renew_session(&mut turn, &member);
            }
            group.count_memory(&mut self.work);
            if group.is_blank() {
                blank.push(group.id.clone());
            }
        }
        for id in blank {
            self.forget(&id);
        }
    }

    /// The shard does not own the partition any more, or is stopping: whoever waits there looks
    /// for another coordinator.
    pub fn unload(&mut self, partition: i32, effects: &mut Vec<Effect>) {
        self.partitions.remove(&partition);
        let groups = self.groups.values();
        let gone: Vec<Arc<str>> = groups
            .filter(|group| group.partition == partition)
            .map(|group| group.id.clone())
            .collect();
        for id in gone {
            let group = self.forget(&id).expect("listed above");
            for member in group.members.values() {
                let error = GroupError::NotCoordinator;
                let join = refused(member.id.clone(), error);
                let sync = GroupResponse::Sync(Err(error));
                for (waiting, response) in [(member.joining, join), (member.syncing, sync)] {
                    let Some(request) = waiting else { continue };
                    if self.work.parked.remove(&request).is_some() {
                        effects.push(Effect::Reply { request, response });
                    }
                }
            }
        }
    }

    /// As [`Coordinator::unload`], for all partitions.
    pub fn unload_all(&mut self, effects: &mut Vec<Effect>) {
        let partitions: Vec<i32> = self.partitions.keys().copied().collect();
        for partition in partitions {
            self.unload(partition, effects);
        }
    }

    fn loading_group(&mut self, partition: i32, id: Arc<str>) -> &mut Group {
        let group = self.groups.entry(id.clone());
        group.or_insert_with(|| Group::new(id, partition))
    }

    /// A tombstone of the group itself; offsets that have none stay.
    fn forget_metadata(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let offsets = std::mem::take(&mut group.offsets);
        *group = Group {
            offsets,
            has_other_members: true,
            counted_bytes: group.counted_bytes,
            ..Group::new(group.id.clone(), group.partition)
        };
        if group.offsets.is_empty() {
            self.forget(id);
        }
    }
}

impl Group {
    /// Becomes what a record says.
    fn restore(&mut self, metadata: GroupMetadata) {
        let protocol = metadata.protocol;
        self.state = match metadata.members.is_empty() {
            true => GroupState::Empty,
            false => GroupState::Stable,
        };
        self.state_since_ms = (metadata.state_since_ms >= 0).then_some(metadata.state_since_ms);
        let protocol_type = metadata.protocol_type;
        self.protocol_type = (!protocol_type.is_empty()).then_some(protocol_type);
        self.has_other_members = true;
        self.generation = metadata.generation;
        self.leader = metadata.leader;
        self.members = BTreeMap::new();
        self.static_members = BTreeMap::new();
        for member in metadata.members {
            let id = member.member_id.clone();
            if let Some(instance_id) = &member.instance_id {
                self.static_members.insert(instance_id.clone(), id.clone());
            }
            let name = protocol.clone().unwrap_or_default();
            let restored = Member {
                id: id.clone(),
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: vec![Protocol {
                    name,
                    metadata: member.subscription,
                }],
                assignment: member.assignment,
                is_new: false,
                joining: None,
                syncing: None,
                session_deadline_ns: u64::MAX,
            };
            self.members.insert(id, Box::new(restored));
        }
        self.protocol = protocol;
    }
}
