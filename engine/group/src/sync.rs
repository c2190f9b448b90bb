use std::collections::BTreeMap;
use std::sync::Arc;

use crate::coordinator::InFlight;
use crate::group::{Group, GroupState};
use crate::memory::added_by_assignment;
use crate::turn::{RequestId, Turn};
use crate::{AppendError, GroupError, GroupResponse, SyncGroup, Synced};

impl Group {
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, request: RequestId, sync: SyncGroup) {
        if let Err(error) = self.check_sync(&sync) {
            return turn.reply(request, GroupResponse::Sync(Err(error)));
        }
        self.pending_sync.remove(&sync.member_id);
        match self.state {
            GroupState::Empty => {
                turn.reply(request, GroupResponse::Sync(Err(GroupError::UnknownMember)));
            }
            GroupState::PreparingRebalance => {
                let error = GroupError::RebalanceInProgress;
                turn.reply(request, GroupResponse::Sync(Err(error)));
            }
            GroupState::CompletingRebalance => self.await_assignment(turn, request, sync),
            GroupState::Stable => {
                let synced = self.synced(&sync.member_id);
                self.renew_session(turn, &sync.member_id);
                turn.reply(request, GroupResponse::Sync(Ok(synced)));
            }
        }
    }

    fn check_sync(&self, sync: &SyncGroup) -> Result<(), GroupError> {
        self.check_member(&sync.member_id, sync.instance_id.as_ref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |asked: &Option<Arc<str>>, own: &Option<Arc<str>>| {
            asked.is_some() && asked.as_deref() != own.as_deref()
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn await_assignment(&mut self, turn: &mut Turn<'_>, request: RequestId, sync: SyncGroup) {
        let member = self.members.get_mut(&sync.member_id);
        let member = member.expect("checked before");
        let displaced = member.syncing.replace(request);
        turn.work.parked.insert(request, self.id.clone());
        if let Some(displaced) = displaced {
            let error = GroupError::RebalanceInProgress;
            turn.reply(displaced, GroupResponse::Sync(Err(error)));
        }
        // A leader that asks again, its answer lost, may have decided otherwise: what is on its way
        // into the log holds, there and for all members.
        if !self.is_leader(&sync.member_id) || self.assigning == Some(self.generation) {
            return;
        }
        let assignments: BTreeMap<Arc<str>, Arc<[u8]>> = sync.assignments.into_iter().collect();
        let of = |member_id: &Arc<str>| match assignments.get(member_id) {
            Some(assignment) => assignment.clone(),
            // A member that the leader forgets has nothing to do.
            None => Arc::from([]),
        };
        let assigned = self.members.keys().map(|id| (id.clone(), of(id)));
        let assigned: BTreeMap<Arc<str>, Arc<[u8]>> = assigned.collect();
        let added_bytes = added_by_assignment(&assigned, &self.members);
        let room = turn.work.check_room(turn.config, added_bytes);
        let record = self.metadata_record(|member| assigned[&member.id].clone());
        match room.and(record) {
            Ok(record) => {
                self.assigning = Some(self.generation);
                let what = InFlight::Assignment {
                    group: self.id.clone(),
                    generation: self.generation,
                    assigned,
                };
                self.append_metadata(turn, record, what);
            }
            Err(error) => self.assignment_failed(turn, error),
        }
    }

    /// The assignment of a generation is durable, or will not be.
    pub(crate) fn assignment_appended(
        &mut self,
        turn: &mut Turn<'_>,
        generation: i32,
        assigned: BTreeMap<Arc<str>, Arc<[u8]>>,
        result: Result<(), AppendError>,
    ) {
        // Somebody may have joined or left meanwhile: then the next generation has begun.
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(error) = result {
            return self.assignment_failed(turn, error.for_client(GroupError::GroupTooLarge));
        }
        self.has_other_members = true;
        for (member_id, assignment) in assigned {
            if let Some(member) = self.members.get_mut(&member_id) {
                member.assignment = assignment;
            }
        }
        self.transition(turn, GroupState::Stable);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            // Whoever waited could not be silent.
            self.renew_session(turn, &id);
            let member = self.members.get_mut(&id).expect("listed above");
            if let Some(request) = member.syncing.take() {
                let synced = self.synced(&id);
                turn.reply(request, GroupResponse::Sync(Ok(synced)));
            }
        }
    }

    fn assignment_failed(&mut self, turn: &mut Turn<'_>, error: GroupError) {
        self.refuse_syncs(turn, error);
        self.prepare_rebalance(turn);
    }

    /// Nobody gets an assignment in this generation.
    pub(crate) fn refuse_syncs(&mut self, turn: &mut Turn<'_>, error: GroupError) {
        self.has_other_members = true;
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("listed above");
            member.assignment = Arc::from([]);
            let waiting = member.syncing.take();
            if let Some(request) = waiting {
                self.renew_session(turn, &id);
                turn.reply(request, GroupResponse::Sync(Err(error)));
            }
        }
    }

    fn synced(&self, member_id: &Arc<str>) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[member_id].assignment.clone(),
        }
    }
}
