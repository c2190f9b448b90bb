use std::collections::BTreeMap;
use std::sync::Arc;

use crate::group::Group;
use crate::join::refused;
use crate::offsets::CommittedOffset;
use crate::turn::{NOBODY, Turn, Work};
use crate::{
    AppendError, CommitTopic, Effect, GroupConfig, GroupError, GroupRequest, GroupResponse,
    JoinGroup, Joined, Now, RequestId, partition_of,
};

/// Coordinates the groups of one shard. See the crate's documentation.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) config: GroupConfig,
    /// Partitions of `__consumer_offsets` that the shard owns.
    pub(crate) partitions: BTreeMap<i32, Readiness>,
    /// How many that topic has in all; 0: there is no such topic.
    pub(crate) partitions_count: i32,
    pub(crate) groups: BTreeMap<Arc<str>, Group>,
    pub(crate) work: Work,
    /// When to look for expired offsets next, in ns; 0: not decided yet.
    pub(crate) retention_check_ns: u64,
    /// Groups up to this one have been looked at in the check that is under way.
    pub(crate) retention_cursor: Option<Arc<str>>,
}

/// Whether the groups of a partition can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its records are being read.
    Loading,
    /// Its groups are in memory.
    Loaded,
}

/// What happens when an append has ended.
#[derive(Debug)]
pub(crate) enum InFlight {
    /// Nothing.
    Noted { group: Arc<str> },
    /// The members of a generation get their assignment.
    Assignment {
        group: Arc<str>,
        generation: i32,
        assigned: BTreeMap<Arc<str>, Arc<[u8]>>,
    },
    /// A static member is told that it is back.
    StaticRejoin {
        group: Arc<str>,
        request: RequestId,
        joined: Box<Joined>,
    },
    /// Offsets are committed.
    Commit {
        group: Arc<str>,
        request: RequestId,
        topics: Vec<CommitTopic>,
        /// Of those topics, what was accepted.
        offsets: Vec<(Arc<str>, i32, CommittedOffset)>,
    },
    /// Offsets are gone.
    Tombstones {
        group: Arc<str>,
        offsets: Vec<(Arc<str>, i32)>,
        /// Whom to tell, after the last of several.
        reply: Option<(RequestId, GroupResponse)>,
    },
    /// The group is gone, as far as it has no offsets left.
    Deletion {
        group: Arc<str>,
        offsets: Vec<(Arc<str>, i32)>,
        /// More tombstones follow.
        is_partial: bool,
        request: Option<RequestId>,
    },
}

impl Coordinator {
    /// One that knows of no partitions yet.
    pub fn new(config: GroupConfig) -> Coordinator {
        Coordinator {
            config,
            partitions: BTreeMap::new(),
            partitions_count: 0,
            groups: BTreeMap::new(),
            work: Work::default(),
            retention_check_ns: 0,
            retention_cursor: None,
        }
    }

