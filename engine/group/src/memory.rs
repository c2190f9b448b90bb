//! What groups take in memory, and what they may. The sizes are estimates from above: `groups
//! memory` of the benchmarks compares them with what is allocated.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::member::Member;
use crate::turn::Work;
use crate::{CommitTopic, GroupConfig, GroupError, JoinGroup, Protocol};

/// A group with nothing in it, its timer and its places in the coordinator's maps, in bytes.
const GROUP_BYTES: u64 = 1_200;

/// A member besides its texts, in bytes.
const MEMBER_BYTES: u64 = 450;

/// One of its protocols besides name and metadata, in bytes.
const PROTOCOL_BYTES: u64 = 80;

/// A member that has been given an id and has not joined with it, besides that id, in bytes.
const PENDING_BYTES: u64 = 100;

/// What is added to a client's name in its member id: a dash and a UUID.
const FRESH_ID_BYTES: u64 = 37;

/// A topic with committed offsets besides its name, in bytes.
pub(crate) const TOPIC_BYTES: u64 = 700;

/// A committed offset besides the text beside it, in bytes.
pub(crate) const OFFSET_BYTES: u64 = 200;

impl Coordinator {
    /// What the groups take, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.work.memory_bytes
    }

    /// How often something was refused for want of memory.
    pub fn memory_refusals(&self) -> u64 {
        self.work.memory_refusals
    }

    /// Whether one more group may be made.
    pub(crate) fn check_room_for_group(&mut self, id: &str) -> Result<(), GroupError> {
        self.work.check_room(&self.config, GROUP_BYTES + len(id))
    }
}

impl Work {
    /// Whether the groups may take so much more, in bytes.
    pub(crate) fn check_room(
        &mut self,
        config: &GroupConfig,
        more_bytes: u64,
    ) -> Result<(), GroupError> {
        if more_bytes == 0
            || self.memory_bytes.saturating_add(more_bytes) <= config.memory_bytes_max
        {
            return Ok(());
        }
        self.memory_refusals += 1;
        Err(GroupError::NotAvailable)
    }
}

impl Group {
    /// Brings the coordinator's sum up to date.
    pub(crate) fn count_memory(&mut self, work: &mut Work) {
        if self.has_other_members {
            self.has_other_members = false;
            self.members_bytes = self.sum_of_members();
        }
        debug_assert_eq!(self.members_bytes, self.sum_of_members(), "of {}", self.id);
        let bytes = GROUP_BYTES + len(&self.id) + self.members_bytes + self.offsets.bytes();
        work.memory_bytes = work.memory_bytes - self.counted_bytes + bytes;
        self.counted_bytes = bytes;
    }

    fn sum_of_members(&self) -> u64 {
        let members: u64 = self.members.values().map(|member| member.bytes()).sum();
        let pending = self.pending.keys().map(|id| PENDING_BYTES + len(id));
        members + pending.sum::<u64>()
    }

    /// What a JoinGroup adds to what is known of its member, in bytes.
    pub(crate) fn added_by(&self, join: &JoinGroup) -> u64 {
        let instance = join.instance_id.as_ref();
        let current = instance.and_then(|id| self.static_members.get(id));
        let known = self.members.get(current.unwrap_or(&join.member_id));
        let id_bytes = match join.member_id.is_empty() {
            true => len(instance.unwrap_or(&join.client_id)) + FRESH_ID_BYTES,
            false => len(&join.member_id),
        };
        if join.member_id.is_empty() && join.needs_member_id && instance.is_none() {
            return PENDING_BYTES + id_bytes;
        }
        let said = said_bytes(&join.client_id, &join.client_host, &join.protocols);
        let new_bytes = MEMBER_BYTES + id_bytes + instance.map_or(0, |id| len(id)) + said;
        // Its next assignment is counted when it has one.
        let known = known.map_or(0, |member| member.bytes() - member.assignment.len() as u64);
        new_bytes.saturating_sub(known)
    }

    /// What a commit adds to what is known of its partitions, in bytes.
    pub(crate) fn added_by_commit(&self, topics: &[CommitTopic]) -> u64 {
        let of_topic = |topic: &CommitTopic| {
            let partitions = topic.partitions.iter();
            let accepted = partitions.filter(|partition| partition.error.is_none());
            let offsets = accepted.map(|partition| {
                let number = partition.partition;
                let new_bytes = OFFSET_BYTES + len(&partition.metadata);
                new_bytes.saturating_sub(self.offsets.bytes_of(&topic.name, number))
            });
            let offsets: u64 = offsets.sum();
            match offsets > 0 && !self.offsets.has_topic(&topic.name) {
                true => offsets + TOPIC_BYTES + len(&topic.name),
                false => offsets,
            }
        };
        topics.iter().map(of_topic).sum()
    }
}

impl Member {
    fn bytes(&self) -> u64 {
        let instance = self.instance_id.as_ref().map_or(0, |id| len(id));
        let said = said_bytes(&self.client_id, &self.client_host, &self.protocols);
        MEMBER_BYTES + len(&self.id) + instance + said + self.assignment.len() as u64
    }
}

fn said_bytes(client_id: &str, client_host: &str, protocols: &[Protocol]) -> u64 {
    let protocols = protocols
        .iter()
        .map(|protocol| PROTOCOL_BYTES + len(&protocol.name) + protocol.metadata.len() as u64);
    len(client_id) + len(client_host) + protocols.sum::<u64>()
}

fn len(text: &str) -> u64 {
    text.len() as u64
}

/// What an assignment adds to what the members have, in bytes.
pub(crate) fn added_by_assignment(
    assigned: &BTreeMap<Arc<str>, Arc<[u8]>>,
    members: &BTreeMap<Arc<str>, Box<Member>>,
) -> u64 {
    let new: usize = assigned.values().map(|bytes| bytes.len()).sum();
    let old: usize = members.values().map(|member| member.assignment.len()).sum();
    new.saturating_sub(old) as u64
}
