use std::sync::Arc;

use crate::group::{Group, GroupState};
use crate::turn::Turn;
use crate::{GroupError, Heartbeat};

impl Group {
    pub(crate) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        heartbeat: &Heartbeat,
    ) -> Result<(), GroupError> {
        self.check_member(&heartbeat.member_id, heartbeat.instance_id.as_ref())?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => {
                self.renew_session(turn, &heartbeat.member_id);
                Err(GroupError::RebalanceInProgress)
            }
            // A member beats from its JoinGroup's answer on.
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.renew_session(turn, &heartbeat.member_id);
                Ok(())
            }
        }
    }

    /// Does what is due, and says when to look again.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        let pending = self.pending.len();
        self.pending.retain(|_, deadline_ns| *deadline_ns > now_ns);
        if self.pending.len() < pending {
            self.has_other_members = true;
            self.maybe_complete_join(turn);
        }
        let silent: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.session_deadline_ns <= now_ns)
            .map(|member| member.id.clone())
            .collect();
        for member_id in silent {
            // What became of the one before may have concerned this one.
            let Some(member) = self.members.get_mut(&member_id) else {
                continue;
            };
            if member.session_deadline_ns > now_ns {
                continue;
            }
            if member.may_expire() {
                self.drop_member(turn, &member_id);
            } else {
                // The end of what it waits for renews its session.
                member.session_deadline_ns = u64::MAX;
            }
        }
        if self
            .join_phase
            .is_some_and(|phase| phase.deadline_ns <= now_ns)
        {
            self.join_phase_is_over(turn);
        }
        if self.sync_deadline_ns.is_some_and(|at| at <= now_ns) {
            self.drop_unsynced(turn);
        }
        self.arm_next(turn);
    }

    fn arm_next(&mut self, turn: &mut Turn<'_>) {
        let members = self.members.values().map(|m| m.session_deadline_ns);
        let pending = self.pending.values().copied();
        let join = self.join_phase.map(|phase| phase.deadline_ns);
        let next = members
            .chain(pending)
            .chain(join)
            .chain(self.sync_deadline_ns)
            .min();
        if let Some(at_ns) = next
            && at_ns < u64::MAX
        {
            self.arm(turn.work, at_ns);
        }
    }
}