    /// Takes a request up. `request` names it until it is answered.
    pub fn handle(
        &mut self,
        now: Now,
        request: RequestId,
        asked: GroupRequest,
        effects: &mut Vec<Effect>,
    ) {
        match asked {
            GroupRequest::Join(join) => self.join(now, request, join, effects),
            GroupRequest::Sync(sync) => {
                let found = self.member_group(&sync.group_id);
                let refuse = |error| GroupResponse::Sync(Err(error));
                self.with_group(now, request, found, refuse, effects, |group, turn| {
                    group.sync(turn, request, sync);
                });
            }
            GroupRequest::Heartbeat(beat) => {
                let group = self.groups.get(&beat.group_id);
                let is_deleting = group.is_some_and(|group| group.is_deleting);
                let found = match self.member_group(&beat.group_id) {
                    // Only a group without members is deleted.
                    Err(GroupError::LoadInProgress) if is_deleting => {
                        Err(GroupError::UnknownMember)
                    }
                    // A member that beats while its group is being loaded is fine.
                    Err(GroupError::LoadInProgress) => {
                        let response = GroupResponse::Heartbeat(Ok(()));
                        return effects.push(Effect::Reply { request, response });
                    }
                    found => found,
                };
                let refuse = |error| GroupResponse::Heartbeat(Err(error));
                self.with_group(now, request, found, refuse, effects, |group, turn| {
                    let outcome = group.heartbeat(turn, &beat);
                    turn.reply(request, GroupResponse::Heartbeat(outcome));
                });
            }
            GroupRequest::Leave(leave) => {
                let found = self.member_group(&leave.group_id);
                let count = leave.members.len();
                let refuse = |error| {
                    GroupResponse::Leave(match error {
                        GroupError::UnknownMember => Ok(vec![Err(error); count]),
                        error => Err(error),
                    })
                };
                self.with_group(now, request, found, refuse, effects, |group, turn| {
                    let outcomes = group.leave(turn, &leave);
                    turn.reply(request, GroupResponse::Leave(Ok(outcomes)));
                });
            }
            GroupRequest::OffsetCommit(commit) => {
                self.offset_commit(now, request, commit, effects);
            }
            GroupRequest::OffsetFetch(questions) => {
                let answers = questions.iter().map(|question| self.offset_fetch(question));
                let response = GroupResponse::OffsetFetch(answers.collect());
                effects.push(Effect::Reply { request, response });
            }
            GroupRequest::OffsetDelete(delete) => {
                self.offset_delete(now, request, delete, effects);
            }
            GroupRequest::Describe(groups) => {
                let answers = groups.iter().map(|group| self.describe(group));
                let response = GroupResponse::Describe(answers.collect());
                effects.push(Effect::Reply { request, response });
            }
            GroupRequest::List(filter) => {
                let response = GroupResponse::List(self.list(&filter));
                effects.push(Effect::Reply { request, response });
            }
            GroupRequest::Delete(group) => self.delete(now, request, &group, effects),
        }
    }

