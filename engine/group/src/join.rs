use std::sync::Arc;

use crate::config::{NEW_MEMBER_JOIN_MS, PENDING_MEMBERS_MAX};
use crate::coordinator::InFlight;
use crate::group::{Group, GroupState};
use crate::member::Member;
use crate::turn::{RequestId, Turn};
use crate::{GroupError, GroupResponse, JoinGroup, Joined};

/// A JoinGroup that fails. `member_id` is what its answer says.
pub(crate) fn refused(member_id: Arc<str>, error: GroupError) -> GroupResponse {
    GroupResponse::Join(Joined {
        error: Some(error),
        member_id,
        generation: -1,
        ..Joined::default()
    })
}

impl Group {
    pub(crate) fn join(&mut self, turn: &mut Turn<'_>, request: RequestId, join: JoinGroup) {
        let member_id = join.member_id.clone();
        if !self.has_room_for(turn.config.members_max, &member_id) {
            if let Some(member) = self.remove_member(&member_id) {
                self.refuse_parked(turn, &member, GroupError::GroupMaxSizeReached);
            }
            let refused = refused(Arc::default(), GroupError::GroupMaxSizeReached);
            turn.reply(request, refused);
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            turn.reply(
                request,
                refused(member_id, GroupError::InconsistentProtocol),
            );
        } else if let Err(error) = turn.work.check_room(turn.config, self.added_by(&join)) {
            turn.reply(request, refused(member_id, error));
        } else if member_id.is_empty() {
            self.join_new(turn, request, join);
        } else {
            self.join_known(turn, request, join);
        }
    }

