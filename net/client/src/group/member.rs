use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use sillon_protocol::ErrorCode;
use sillon_protocol::message::{
    JoinGroupRequest, LeaveGroupRequest, StrBytes, SyncGroupRequest,
    leave_group_request::MemberIdentity,
};

use super::heartbeat::{Heartbeats, Verdict};
use super::membership::Membership;
use super::offsets::{self, CommittedOffset, Offsets};
use super::options::{GroupOptions, wire_ms};
use super::refused;
use crate::client::Client;
use crate::connection::{Asked, Connection};
use crate::consumer::{Consumer, Delivered};
use crate::error::ClientError;
use crate::metadata::code;
use crate::topic_partition::TopicPartition;

/// How long the last commit is tried again.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// First version of LeaveGroup that names several members.
const FIRST_LEAVE_VERSION_WITH_MEMBERS: i16 = 3;

/// A member of a consumer group, in the classic protocol, with eager or cooperative rebalances: it
/// shares a group with any client that can divide partitions by one of its [`super::Assignor`]s.
///
/// [`Self::poll`] does everything: it joins, reads, commits and joins again when the group
/// rebalances. Heartbeats are sent behind it. Records are delivered at least once: what was not
/// committed when a member ended without [`Self::close`] is delivered again, to whom gets its
/// partitions.
pub struct GroupMember {
    pub(super) options: GroupOptions,
    pub(super) client: Client,
    /// For all that is asked of the coordinator but heartbeats, which must not wait behind it.
    pub(super) coordinator: Option<Connection>,
    pub(super) membership: Membership,
    pub(super) phase: Phase,
    pub(super) heartbeats: Heartbeats,
    pub(super) consumer: Consumer,
    /// What the group has committed of the member's partitions.
    pub(super) committed: BTreeMap<TopicPartition, i64>,
    pub(super) last_commit: Instant,
    /// What the member has divided, as the group's leader.
    pub(super) divided: Option<Divided>,
    /// It has given up partitions that others wait for: another rebalance gives them to them.
    pub(super) is_to_rejoin: bool,
    /// Since when nothing has worked.
    trouble_since: Option<Instant>,
}

/// What the leader of a group has divided.
#[derive(Debug)]
pub(super) struct Divided {
    pub(super) topics: BTreeSet<String>,
    /// Number of partitions of those topics that exist.
    pub(super) partitions: BTreeMap<String, i32>,
    pub(super) last_look: Instant,
}

/// How far a member is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not part of the next generation yet.
    Out,
    /// JoinGroup is sent.
    Joining(Asked<JoinGroupRequest>),
    /// SyncGroup is sent.
    Syncing(Asked<SyncGroupRequest>),
    /// It has to give up some partitions, and goes on with others.
    GivingUp {
        given_up: Vec<TopicPartition>,
        partitions: Vec<TopicPartition>,
    },
    /// It has these partitions, and does not know where to begin in those that are new.
    Starting(Vec<TopicPartition>),
    /// It reads.
    Stable,
}

/// What a poll came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// So many records were delivered; 0: none came in time, or the group rebalances.
    Records(usize),
    /// The member has exactly these partitions now, sorted.
    Assigned(Vec<TopicPartition>),
    /// The member gives up these partitions with its next poll, because the group rebalances: all
    /// that it has, or, with cooperative rebalances, those that go to others. This is
    /// the last moment to commit what it has read of them; automatic commits are done.
    Revoking(Vec<TopicPartition>),
    /// The member has lost these partitions: it was silent or did not poll for too long, and others
    /// may have them already. What it had not committed is delivered again.
    Lost(Vec<TopicPartition>),
    /// The log does not have the offset that was due; the member goes on elsewhere, as
    /// [`super::OffsetReset`] says.
    Reset {
        /// Where.
        partition: TopicPartition,
        /// The offset that was due.
        from: i64,
        /// The one it goes on with.
        to: i64,
    },
}

