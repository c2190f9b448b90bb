use std::sync::Arc;

use crate::group::{Group, GroupState};
use crate::join::refused;
use crate::member::Member;
use crate::turn::Turn;
use crate::{GroupError, GroupResponse, LeaveGroup, Leaving};

impl Group {
    /// One outcome for each.
    pub(crate) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        leave: &LeaveGroup,
    ) -> Vec<Result<(), GroupError>> {
        let mut has_lost = false;
        let mut outcomes = Vec::with_capacity(leave.members.len());
        for leaving in &leave.members {
            let outcome = self.leave_one(turn, leaving);
            has_lost |= outcome.is_ok();
            outcomes.push(outcome);
        }
        if has_lost {
            self.has_lost_members(turn);
        }
        outcomes
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, leaving: &Leaving) -> Result<(), GroupError> {
        let member_id = if leaving.member_id.is_empty() {
            let instance_id = leaving.instance_id.as_ref();
            let current = instance_id.and_then(|id| self.static_members.get(id));
            current.cloned().ok_or(GroupError::UnknownMember)?
        } else if self.pending.remove(&leaving.member_id).is_some() {
            self.has_other_members = true;
            return Ok(());
        } else {
            self.check_member(&leaving.member_id, leaving.instance_id.as_ref())?;
            leaving.member_id.clone()
        };
        self.take_out(turn, &member_id);
        Ok(())
    }

    /// A member is gone; the others rebalance.
    pub(crate) fn drop_member(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        self.take_out(turn, member_id);
        self.has_lost_members(turn);
    }

    fn take_out(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        if let Some(member) = self.remove_member(member_id) {
            self.refuse_parked(turn, &member, GroupError::UnknownMember);
        }
    }

    fn has_lost_members(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            GroupState::Empty => {}
            GroupState::PreparingRebalance => self.maybe_complete_join(turn),
            GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(turn),
        }
    }

    /// Answers what a member waits for, which is no member any more.
    pub(crate) fn refuse_parked(&self, turn: &mut Turn<'_>, member: &Member, error: GroupError) {
        if let Some(request) = member.joining {
            turn.reply(request, refused(member.id.clone(), error));
        }
        if let Some(request) = member.syncing {
            turn.reply(request, GroupResponse::Sync(Err(error)));
        }
    }

    /// Members that have joined this generation and never asked for their assignment go.
    pub(crate) fn drop_unsynced(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline_ns = None;
        let unsynced: Vec<Arc<str>> = self.pending_sync.iter().cloned().collect();
        for member_id in &unsynced {
            self.take_out(turn, member_id);
        }
        if !unsynced.is_empty() {
            self.has_lost_members(turn);
        }
    }
}