    /// Nobody waits for this answer any more. What the request has done stays done.
    pub fn cancel(&mut self, now: Now, request: RequestId) {
        let Some(group) = self.work.parked.remove(&request) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&group) else {
            return;
        };
        let mut due_ns = u64::MAX;
        for member in group.members.values_mut() {
            for waiting in [&mut member.joining, &mut member.syncing] {
                if *waiting == Some(request) {
                    *waiting = Some(NOBODY);
                    // It counts as there, but not for longer than a member that has gone silent.
                    let timeout_ms = member.session_timeout_ms.max(0) as u64;
                    let deadline_ns = now.in_ms(timeout_ms);
                    member.session_deadline_ns = member.session_deadline_ns.min(deadline_ns);
                    due_ns = member.session_deadline_ns;
                }
            }
        }
        group.arm(&mut self.work, due_ns);
    }

    /// An append has ended; when it is durable, what it says holds.
    pub fn appended(
        &mut self,
        now: Now,
        token: u64,
        result: Result<(), AppendError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(done) = self.work.in_flight.remove(&token) else {
            return;
        };
        match done {
            InFlight::Noted { group } => {
                self.on_append(now, &group, effects, |_, _| {});
            }
            InFlight::Assignment {
                group,
                generation,
                assigned,
            } => self.on_append(now, &group, effects, |group, turn| {
                group.assignment_appended(turn, generation, assigned, result);
            }),
            InFlight::StaticRejoin {
                group,
                request,
                joined,
            } => {
                self.on_append(now, &group, effects, |_, _| {});
                let response = match result {
                    Ok(()) => GroupResponse::Join(*joined),
                    Err(error) => refused(
                        joined.member_id,
                        error.for_client(GroupError::GroupTooLarge),
                    ),
                };
                effects.push(Effect::Reply { request, response });
            }
            InFlight::Commit {
                group,
                request,
                topics,
                offsets,
            } => {
                let response = self.commit_appended(now, &group, topics, offsets, result, effects);
                effects.push(Effect::Reply { request, response });
            }
            InFlight::Tombstones {
                group,
                offsets,
                reply,
            } => self.tombstones_appended(now, &group, offsets, reply, result, effects),
            InFlight::Deletion {
                group,
                offsets,
                is_partial,
                request,
            } => {
                self.deletion_appended(&group, &offsets, is_partial, result);
                if let Some(request) = request {
                    let result = result.map_err(|e| e.for_client(GroupError::NotAvailable));
                    let response = GroupResponse::Delete(result);
                    effects.push(Effect::Reply { request, response });
                }
            }
        }
    }

    /// The next moment (ns) at which [`Coordinator::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.groups.is_empty() {
            return None;
        }
        let timer = self.work.timers.first().map(|(at_ns, _)| *at_ns);
        let check = self.retention_check_ns;
        Some(timer.map_or(check, |timer| timer.min(check)))
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some((at_ns, id)) = self.work.timers.first().cloned() {
            if at_ns > now.mono_ns {
                break;
            }
            self.work.timers.pop_first();
            self.in_group(now, &id, effects, |group, turn| {
                group.timer_ns = u64::MAX;
                group.expire(turn);
            });
        }
        self.expire_offsets(now, effects);
    }

    /// How many groups are in memory.
    pub fn groups_count(&self) -> usize {
        self.groups.len()
    }

    fn join(&mut self, now: Now, request: RequestId, join: JoinGroup, effects: &mut Vec<Effect>) {
        let timeouts = self.config.session_timeout_min_ms..=self.config.session_timeout_max_ms;
        let member_id = join.member_id.clone();
        let found = match self.member_group(&join.group_id) {
            Ok(_) | Err(GroupError::UnknownMember)
                if !timeouts.contains(&join.session_timeout_ms) =>
            {
                Err(GroupError::InvalidSessionTimeout)
            }
            Err(GroupError::UnknownMember) if member_id.is_empty() => {
                self.new_group(&join.group_id)
            }
            found => found,
        };
        let refuse = |error| refused(member_id, error);
        self.with_group(now, request, found, refuse, effects, |group, turn| {
            group.join(turn, request, join);
        });
    }

    /// A group that a member asks for. One that does not exist has no members.
    fn member_group(&self, group_id: &Arc<str>) -> Result<Arc<str>, GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.known_group(group_id)? {
            Some(group) if group.is_deleting => Err(GroupError::LoadInProgress),
            Some(group) => Ok(group.id.clone()),
            None => Err(GroupError::UnknownMember),
        }
    }

    /// The group of that id, when it exists and can be served.
    pub(crate) fn known_group(&self, group_id: &str) -> Result<Option<&Group>, GroupError> {
        self.partition(group_id)?;
        Ok(self.groups.get(group_id))
    }

    /// The partition that has a group's records.
    pub(crate) fn partition(&self, group_id: &str) -> Result<i32, GroupError> {
        if self.partitions_count <= 0 {
            return Err(GroupError::NotCoordinator);
        }
        let partition = partition_of(group_id, self.partitions_count);
        match self.partitions.get(&partition) {
            None => Err(GroupError::NotCoordinator),
            Some(Readiness::Loading) => Err(GroupError::LoadInProgress),
            Some(Readiness::Loaded) => Ok(partition),
        }
    }

    pub(crate) fn new_group(&mut self, group_id: &Arc<str>) -> Result<Arc<str>, GroupError> {
        let partition = self.partition(group_id)?;
        self.check_room_for_group(group_id)?;
        let group = Group::new(group_id.clone(), partition);
        self.groups.insert(group_id.clone(), group);
        Ok(group_id.clone())
    }

    /// Works on a group, or refuses.
    pub(crate) fn with_group(
        &mut self,
        now: Now,
        request: RequestId,
        found: Result<Arc<str>, GroupError>,
        refuse: impl FnOnce(GroupError) -> GroupResponse,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Turn<'_>),
    ) {
        match found {
            Ok(id) => self.in_group(now, &id, effects, work),
            Err(error) => {
                let response = refuse(error);
                effects.push(Effect::Reply { request, response });
            }
        }
    }

    /// Works on a group that exists.
    pub(crate) fn in_group(
        &mut self,
        now: Now,
        id: &str,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Turn<'_>),
    ) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let mut turn = Turn {
            now,
            config: &self.config,
            work: &mut self.work,
            effects,
        };
        work(group, &mut turn);
        group.count_memory(&mut self.work);
        if group.is_blank() {
            self.forget(id);
        }
    }

    /// An append for a group has ended.
    pub(crate) fn on_append(
        &mut self,
        now: Now,
        group: &str,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Turn<'_>),
    ) {
        self.in_group(now, group, effects, |group, turn| {
            group.appends = group.appends.saturating_sub(1);
            work(group, turn);
        });
    }

    pub(crate) fn forget(&mut self, id: &str) -> Option<Group> {
        let group = self.groups.remove(id)?;
        self.work.timers.remove(&(group.timer_ns, group.id.clone()));
        self.work.memory_bytes -= group.counted_bytes;
        Some(group)
    }
}
