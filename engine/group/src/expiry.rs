//! Offsets that nobody needs any more: after `offsets.retention.minutes`, and those of deleted
//! topics.

use std::ops::Bound;
use std::sync::Arc;

use crate::coordinator::{Coordinator, Readiness};
use crate::group::{Group, GroupState};
use crate::offsets::CommittedOffset;
use crate::turn::Turn;
use crate::{Effect, Now};

/// Offsets that are looked at before other work gets its turn: about 100 us.
const SLICE_OFFSETS: usize = 2_000;

impl Coordinator {
    /// Looks at a slice of all offsets when that is due.
    pub(crate) fn expire_offsets(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.retention_check_ns == 0 {
            // Groups that were just loaded have their first interval.
            self.retention_check_ns = now.in_ms(self.config.retention_check_interval_ms.max(1));
        }
        if now.mono_ns < self.retention_check_ns {
            return;
        }
        let mut looked = 0;
        while looked < SLICE_OFFSETS {
            let from = match &self.retention_cursor {
                Some(cursor) => Bound::Excluded(cursor.clone()),
                None => Bound::Unbounded,
            };
            let range = (from, Bound::Unbounded);
            let Some((id, group)) = self.groups.range_mut::<Arc<str>, _>(range).next() else {
                self.retention_cursor = None;
                let interval_ms = self.config.retention_check_interval_ms.max(1);
                self.retention_check_ns = now.in_ms(interval_ms);
                return;
            };
            self.retention_cursor = Some(id.clone());
            let mut turn = Turn {
                now,
                config: &self.config,
                work: &mut self.work,
                effects,
            };
            looked += 1 + group.offsets.all().count();
            if self.partitions.get(&group.partition) == Some(&Readiness::Loaded) {
                group.expire_offsets(&mut turn);
            }
        }
    }

    /// A topic has been deleted: its offsets go. (Those of partitions that are being loaded go
    /// when they are.)
    pub fn topic_removed(&mut self, now: Now, topic: &str, effects: &mut Vec<Effect>) {
        for group in self.groups.values_mut() {
            let offsets = group.offsets.of_topic(topic);
            let is_loaded = self.partitions.get(&group.partition) == Some(&Readiness::Loaded);
            if is_loaded && !offsets.is_empty() {
                let mut turn = Turn {
                    now,
                    config: &self.config,
                    work: &mut self.work,
                    effects,
                };
                group.append_tombstones(&mut turn, offsets, None);
            }
        }
    }
}

impl Group {
    fn expire_offsets(&mut self, turn: &mut Turn<'_>) {
        if self.is_deleting {
            return;
        }
        let subscribed = match self.state {
            GroupState::Stable => self.subscribed_topics(),
            _ => None,
        };
        let mut expired = Vec::new();
        let mut left = 0;
        for (topic, partition, slot) in self.offsets.all() {
            let is_read = subscribed.as_ref().is_some_and(|s| s.contains(&**topic));
            match &slot.committed {
                Some(committed)
                    if slot.pending_count == 0
                        && !is_read
                        && self.is_expired(turn, committed, subscribed.is_some()) =>
                {
                    expired.push((topic.clone(), partition));
                }
                _ => left += 1,
            }
        }
        let is_unused = self.state == GroupState::Empty
            && left == 0
            && self.pending.is_empty()
            && self.appends == 0;
        if is_unused {
            self.append_deletion(turn, None);
        } else if !expired.is_empty() {
            self.append_tombstones(turn, expired, None);
        }
    }

    /// `is_stable`: the group is stable and says which topics it reads, this one not among them.
    fn is_expired(&self, turn: &Turn<'_>, committed: &CommittedOffset, is_stable: bool) -> bool {
        let now_ms = turn.now.wall_ms;
        let since_ms = match (&self.protocol_type, self.state) {
            (None, _) => committed.committed_ms,
            (Some(_), GroupState::Empty) => self.state_since_ms.unwrap_or(committed.committed_ms),
            (Some(_), GroupState::Stable) if is_stable => committed.committed_ms,
            // Its members may be about to read it.
            _ => return false,
        };
        match committed.expires_ms {
            Some(expires_ms) => now_ms >= expires_ms,
            None => now_ms.saturating_sub(since_ms) >= turn.config.offsets_retention_ms,
        }
    }
}
