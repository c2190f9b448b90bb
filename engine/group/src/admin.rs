//! Groups as operators see them: described, listed, deleted.

use std::sync::Arc;

use crate::coordinator::{Coordinator, InFlight, Readiness};
use crate::group::{Group, GroupState};
use crate::offset_commit::in_batches;
use crate::records::group_tombstone;
use crate::turn::Turn;
use crate::{
    AppendError, DescribedGroup, Effect, GroupError, GroupResponse, ListGroups, ListedGroup, Now,
    RequestId,
};

/// Kafka's name for groups of this protocol.
const CLASSIC: &str = "classic";

impl Coordinator {
    pub(crate) fn describe(&self, group_id: &str) -> Result<DescribedGroup, GroupError> {
        let group = self.known_group(group_id)?;
        let group = group.ok_or(GroupError::GroupIdNotFound)?;
        let protocol = group.protocol.as_deref();
        let protocol = protocol.filter(|_| group.state == GroupState::Stable);
        let members = group.members.values();
        Ok(DescribedGroup {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().into(),
            members: members.map(|m| m.as_described(protocol)).collect(),
        })
    }

    pub(crate) fn list(&self, filter: &ListGroups) -> Result<Vec<ListedGroup>, GroupError> {
        if self
            .partitions
            .values()
            .any(|state| *state == Readiness::Loading)
        {
            return Err(GroupError::LoadInProgress);
        }
        let is_asked = |names: &[Arc<str>], own: &str| {
            names.is_empty() || names.iter().any(|name| name.eq_ignore_ascii_case(own))
        };
        if !is_asked(&filter.types, CLASSIC) {
            return Ok(Vec::new());
        }
        let groups = self.groups.values();
        let groups = groups.filter(|group| is_asked(&filter.states, group.state.name()));
        let listed = groups.map(|group| ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
        });
        Ok(listed.collect())
    }

    pub(crate) fn delete(
        &mut self,
        now: Now,
        request: RequestId,
        group_id: &Arc<str>,
        effects: &mut Vec<Effect>,
    ) {
        let found = match self.known_group(group_id) {
            Ok(Some(group)) if group.is_deleting => Err(GroupError::GroupIdNotFound),
            Ok(Some(group)) if group.state != GroupState::Empty => Err(GroupError::NonEmptyGroup),
            Ok(Some(group)) => Ok(group.id.clone()),
            Ok(None) => Err(GroupError::GroupIdNotFound),
            Err(error) => Err(error),
        };
        let refuse = |error| GroupResponse::Delete(Err(error));
        self.with_group(now, request, found, refuse, effects, |group, turn| {
            group.append_deletion(turn, Some(request));
        });
    }

    pub(crate) fn deletion_appended(
        &mut self,
        group_id: &str,
        offsets: &[(Arc<str>, i32)],
        is_partial: bool,
        result: Result<(), AppendError>,
    ) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        group.appends = group.appends.saturating_sub(1);
        if result.is_ok() {
            for (topic, partition) in offsets {
                group.offsets.remove(topic, *partition);
            }
        }
        group.count_memory(&mut self.work);
        if is_partial {
            return;
        }
        group.is_deleting = false;
        if result.is_ok() {
            self.forget(group_id);
        }
    }
}

impl Group {
    /// Writes tombstones for everything that the log has of the group. Until they are durable it
    /// takes no members and no commits.
    pub(crate) fn append_deletion(&mut self, turn: &mut Turn<'_>, request: Option<RequestId>) {
        self.is_deleting = true;
        self.pending.clear();
        self.has_other_members = true;
        let offsets = self.offsets.all();
        let offsets: Vec<(Arc<str>, i32)> = offsets
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .collect();
        let mut batches = in_batches(&self.id, offsets);
        let mut last = batches.pop().unwrap_or_default();
        last.1.push(group_tombstone(&self.id));
        for (offsets, records) in batches {
            self.append_deleting(turn, offsets, records, true, None);
        }
        self.append_deleting(turn, last.0, last.1, false, request);
    }

    fn append_deleting(
        &mut self,
        turn: &mut Turn<'_>,
        offsets: Vec<(Arc<str>, i32)>,
        records: Vec<crate::LogRecord>,
        is_partial: bool,
        request: Option<RequestId>,
    ) {
        self.appends += 1;
        let what = InFlight::Deletion {
            group: self.id.clone(),
            offsets,
            is_partial,
            request,
        };
        turn.append(self.partition, records, what);
    }
}