impl GroupMember {
    /// A member to be; it joins with its first poll. Topics that do not exist are an error.
    pub fn new(mut client: Client, options: GroupOptions) -> Result<GroupMember, ClientError> {
        for topic in &options.topics {
            client.topic(topic)?;
        }
        let heartbeats = Heartbeats::start(
            options.heartbeat_interval,
            options.max_poll_interval,
            client.options().connection.clone(),
        )?;
        Ok(GroupMember {
            client,
            coordinator: None,
            membership: Membership {
                instance_id: options.instance_id.clone(),
                ..Membership::outside(&options.group)
            },
            phase: Phase::Out,
            heartbeats,
            consumer: Consumer::new(options.fetch.clone()),
            committed: BTreeMap::new(),
            last_commit: Instant::now(),
            divided: None,
            is_to_rejoin: false,
            trouble_since: None,
            options,
        })
    }

    /// What it reads with, for questions about topics and offsets.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Its id, as the coordinator calls it; empty before the first one.
    pub fn member_id(&self) -> &str {
        &self.membership.member_id
    }

    /// The generation that it is part of; -1: none.
    pub fn generation(&self) -> i32 {
        self.membership.generation
    }

    /// Where each of its partitions will be read next.
    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let positions = self.consumer.positions();
        positions
            .map(|(place, offset, _)| (place.clone(), offset))
            .collect()
    }

    /// Goes on: joins, rejoins, commits, reads. Records are given to `deliver` until it breaks.
    /// Returns after `max_wait` at the latest when brokers answer, and whenever something has
    /// happened that the caller should know.
    ///
    /// What passes is tried again, for as long as the client's options say; an error is the end.
    pub fn poll(
        &mut self,
        max_wait: Duration,
        mut deliver: impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<GroupEvent, ClientError> {
        self.heartbeats.polled();
        let deadline = Instant::now() + max_wait;
        loop {
            if let Some(event) = self.advance(deadline, &mut deliver)? {
                return Ok(event);
            }
            if Instant::now() >= deadline {
                return Ok(GroupEvent::Records(0));
            }
        }
    }

    /// Commits what has been delivered. An error that says that the group rebalances or does not
    /// know the member is followed by [`GroupEvent::Lost`] or [`GroupEvent::Revoking`].
    pub fn commit(&mut self) -> Result<(), ClientError> {
        self.commit_for(self.client.options().retry_for)
    }

    /// Commits if that is automatic, and leaves the group. A static member does not leave: it may
    /// come back.
    pub fn close(mut self) -> Result<(), ClientError> {
        let committed = match self.options.auto_commit {
            Some(_) => self.commit_for(CLOSE_TIMEOUT),
            None => Ok(()),
        };
        let left = self.leave();
        committed.and(left)
    }

    /// Leaves the group without a commit. A static member does not leave: it may come back.
    pub fn leave(mut self) -> Result<(), ClientError> {
        self.heartbeats.pause();
        if self.membership.instance_id.is_some() || self.membership.member_id.is_empty() {
            return Ok(());
        }
        if matches!(self.phase, Phase::Joining(_) | Phase::Syncing(_)) {
            // Another answer is due on that connection.
            self.coordinator = None;
        }
        let member_id = StrBytes::from(self.membership.member_id.as_str());
        let group = self.membership.group.clone();
        let connection = self.connect()?;
        let mut request = LeaveGroupRequest::default();
        request.group_id = StrBytes::from(group.as_str());
        if connection.version(sillon_protocol::Api::LeaveGroup)? < FIRST_LEAVE_VERSION_WITH_MEMBERS
        {
            request.member_id = member_id;
        } else {
            let mut member = MemberIdentity::default();
            member.member_id = member_id;
            member.reason = Some(StrBytes::from("the consumer is being closed"));
            request.members = vec![member];
        }
        let answer = connection.call(&request)?;
        match code(answer.error_code) {
            ErrorCode::None | ErrorCode::UnknownMemberId => Ok(()),
            error => Err(refused(
                &format!("leave group {group}"),
                &group,
                error,
                None,
            )),
        }
    }

    fn advance(
        &mut self,
        deadline: Instant,
        deliver: &mut impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<Option<GroupEvent>, ClientError> {
        if self.is_to_rejoin && matches!(self.phase, Phase::Stable) {
            return self.revoke();
        }
        if matches!(self.phase, Phase::Starting(_) | Phase::Stable)
            && let Some(verdict) = self.heartbeats.verdict()
        {
            return self.judged(verdict);
        }
        let result = match &self.phase {
            Phase::Out => self.join(),
            Phase::Joining(_) => self.joined(deadline),
            Phase::Syncing(_) => match self.synced(deadline) {
                Ok(()) if matches!(self.phase, Phase::GivingUp { .. }) => {
                    return self.giving_up().map(Some);
                }
                result => result,
            },
            Phase::GivingUp { .. } => {
                self.given_up();
                Ok(())
            }
            Phase::Starting(_) => return self.started(),
            Phase::Stable => return self.read(deadline, deliver),
        };
        match result {
            Ok(()) => Ok(None),
            Err(error) => self.not_joined(error),
        }
    }

    /// What heartbeats have found out.
    fn judged(&mut self, verdict: Verdict) -> Result<Option<GroupEvent>, ClientError> {
        match verdict {
            Verdict::Rebalance => self.revoke(),
            Verdict::Lost => Ok(Some(self.lose())),
            Verdict::Fatal(error) => Err(error),
            Verdict::NoCoordinator => {
                self.forget_coordinator();
                match self.client.coordinator(&self.options.group) {
                    Ok(found) => self
                        .heartbeats
                        .begin(self.membership.clone(), found.address),
                    Err(error) => self.back_off(error)?,
                }
                Ok(None)
            }
        }
    }

    /// The group rebalances: the last moment to commit, but for a member that keeps its partitions.
    fn revoke(&mut self) -> Result<Option<GroupEvent>, ClientError> {
        if let Some(lost) = self.commit_before_rebalance()? {
            return Ok(Some(lost));
        }
        self.phase = Phase::Out;
        let event = (!self.options.is_cooperative()).then(|| self.partitions());
        Ok(event.map(GroupEvent::Revoking))
    }

    /// The automatic commit; [`GroupEvent::Lost`] when the group does not count the member in.
    fn commit_before_rebalance(&mut self) -> Result<Option<GroupEvent>, ClientError> {
        if self.options.auto_commit.is_some() {
            match self.commit() {
                Err(error) if is_out(&error) => return Ok(Some(self.lose())),
                result => result?,
            }
        }
        Ok(None)
    }

    /// The group's new generation has given some of the member's partitions to others.
    fn giving_up(&mut self) -> Result<GroupEvent, ClientError> {
        if let Some(lost) = self.commit_before_rebalance()? {
            return Ok(lost);
        }
        let Phase::GivingUp { given_up, .. } = &self.phase else {
            unreachable!("only a member that gives partitions up gets here");
        };
        Ok(GroupEvent::Revoking(given_up.clone()))
    }

    fn given_up(&mut self) {
        let Phase::GivingUp {
            given_up,
            partitions,
        } = std::mem::replace(&mut self.phase, Phase::Out)
        else {
            unreachable!("only a member that gives partitions up gets here");
        };
        for place in &given_up {
            self.consumer.unassign(place);
            self.committed.remove(place);
        }
        self.is_to_rejoin = true;
        self.phase = Phase::Starting(partitions);
    }

    /// The group does not count the member in any more.
    fn lose(&mut self) -> GroupEvent {
        let lost = self.partitions();
        self.heartbeats.pause();
        self.consumer.unassign_all();
        self.committed.clear();
        self.membership.generation = -1;
        self.phase = Phase::Out;
        GroupEvent::Lost(lost)
    }

    /// What it has, sorted.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let positions = self.consumer.positions();
        positions.map(|(place, ..)| place.clone()).collect()
    }

    fn started(&mut self) -> Result<Option<GroupEvent>, ClientError> {
        match self.start() {
            Ok(assigned) => {
                self.trouble_since = None;
                Ok(Some(GroupEvent::Assigned(assigned)))
            }
            Err(error) => {
                self.forget_coordinator();
                self.back_off(error).map(|()| None)
            }
        }
    }

    fn read(
        &mut self,
        deadline: Instant,
        deliver: &mut impl FnMut(Delivered<'_>) -> ControlFlow<()>,
    ) -> Result<Option<GroupEvent>, ClientError> {
        if let Some(event) = self.commit_when_due()? {
            return Ok(Some(event));
        }
        if self.is_divided_otherwise()? {
            return self.revoke();
        }
        if self.consumer.positions().next().is_none() {
            self.heartbeats.wait(deadline);
            return Ok(None);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait_ms = wire_ms(left).min(self.options.fetch.max_wait_ms);
        self.consumer.set_max_wait_ms(wait_ms);
        let mut count = 0;
        let result = self.consumer.poll(&mut self.client, |delivered| {
            count += 1;
            deliver(delivered)
        });
        match result {
            Ok(_) => self.trouble_since = None,
            Err(ClientError::OffsetOutOfRange {
                topic,
                partition,
                offset,
            }) => {
                let event = self.reset(TopicPartition { topic, partition }, offset)?;
                return Ok(Some(event));
            }
            Err(error) => {
                self.client.forget_topics();
                self.back_off(error)?;
            }
        }
        Ok((count > 0).then_some(GroupEvent::Records(count)))
    }

    fn reset(&mut self, partition: TopicPartition, from: i64) -> Result<GroupEvent, ClientError> {
        let spec = self.options.offset_reset.into();
        let found = self
            .client
            .list_offsets_of(std::slice::from_ref(&partition), spec)?;
        let to = found.get(&partition).copied().unwrap_or(0);
        self.consumer
            .assign(&partition.topic, partition.partition, to);
        Ok(GroupEvent::Reset {
            partition,
            from,
            to,
        })
    }

    /// The automatic commit, when it is time for one.
    fn commit_when_due(&mut self) -> Result<Option<GroupEvent>, ClientError> {
        let is_due = |interval| self.last_commit.elapsed() >= interval;
        if !self.options.auto_commit.is_some_and(is_due) {
            return Ok(None);
        }
        match self.commit_once() {
            Ok(()) => self.last_commit = Instant::now(),
            // Heartbeats say so too, and the rebalance commits.
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {}
            Err(error) if is_out(&error) => return Ok(Some(self.lose())),
            Err(error) => {
                self.forget_coordinator();
                self.back_off(error)?;
            }
        }
        Ok(None)
    }

    fn commit_for(&mut self, time: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now() + time;
        loop {
            match self.commit_once() {
                Err(error) if error.is_retriable() => {
                    if Instant::now() >= deadline {
                        return Err(error.after_retries());
                    }
                    self.forget_coordinator();
                    thread::sleep(self.client.options().retry_after);
                }
                result => return result,
            }
        }
    }

    fn commit_once(&mut self) -> Result<(), ClientError> {
        let positions = self.consumer.positions();
        let moved =
            positions.filter(|(place, offset, _)| self.committed.get(place) != Some(offset));
        let offsets: Offsets = moved
            .map(|(place, offset, leader_epoch)| {
                let committed = CommittedOffset {
                    offset,
                    leader_epoch,
                };
                (place.clone(), committed)
            })
            .collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let membership = self.membership.clone();
        offsets::commit(self.connect()?, &membership, &offsets)?;
        let offsets = offsets.into_iter();
        self.committed
            .extend(offsets.map(|(place, committed)| (place, committed.offset)));
        Ok(())
    }

    /// Joining did not work: from the beginning, with what is known now.
    fn not_joined(&mut self, error: ClientError) -> Result<Option<GroupEvent>, ClientError> {
        self.phase = Phase::Out;
        if error.code() == Some(ErrorCode::RebalanceInProgress) {
            return Ok(None);
        }
        if is_out(&error) {
            // A cooperative member has kept what others may have by now.
            let lost = (!self.partitions().is_empty()).then(|| self.lose());
            self.membership.reset();
            return Ok(lost);
        }
        self.forget_coordinator();
        self.back_off(error).map(|()| None)
    }

    /// A connection to the coordinator.
    pub(super) fn connect(&mut self) -> Result<&mut Connection, ClientError> {
        let connection = match self.coordinator.take() {
            Some(connection) => connection,
            None => {
                let found = self.client.coordinator(&self.options.group)?;
                let options = self.client.options().connection.clone();
                Connection::open(&found.address, options)?
            }
        };
        Ok(self.coordinator.insert(connection))
    }

    fn forget_coordinator(&mut self) {
        self.coordinator = None;
        self.client.forget_coordinator(&self.options.group);
    }

    /// Waits a moment after what may pass, until the time for that is up.
    fn back_off(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_retriable() {
            return Err(error);
        }
        let since = *self.trouble_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.client.options().retry_for {
            return Err(error.after_retries());
        }
        thread::sleep(self.client.options().retry_after);
        Ok(())
    }
}

/// Whether the coordinator does not count the member in.
fn is_out(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
        )
    )
}