    fn has_room_for(&self, members_max: usize, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                let joining = self.members.values().filter(|m| m.joining.is_some());
                member.is_some_and(|member| member.joining.is_some())
                    || joining.count() < members_max
            }
            _ => member.is_some() || self.members.len() < members_max,
        }
    }

    /// A member without id.
    fn join_new(&mut self, turn: &mut Turn<'_>, request: RequestId, join: JoinGroup) {
        let name = join.instance_id.as_ref().unwrap_or(&join.client_id);
        let member_id: Arc<str> = format!("{name}-{}", uuid(join.fresh_id)).into();
        if let Some(instance_id) = join.instance_id.clone() {
            match self.static_members.get(&instance_id).cloned() {
                Some(old_id) => self.replace_static(turn, request, &old_id, member_id, join),
                None => self.add(turn, request, member_id, join),
            }
        } else if join.needs_member_id {
            if self.pending.len() >= PENDING_MEMBERS_MAX {
                let refused = refused(Arc::default(), GroupError::NotAvailable);
                return turn.reply(request, refused);
            }
            let deadline_ns = turn.now.in_ms(join.session_timeout_ms.max(0) as u64);
            self.pending.insert(member_id.clone(), deadline_ns);
            self.has_other_members = true;
            self.arm(turn.work, deadline_ns);
            turn.reply(request, refused(member_id, GroupError::MemberIdRequired));
        } else {
            self.add(turn, request, member_id, join);
        }
    }

    /// A member with an id.
    fn join_known(&mut self, turn: &mut Turn<'_>, request: RequestId, join: JoinGroup) {
        let member_id = join.member_id.clone();
        if join.instance_id.is_none() && self.pending.contains_key(&member_id) {
            return self.add(turn, request, member_id, join);
        }
        if let Err(error) = self.check_member(&member_id, join.instance_id.as_ref()) {
            return turn.reply(request, refused(member_id, error));
        }
        let member = &self.members[&member_id];
        let says_the_same = member.protocols == join.protocols;
        match self.state {
            // An answer may have been lost: it hears of its generation again.
            GroupState::CompletingRebalance if says_the_same => {
                let joined = self.joined(&member_id);
                turn.reply(request, GroupResponse::Join(joined));
            }
            // A leader rejoins when it has seen something that asks for another assignment.
            GroupState::Stable if says_the_same && !self.is_leader(&member_id) => {
                let joined = self.joined(&member_id);
                turn.reply(request, GroupResponse::Join(joined));
            }
            GroupState::Empty => {
                turn.reply(request, refused(member_id, GroupError::UnknownMember));
            }
            _ => {
                self.update(turn, request, &member_id, join);
                self.rebalance(turn);
            }
        }
    }

    fn add(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        member_id: Arc<str>,
        join: JoinGroup,
    ) {
        self.pending.remove(&member_id);
        self.has_other_members = true;
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(phase) = &mut self.join_phase {
            phase.has_new_member = true;
        }
        let mut member = Member::new(member_id.clone(), join);
        member.joining = Some(request);
        let deadline_ns = turn.now.in_ms(NEW_MEMBER_JOIN_MS);
        member.session_deadline_ns = deadline_ns;
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.clone());
        }
        self.members.insert(member_id.clone(), Box::new(member));
        self.leader.get_or_insert(member_id);
        self.arm(turn.work, deadline_ns);
        turn.work.parked.insert(request, self.id.clone());
        self.rebalance(turn);
    }

    /// Takes in what a member says anew, and has its JoinGroup wait.
    fn update(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        member_id: &Arc<str>,
        join: JoinGroup,
    ) {
        let member = self.members.get_mut(member_id).expect("a known member");
        self.has_other_members = true;
        member.protocols = join.protocols;
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        let displaced = member.joining.replace(request);
        turn.work.parked.insert(request, self.id.clone());
        if let Some(displaced) = displaced {
            let refused = refused(member_id.clone(), GroupError::RebalanceInProgress);
            turn.reply(displaced, refused);
        }
    }

    /// A static member has come back under a new id (KIP-345): the old id is fenced.
    fn replace_static(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        old_id: &Arc<str>,
        member_id: Arc<str>,
        join: JoinGroup,
    ) {
        let old_leader = self.leader.clone();
        let can_skip_assignment = join.can_skip_assignment;
        let mut member = self.members.remove(old_id).expect("a static member");
        self.refuse_parked(turn, &member, GroupError::FencedInstanceId);
        if self.is_leader(old_id) {
            self.leader = Some(member_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(member_id.clone());
        }
        let instance_id = member.instance_id.clone().expect("a static member");
        self.static_members.insert(instance_id, member_id.clone());
        member.id = member_id.clone();
        (member.joining, member.syncing) = (None, None);
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        self.members.insert(member_id.clone(), member);
        self.update(turn, request, &member_id, join);
        self.renew_session(turn, &member_id);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol => {
                let member = self.members.get_mut(&member_id).expect("inserted above");
                // It goes on with what it had: no rebalance.
                member.joining = None;
                turn.work.parked.remove(&request);
                let joined = self.rejoined(&member_id, old_leader, can_skip_assignment);
                match self.metadata_record(|member| member.assignment.clone()) {
                    Ok(record) => {
                        let what = InFlight::StaticRejoin {
                            group: self.id.clone(),
                            request,
                            joined: Box::new(joined),
                        };
                        self.append_metadata(turn, record, what);
                    }
                    Err(error) => turn.reply(request, refused(member_id, error)),
                }
            }
            _ => self.rebalance(turn),
        }
    }

    /// What a static member hears that rejoins a stable group. A leader that cannot be told to
    /// leave the assignment alone hears its old id as the leader's, so that it does not assign.
    fn rejoined(
        &self,
        member_id: &Arc<str>,
        old_leader: Option<Arc<str>>,
        can_skip_assignment: bool,
    ) -> Joined {
        if can_skip_assignment {
            return Joined {
                skip_assignment: self.is_leader(member_id),
                ..self.joined(member_id)
            };
        }
        Joined {
            leader: old_leader.unwrap_or_default(),
            members: Vec::new(),
            ..self.joined(member_id)
        }
    }
}

/// As Java prints a UUID.
fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_is_written_in_five_parts() {
        let bits = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(super::uuid(bits), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
