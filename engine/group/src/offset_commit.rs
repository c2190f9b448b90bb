//! Offsets: committed by members and from outside, fetched, deleted.

use std::sync::Arc;

use sillon_record::TopicId;

use crate::coordinator::{Coordinator, InFlight};
use crate::group::{Group, GroupState};
use crate::offsets::CommittedOffset;
use crate::records::{offset_commit, offset_tombstone};
use crate::turn::Turn;
use crate::{
    AppendError, CommitPartition, CommitTopic, Effect, FetchedPartition, FetchedTopic, GroupError,
    GroupResponse, LogRecord, Now, OffsetCommit, OffsetDelete, OffsetFetch, RequestId,
};

/// The longest text of a record: its length is an i16.
const TEXT_BYTES_MAX: usize = i16::MAX as usize;

impl Coordinator {
    pub(crate) fn offset_commit(
        &mut self,
        now: Now,
        request: RequestId,
        commit: OffsetCommit,
        effects: &mut Vec<Effect>,
    ) {
        match self.group_to_commit(&commit) {
            Ok(id) => self.in_group(now, &id, effects, |group, turn| {
                match group.check_commit(&commit) {
                    Ok(()) => group.commit(turn, request, commit),
                    Err(error) => {
                        let topics = all_refused(commit.topics, error);
                        turn.reply(request, GroupResponse::OffsetCommit(topics));
                    }
                }
            }),
            Err(error) => {
                let response = GroupResponse::OffsetCommit(all_refused(commit.topics, error));
                effects.push(Effect::Reply { request, response });
            }
        }
    }

