use sillon_record::{BrokerId, LeaderEpoch, Offset};
use smallvec::SmallVec;

/// Replicas kept without a heap allocation: a replication factor above 4 is rare.
const REPLICAS_INLINE: usize = 4;

type Brokers = SmallVec<[BrokerId; REPLICAS_INLINE]>;

/// What the leader knows of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replica {
    broker: BrokerId,
    /// Offset below which it has flushed everything; for another broker than this one only what
    /// it said under the current leader epoch counts.
    flushed_end: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// Neither: metadata has named no leader yet.
    None,
    Leader {
        replicas: SmallVec<[Replica; REPLICAS_INLINE]>,
        /// The in-sync replicas that the controller has committed.
        isr: Brokers,
        /// Those that have been asked for and may be committed at any time.
        proposed_isr: Option<Brokers>,
        /// Where the epoch began: only who has all of the log before it can join the ISR.
        epoch_start: Offset,
    },
    Follower {
        leader: BrokerId,
    },
}

/// The replicated state of one partition on one broker, owned by the partition's shard: who
/// leads, who is in sync, and the high watermark, below which a record is flushed on every in-sync
/// replica.
///
/// After a crash everything is rebuilt: leader, epoch and ISR from the metadata, the high
/// watermark and the flushed end from the checkpoint and the journal ([`Self::recovered`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    local: BrokerId,
    leader_epoch: LeaderEpoch,
    high_watermark: Offset,
    local_flushed_end: Offset,
    role: Role,
}

impl Replicas {
    /// An empty partition that has no leader yet.
    pub fn new(local: BrokerId) -> Replicas {
        Replicas {
            local,
            leader_epoch: LeaderEpoch(-1),
            high_watermark: Offset::ZERO,
            local_flushed_end: Offset::ZERO,
            role: Role::None,
        }
    }

    /// The log has been recovered up to `flushed_end`, all of it flushed. The high watermark is
    /// what the checkpoint knew, as far as the log reaches.
    pub fn recovered(&mut self, high_watermark: Offset, flushed_end: Offset) {
        self.local_flushed_end = flushed_end;
        self.high_watermark = high_watermark.min(flushed_end);
    }

    /// This broker leads from `log_end` on. What the other replicas have flushed is unknown until
    /// they say so under this epoch. Returns the new high watermark when it advances: a leader
    /// that is alone in sync needs nobody's word.
    ///
    /// # Panics
    /// When the epoch is older than the current one, or this broker is not in the ISR.
    pub fn become_leader(
        &mut self,
        epoch: LeaderEpoch,
        replicas: &[BrokerId],
        isr: &[BrokerId],
        log_end: Offset,
    ) -> Option<Offset> {
        self.enter(epoch);
        assert!(isr.contains(&self.local), "a leader is in its own ISR");
        assert!(replicas.contains(&self.local), "a leader is a replica");
        let epoch_start = match self.role {
            // Metadata repeats itself: the epoch began when it first said so.
            Role::Leader { epoch_start, .. } if self.leader_epoch == epoch => epoch_start,
            _ => log_end,
        };
        let known = |broker: BrokerId| match &self.role {
            _ if broker == self.local => self.local_flushed_end,
            Role::Leader { replicas, .. } if self.leader_epoch == epoch => replicas
                .iter()
                .find(|replica| replica.broker == broker)
                .map_or(Offset::ZERO, |replica| replica.flushed_end),
            _ => Offset::ZERO,
        };
        let replicas = replicas
            .iter()
            .map(|broker| Replica {
                broker: *broker,
                flushed_end: known(*broker),
            })
            .collect();
        self.leader_epoch = epoch;
        self.role = Role::Leader {
            replicas,
            isr: Brokers::from_slice(isr),
            proposed_isr: None,
            epoch_start,
        };
        self.advance()
    }

    /// Another broker leads.
    ///
    /// # Panics
    /// When the epoch is older than the current one.
    pub fn become_follower(&mut self, epoch: LeaderEpoch, leader: BrokerId) {
        self.enter(epoch);
        self.leader_epoch = epoch;
        self.role = Role::Follower { leader };
    }

    /// `broker` has flushed everything below `end`. Another broker's word counts only when it was
    /// said under the current leader epoch, after it truncated its log to this leader's: the caller
    /// sees to that. Returns the new high watermark when it
    /// advances. On a leader it is the smallest flushed end of the ISR and never goes back; a
    /// follower only notes its own flushed end.
    pub fn flushed(&mut self, broker: BrokerId, end: Offset) -> Option<Offset> {
        if broker == self.local {
            self.local_flushed_end = self.local_flushed_end.max(end);
        }
        let Role::Leader { replicas, .. } = &mut self.role else {
            return None;
        };
        let replica = replicas.iter_mut().find(|known| known.broker == broker)?;
        replica.flushed_end = replica.flushed_end.max(end);
        self.advance()
    }

