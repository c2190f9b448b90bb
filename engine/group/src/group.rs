use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::coordinator::InFlight;
use crate::member::Member;
use crate::offsets::Offsets;
use crate::records::{GroupMetadata, MemberMetadata, group_metadata};
use crate::subscription::subscribed_topics;
use crate::turn::{Turn, Work};
use crate::{GroupError, LogRecord, Protocol};

/// How far a group is. (Kafka's fifth state, Dead, is that of a group that does not exist.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members, maybe offsets.
    Empty,
    /// Members are to join; their JoinGroups wait.
    PreparingRebalance,
    /// All have joined; the leader assigns, and the others' SyncGroups wait.
    CompletingRebalance,
    /// Everybody has its assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The protocol type of consumers, whose metadata names their topics.
const CONSUMER: &str = "consumer";

/// While a group is in [`GroupState::PreparingRebalance`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinPhase {
    /// When it ends with those who are there, in ns.
    pub deadline_ns: u64,
    /// Of a group that was empty: how much longer it may be put off for more members, in ms.
    pub initial: Option<u64>,
    /// Somebody has joined since it was put off last.
    pub has_new_member: bool,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub id: Arc<str>,
    /// The partition of `__consumer_offsets` that has its records.
    pub partition: i32,
    pub state: GroupState,
    /// Since when it is in that state, in ms since the Unix epoch.
    pub state_since_ms: Option<i64>,
    pub protocol_type: Option<Arc<str>>,
    /// Of this generation.
    pub protocol: Option<Arc<str>>,
    pub generation: i32,
    pub leader: Option<Arc<str>>,
    /// Boxed: a map has room for eleven in its first node, and most groups have few.
    pub members: BTreeMap<Arc<str>, Box<Member>>,
    /// Members that know their id and have not joined with it: when they are forgotten, in ns.
    pub pending: BTreeMap<Arc<str>, u64>,
    /// By `group.instance.id`.
    pub static_members: BTreeMap<Arc<str>, Arc<str>>,
    pub join_phase: Option<JoinPhase>,
    /// Members of this generation that have not asked for their assignment.
    pub pending_sync: BTreeSet<Arc<str>>,
    /// The generation whose assignment is on its way into the log: the leader has decided.
    pub assigning: Option<i32>,
    /// When they must have, in ns.
    pub sync_deadline_ns: Option<u64>,
    pub offsets: Offsets,
    /// Its place among the coordinator's timers; `u64::MAX`: none.
    pub timer_ns: u64,
    /// Appends under way that will come back to it.
    pub appends: usize,
    /// It is being deleted: its tombstones are on their way.
    pub is_deleting: bool,
    /// Somebody came, went or said something else since its members were counted.
    pub has_other_members: bool,
    /// What its members took when they were counted, in bytes.
    pub members_bytes: u64,
    /// What the coordinator counts for it, in bytes.
    pub counted_bytes: u64,
}

impl Group {
    pub(crate) fn new(id: Arc<str>, partition: i32) -> Group {
        Group {
            id,
            partition,
            state: GroupState::Empty,
            state_since_ms: None,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            static_members: BTreeMap::new(),
            join_phase: None,
            pending_sync: BTreeSet::new(),
            assigning: None,
            sync_deadline_ns: None,
            offsets: Offsets::default(),
            timer_ns: u64::MAX,
            appends: 0,
            is_deleting: false,
            has_other_members: false,
            members_bytes: 0,
            counted_bytes: 0,
        }
    }

    /// Whether there is nothing to remember of it.
    pub(crate) fn is_blank(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == 0
            && self.pending.is_empty()
            && self.offsets.is_empty()
            && self.appends == 0
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(crate) fn transition(&mut self, turn: &Turn<'_>, state: GroupState) {
        self.state = state;
        self.state_since_ms = Some(turn.now.wall_ms);
    }

    /// Whether the request comes from a member of this group.
    pub(crate) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&Arc<str>>,
    ) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if **current != *member_id => {
                    return Err(GroupError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(GroupError::UnknownMember),
        }
    }

    /// The longest time that a member wants to be waited for, in ms.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self.members.values().map(|m| m.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0).max(0) as u64
    }

    /// Whether these protocols have one that every member knows.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let is_known = |protocol: &Protocol| {
            let mut members = self.members.values();
            members.all(|member| member.supports(&protocol.name))
        };
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(is_known)
    }

    /// The protocol that most members like best among those that all know; of several, the one
    /// that the leader likes best.
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        let leader = leader.or_else(|| self.members.values().next())?;
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        let candidates = leader.protocols.iter().map(|protocol| &protocol.name);
        let candidates: Vec<&Arc<str>> = candidates.filter(|name| is_common(name)).collect();
        let mut votes = vec![0usize; candidates.len()];
        for member in self.members.values() {
            let mut liked = member.protocols.iter();
            let vote = liked.find_map(|liked| candidates.iter().position(|c| **c == liked.name));
            votes[vote?] += 1;
        }
        let best = votes.iter().copied().max()?;
        let winner = votes.iter().position(|count| *count == best)?;
        Some(candidates[winner].clone())
    }

    /// The topics that its members subscribe to; `None` when they do not say.
    pub(crate) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = match &self.protocol {
                Some(protocol) if member.supports(protocol) => member.metadata(Some(protocol)),
                _ => member.protocols.first()?.metadata.clone(),
            };
            topics.extend(subscribed_topics(&metadata)?);
        }
        Some(topics)
    }

    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Appends what must be known of the group after a restart.
    pub(crate) fn append_metadata(
        &mut self,
        turn: &mut Turn<'_>,
        record: LogRecord,
        what: InFlight,
    ) {
        self.appends += 1;
        turn.append(self.partition, vec![record], what);
    }

    /// The group as a record, with other assignments than its members have.
    pub(crate) fn metadata_record(
        &self,
        assignment: impl Fn(&Member) -> Arc<[u8]>,
    ) -> Result<LogRecord, GroupError> {
        let protocol = self.protocol.as_deref();
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignment(member),
        });
        let metadata = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        };
        group_metadata(&self.id, &metadata).ok_or(GroupError::GroupTooLarge)
    }

    /// Sees to it that the coordinator looks at the group at that moment at the latest.
    pub(crate) fn arm(&mut self, work: &mut Work, at_ns: u64) {
        if at_ns < self.timer_ns {
            work.timers.remove(&(self.timer_ns, self.id.clone()));
            work.timers.insert((at_ns, self.id.clone()));
            self.timer_ns = at_ns;
        }
    }

    /// The member has shown that it is alive.
    pub(crate) fn renew_session(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let timeout_ms = member.session_timeout_ms.max(0) as u64;
        let deadline_ns = turn.now.in_ms(timeout_ms);
        member.session_deadline_ns = deadline_ns;
        self.arm(turn.work, deadline_ns);
    }
}