    /// A commit from outside makes a group of offsets only.
    fn group_to_commit(&mut self, commit: &OffsetCommit) -> Result<Arc<str>, GroupError> {
        match self.known_group(&commit.group_id)? {
            Some(group) if group.is_deleting => Err(GroupError::LoadInProgress),
            Some(group) => Ok(group.id.clone()),
            None if commit.generation < 0 => self.new_group(&commit.group_id),
            None if commit.knows_missing_groups => Err(GroupError::GroupIdNotFound),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    pub(crate) fn commit_appended(
        &mut self,
        now: Now,
        group: &str,
        mut topics: Vec<CommitTopic>,
        offsets: Vec<(Arc<str>, i32, CommittedOffset)>,
        result: Result<(), AppendError>,
        effects: &mut Vec<Effect>,
    ) -> GroupResponse {
        if let Err(error) = result {
            topics = all_refused(
                topics,
                error.for_client(GroupError::InvalidCommitOffsetSize),
            );
        }
        self.on_append(now, group, effects, |group, _| {
            for (topic, partition, committed) in offsets {
                let committed = result.is_ok().then_some(committed);
                group.offsets.end(&topic, partition, committed);
            }
        });
        GroupResponse::OffsetCommit(topics)
    }

    pub(crate) fn offset_fetch(
        &self,
        question: &OffsetFetch,
    ) -> Result<Vec<FetchedTopic>, GroupError> {
        let group = self.known_group(&question.group_id)?;
        let mut fetched: Vec<FetchedTopic> = Vec::new();
        let Some(topics) = &question.topics else {
            let offsets = group.into_iter().flat_map(|group| group.offsets.all());
            for (topic, partition, slot) in offsets {
                let Some(committed) = &slot.committed else {
                    continue;
                };
                if fetched.last().is_none_or(|last| last.name != *topic) {
                    let (name, partitions) = (topic.clone(), Vec::new());
                    fetched.push(FetchedTopic { name, partitions });
                }
                let topic = fetched.last_mut().expect("pushed above");
                topic.partitions.push(found(partition, Some(committed)));
            }
            return Ok(fetched);
        };
        for (name, partitions) in topics {
            let partitions = partitions.iter().map(|partition| {
                let offsets = group.map(|group| &group.offsets);
                let committed = offsets.and_then(|offsets| offsets.get(name, *partition));
                found(*partition, committed)
            });
            fetched.push(FetchedTopic {
                name: name.clone(),
                partitions: partitions.collect(),
            });
        }
        Ok(fetched)
    }

    pub(crate) fn offset_delete(
        &mut self,
        now: Now,
        request: RequestId,
        delete: OffsetDelete,
        effects: &mut Vec<Effect>,
    ) {
        let found = match self.known_group(&delete.group_id) {
            Ok(Some(group)) if group.is_deleting => Err(GroupError::LoadInProgress),
            Ok(Some(group)) => group.check_offset_delete().map(|()| group.id.clone()),
            Ok(None) => Err(GroupError::GroupIdNotFound),
            Err(error) => Err(error),
        };
        let refuse = |error| GroupResponse::OffsetDelete(Err(error));
        self.with_group(now, request, found, refuse, effects, |group, turn| {
            group.delete_offsets(turn, request, delete);
        });
    }

    pub(crate) fn tombstones_appended(
        &mut self,
        now: Now,
        group: &str,
        offsets: Vec<(Arc<str>, i32)>,
        reply: Option<(RequestId, GroupResponse)>,
        result: Result<(), AppendError>,
        effects: &mut Vec<Effect>,
    ) {
        self.on_append(now, group, effects, |group, _| {
            if result.is_ok() {
                for (topic, partition) in offsets {
                    group.offsets.remove(&topic, partition);
                }
            }
        });
        if let Some((request, response)) = reply {
            let response = match result {
                Ok(()) => response,
                Err(error) => {
                    GroupResponse::OffsetDelete(Err(error.for_client(GroupError::NotAvailable)))
                }
            };
            effects.push(Effect::Reply { request, response });
        }
    }
}

impl Group {
    fn check_commit(&self, commit: &OffsetCommit) -> Result<(), GroupError> {
        if commit.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        let is_of_member =
            commit.generation >= 0 || !commit.member_id.is_empty() || commit.instance_id.is_some();
        if is_of_member {
            self.check_member(&commit.member_id, commit.instance_id.as_ref())?;
            if commit.generation != self.generation {
                return Err(GroupError::IllegalGeneration);
            }
        } else if self.state != GroupState::Empty {
            return Err(GroupError::UnknownMember);
        }
        match self.state {
            // It knows its generation, so it must have joined; its assignment is still to come.
            GroupState::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, turn: &mut Turn<'_>, request: RequestId, mut commit: OffsetCommit) {
        self.renew_session(turn, &commit.member_id);
        let added_bytes = self.added_by_commit(&commit.topics);
        if let Err(error) = turn.work.check_room(turn.config, added_bytes) {
            let topics = all_refused(commit.topics, error);
            return turn.reply(request, GroupResponse::OffsetCommit(topics));
        }
        let mut offsets = Vec::new();
        let mut records = Vec::new();
        let expires_ms = commit
            .retention_ms
            .map(|ms| turn.now.wall_ms.saturating_add(ms));
        for topic in &mut commit.topics {
            for partition in &mut topic.partitions {
                let text_max = turn.config.offset_metadata_max;
                partition.error = partition.error.or_else(|| refusal(partition, text_max));
                if partition.error.is_some() {
                    continue;
                }
                let committed = CommittedOffset {
                    topic_id: topic.id,
                    offset: partition.offset,
                    leader_epoch: partition.leader_epoch,
                    metadata: partition.metadata.clone(),
                    committed_ms: turn.now.wall_ms,
                    expires_ms,
                };
                let number = partition.partition;
                records.push(offset_commit(&self.id, &topic.name, number, &committed));
                self.offsets.begin(&topic.name, number);
                offsets.push((topic.name.clone(), number, committed));
            }
        }
        if records.is_empty() {
            return turn.reply(request, GroupResponse::OffsetCommit(commit.topics));
        }
        self.appends += 1;
        let what = InFlight::Commit {
            group: self.id.clone(),
            request,
            topics: commit.topics,
            offsets,
        };
        turn.append(self.partition, records, what);
    }

    fn check_offset_delete(&self) -> Result<(), GroupError> {
        match self.state {
            GroupState::Empty => Ok(()),
            _ if self.is_of_consumers() => Ok(()),
            _ => Err(GroupError::NonEmptyGroup),
        }
    }

    fn delete_offsets(&mut self, turn: &mut Turn<'_>, request: RequestId, delete: OffsetDelete) {
        let subscribed = self.subscribed_topics();
        let is_subscribed = |topic: &str| match &subscribed {
            Some(topics) => topics.contains(topic),
            // Nobody says what the members read: it may be this topic.
            None => !self.members.is_empty(),
        };
        let mut outcomes = Vec::with_capacity(delete.topics.len());
        let mut gone = Vec::new();
        for (topic, partitions) in delete.topics {
            let refused = is_subscribed(&topic).then_some(GroupError::GroupSubscribedToTopic);
            let of_topic = partitions.into_iter().map(|partition| {
                if refused.is_none() && self.offsets.has(&topic, partition) {
                    gone.push((topic.clone(), partition));
                }
                (partition, refused.map_or(Ok(()), Err))
            });
            let of_topic = of_topic.collect();
            outcomes.push((topic, of_topic));
        }
        let response = GroupResponse::OffsetDelete(Ok(outcomes));
        match gone.is_empty() {
            true => turn.reply(request, response),
            false => self.append_tombstones(turn, gone, Some((request, response))),
        }
    }

    /// Forgets offsets, in batches of a bounded size; the last one answers.
    pub(crate) fn append_tombstones(
        &mut self,
        turn: &mut Turn<'_>,
        offsets: Vec<(Arc<str>, i32)>,
        mut reply: Option<(RequestId, GroupResponse)>,
    ) {
        let mut batches = in_batches(&self.id, offsets).into_iter().peekable();
        while let Some((offsets, records)) = batches.next() {
            self.appends += 1;
            let is_last = batches.peek().is_none();
            let what = InFlight::Tombstones {
                group: self.id.clone(),
                offsets,
                reply: is_last.then(|| reply.take()).flatten(),
            };
            turn.append(self.partition, records, what);
        }
    }
}

/// Tombstones of one batch: each takes at most twice the longest name, so that a batch stays far
/// below the 1 MiB of `max.message.bytes`.
const TOMBSTONES_MAX: usize = 500;

/// Offsets that are forgotten, and the records that do it.
pub(crate) type Batch = (Vec<(Arc<str>, i32)>, Vec<LogRecord>);

/// Tombstones for these offsets, so many that they fit into a batch each time.
pub(crate) fn in_batches(group: &str, offsets: Vec<(Arc<str>, i32)>) -> Vec<Batch> {
    let batches = offsets.chunks(TOMBSTONES_MAX).map(|part| {
        let records = part.iter();
        let records = records.map(|(topic, partition)| offset_tombstone(group, topic, *partition));
        (part.to_vec(), records.collect())
    });
    batches.collect()
}

fn refusal(partition: &CommitPartition, text_max: usize) -> Option<GroupError> {
    let text = &partition.metadata;
    let is_too_long = text.encode_utf16().count() > text_max || text.len() > TEXT_BYTES_MAX;
    is_too_long.then_some(GroupError::OffsetMetadataTooLarge)
}

fn all_refused(mut topics: Vec<CommitTopic>, error: GroupError) -> Vec<CommitTopic> {
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error.get_or_insert(error);
    }
    topics
}

fn found(partition: i32, committed: Option<&CommittedOffset>) -> FetchedPartition {
    match committed {
        Some(committed) => FetchedPartition {
            partition,
            topic_id: committed.topic_id,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
        },
        None => FetchedPartition {
            partition,
            topic_id: TopicId::ZERO,
            offset: -1,
            leader_epoch: -1,
            metadata: Arc::default(),
        },
    }
}