    /// The leader's connection to `broker` is lost: what it had flushed is unknown until it says so
    /// again. The high watermark stays where it is.
    pub fn lost(&mut self, broker: BrokerId) {
        let Role::Leader { replicas, .. } = &mut self.role else {
            return;
        };
        for replica in replicas
            .iter_mut()
            .filter(|known| known.broker != self.local)
        {
            if replica.broker == broker {
                replica.flushed_end = Offset::ZERO;
            }
        }
    }

    /// The leader asks the controller for another ISR. Until [`Self::set_isr`] tells the outcome
    /// both count (the *maximal* ISR): a replica about to leave is still waited for, and one about
    /// to join is waited for already.
    ///
    /// # Panics
    /// When this broker does not lead, or leaves itself out.
    pub fn propose_isr(&mut self, proposed: &[BrokerId]) {
        assert!(proposed.contains(&self.local), "a leader is in its own ISR");
        let Role::Leader { proposed_isr, .. } = &mut self.role else {
            panic!("only a leader proposes an ISR");
        };
        *proposed_isr = Some(Brokers::from_slice(proposed));
    }

    /// The controller has committed this ISR under the current epoch; nothing is asked for any
    /// more. Returns the new high watermark when it advances. Means nothing on a follower.
    pub fn set_isr(&mut self, committed: &[BrokerId]) -> Option<Offset> {
        let Role::Leader {
            isr, proposed_isr, ..
        } = &mut self.role
        else {
            return None;
        };
        assert!(
            committed.contains(&self.local),
            "a leader is in its own ISR"
        );
        *isr = Brokers::from_slice(committed);
        *proposed_isr = None;
        self.advance()
    }

    /// Whether a replica outside the ISR has caught up: it has all that is below the high
    /// watermark, and all that was there before this epoch.
    pub fn can_join_isr(&self, broker: BrokerId) -> bool {
        let Role::Leader {
            replicas,
            isr,
            epoch_start,
            ..
        } = &self.role
        else {
            return false;
        };
        let needed = self.high_watermark.max(*epoch_start);
        !isr.contains(&broker)
            && replicas
                .iter()
                .any(|replica| replica.broker == broker && replica.flushed_end >= needed)
    }

    /// A follower's leader has told its high watermark; this log reaches `local_end`, flushed.
    /// Returns the new high watermark when it advances. Means nothing on a leader.
    pub fn follower_high_watermark(&mut self, hw: Offset, local_end: Offset) -> Option<Offset> {
        match self.role {
            Role::Follower { .. } => self.raise(hw.min(local_end)),
            Role::None | Role::Leader { .. } => None,
        }
    }

    /// A follower's log has been truncated to `end`, because its leader's differs from there on.
    /// The high watermark follows only when the leader was elected uncleanly.
    ///
    /// # Panics
    /// When this broker leads: a leader's log only grows.
    pub fn truncated(&mut self, end: Offset) {
        assert!(!self.is_leader(), "a leader's log only grows");
        self.local_flushed_end = self.local_flushed_end.min(end);
        self.high_watermark = self.high_watermark.min(end);
    }

    /// Whether this broker leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// Who leads, as far as is known.
    pub fn leader(&self) -> Option<BrokerId> {
        match self.role {
            Role::None => None,
            Role::Leader { .. } => Some(self.local),
            Role::Follower { leader } => Some(leader),
        }
    }

    /// The current leader epoch; -1 before the first.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The committed in-sync replicas, on the leader; empty elsewhere. `min.insync.replicas` is
    /// held against these.
    pub fn isr(&self) -> &[BrokerId] {
        match &self.role {
            Role::Leader { isr, .. } => isr,
            Role::None | Role::Follower { .. } => &[],
        }
    }

    /// Records below this offset are flushed on every in-sync replica, as far as this broker
    /// knows.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Offset below which this broker has flushed everything.
    pub fn flushed_end(&self) -> Offset {
        self.local_flushed_end
    }

    fn enter(&self, epoch: LeaderEpoch) {
        assert!(
            self.leader_epoch <= epoch,
            "leader epochs come from the metadata log, in order"
        );
    }

    /// Advances the high watermark to the smallest flushed end of the maximal ISR.
    fn advance(&mut self) -> Option<Offset> {
        let Role::Leader {
            replicas,
            isr,
            proposed_isr,
            ..
        } = &self.role
        else {
            return None;
        };
        let flushed_end = |broker: &BrokerId| {
            replicas
                .iter()
                .find(|replica| replica.broker == *broker)
                .map_or(Offset::ZERO, |replica| replica.flushed_end)
        };
        let proposed = proposed_isr.iter().flatten();
        let everywhere = isr.iter().chain(proposed).map(flushed_end).min()?;
        self.raise(everywhere)
    }

    fn raise(&mut self, high_watermark: Offset) -> Option<Offset> {
        (high_watermark > self.high_watermark).then(|| {
            self.high_watermark = high_watermark;
            high_watermark
        })
    }
}
