//! From one generation to the next: who joins it, and who assigns.

use std::sync::Arc;

use crate::coordinator::InFlight;
use crate::group::{Group, GroupState, JoinPhase};
use crate::member::Member;
use crate::turn::Turn;
use crate::{GroupError, GroupResponse, Joined};

impl Group {
    /// Begins a rebalance, or goes on with the one that is under way.
    pub(crate) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::PreparingRebalance {
            self.maybe_complete_join(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    pub(crate) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.refuse_syncs(turn, GroupError::RebalanceInProgress);
        }
        self.sync_deadline_ns = None;
        let timeout_ms = self.rebalance_timeout_ms();
        let was_empty = self.state == GroupState::Empty;
        self.transition(turn, GroupState::PreparingRebalance);
        let (wait_ms, initial) = if was_empty {
            let delay_ms = turn.config.initial_rebalance_delay_ms.max(0) as u64;
            (delay_ms, Some(timeout_ms.saturating_sub(delay_ms)))
        } else {
            (timeout_ms, None)
        };
        self.set_join_phase(turn, wait_ms, initial);
        if was_empty && wait_ms == 0 {
            self.complete_join(turn);
        } else {
            self.maybe_complete_join(turn);
        }
    }

    fn set_join_phase(&mut self, turn: &mut Turn<'_>, wait_ms: u64, initial: Option<u64>) {
        let deadline_ns = turn.now.in_ms(wait_ms);
        self.join_phase = Some(JoinPhase {
            deadline_ns,
            initial,
            has_new_member: false,
        });
        self.arm(turn.work, deadline_ns);
    }

    /// Ends the join phase when everybody is there. The first one of a group waits its time for
    /// members that nobody knows yet.
    pub(crate) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        let is_initial = self.join_phase.is_some_and(|phase| phase.initial.is_some());
        let is_complete =
            self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == GroupState::PreparingRebalance && !is_initial && is_complete {
            self.complete_join(turn);
        }
    }

    pub(crate) fn join_phase_is_over(&mut self, turn: &mut Turn<'_>) {
        match self.join_phase {
            Some(JoinPhase {
                initial: Some(left_ms),
                has_new_member: true,
                ..
            }) if left_ms > 0 => {
                let delay_ms = turn.config.initial_rebalance_delay_ms.max(0) as u64;
                let delay_ms = delay_ms.min(left_ms);
                self.set_join_phase(turn, delay_ms, Some(left_ms - delay_ms));
            }
            _ => self.complete_join(turn),
        }
    }

    /// Makes the next generation of those who have joined.
    pub(crate) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_phase = None;
        let is_absent = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        let absent: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| is_absent(member))
            .map(|member| member.id.clone())
            .collect();
        for member_id in absent {
            self.remove_member(&member_id);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Static members only, and none of them is back: their sessions decide.
            let timeout_ms = self.rebalance_timeout_ms();
            self.set_join_phase(turn, timeout_ms, None);
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.become_empty(turn);
            return;
        }
        self.protocol = self.select_protocol();
        self.transition(turn, GroupState::CompletingRebalance);
        let sync_deadline_ns = turn.now.in_ms(self.rebalance_timeout_ms());
        self.sync_deadline_ns = Some(sync_deadline_ns);
        self.arm(turn.work, sync_deadline_ns);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join(turn, &id);
            self.renew_session(turn, &id);
            let member = self.members.get_mut(&id).expect("listed above");
            member.is_new = false;
            self.pending_sync.insert(id);
        }
    }

    fn become_empty(&mut self, turn: &mut Turn<'_>) {
        self.protocol = None;
        self.leader = None;
        self.transition(turn, GroupState::Empty);
        if let Ok(record) = self.metadata_record(|member| member.assignment.clone()) {
            let group = self.id.clone();
            self.append_metadata(turn, record, InFlight::Noted { group });
        }
    }

    /// Answers a member's JoinGroup with the generation that the group is in.
    fn answer_join(&mut self, turn: &mut Turn<'_>, member_id: &Arc<str>) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let Some(request) = member.joining.take() else {
            return;
        };
        let joined = self.joined(member_id);
        turn.reply(request, GroupResponse::Join(joined));
    }

    /// The generation as a member hears of it: the leader hears of everybody.
    pub(crate) fn joined(&self, member_id: &Arc<str>) -> Joined {
        let is_leader = self.is_leader(member_id);
        let members = self.members.values();
        let protocol = self.protocol.as_deref();
        Joined {
            error: None,
            member_id: member_id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: match is_leader {
                true => members.map(|member| member.as_joined(protocol)).collect(),
                false => Vec::new(),
            },
        }
    }

    /// Makes somebody leader who has joined. False: nobody has.
    fn elect_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(|leader| leader.joining.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|m| m.joining.is_some());
        let Some(joined) = joined else {
            return false;
        };
        self.leader = Some(joined.id.clone());
        true
    }

    /// Takes a member out of everything. What it waits for must have been answered.
    pub(crate) fn remove_member(&mut self, member_id: &str) -> Option<Box<Member>> {
        self.pending_sync.remove(member_id);
        let member = self.members.remove(member_id)?;
        self.has_other_members = true;
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id) == Some(&member.id)
        {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }
}
