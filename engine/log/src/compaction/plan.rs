use std::collections::VecDeque;

use sillon_record::Offset;

use crate::partition::{PartitionLog, Segment};

/// What a topic asks of compaction: Kafka's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionPolicy {
    /// `min.cleanable.dirty.ratio`
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`
    pub lag_min_ms: i64,
    /// `max.compaction.lag.ms`
    pub lag_max_ms: i64,
    /// `segment.bytes`: small neighbours become one segment up to this size, in bytes.
    pub segment_bytes: u64,
}

/// What a pass over a partition would do now.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionPlan {
    /// The first offset that no pass has seen.
    pub dirty_from: Offset,
    /// The pass goes no further than this: the end of a closed segment.
    pub until: Offset,
    /// Bytes of the segments before `dirty_from`.
    pub clean_bytes: u64,
    /// Bytes of the segments from there to `until`.
    pub dirty_bytes: u64,
    /// Some record has waited for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

/// Closed neighbours that become one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRun {
    /// Their base offsets and sizes in bytes, ascending.
    pub segments: Vec<(Offset, u64)>,
    /// The offset behind the last.
    pub next_offset: Offset,
    /// When the first of them was begun, in ms since the Unix epoch.
    pub created_ms: i64,
    /// How often any of them has been compacted at most.
    pub generation: u32,
}

impl CompactionPlan {
    /// What can be compacted below `limit`, which no reader is kept from; `None`: nothing.
    pub fn of(
        log: &PartitionLog,
        policy: &CompactionPolicy,
        now_ms: i64,
        limit: Offset,
    ) -> Option<CompactionPlan> {
        let dirty_from = log.compacted_to();
        let mut plan = CompactionPlan {
            dirty_from,
            until: dirty_from,
            clean_bytes: 0,
            dirty_bytes: 0,
            is_overdue: false,
        };
        for segment in closed(log) {
            if segment.next_offset <= dirty_from {
                plan.clean_bytes += segment.size_bytes;
                continue;
            }
            let is_young = policy.lag_min_ms > 0
                && newest_ms(segment) > now_ms.saturating_sub(policy.lag_min_ms);
            if segment.next_offset > limit || is_young {
                break;
            }
            plan.is_overdue |= now_ms.saturating_sub(segment.created_ms) > policy.lag_max_ms;
            plan.dirty_bytes += segment.size_bytes;
            plan.until = segment.next_offset;
        }
        (plan.until > dirty_from && plan.dirty_bytes > 0).then_some(plan)
    }

    /// Share of the bytes that no pass has seen.
    pub fn dirty_ratio(&self) -> f64 {
        self.dirty_bytes as f64 / (self.dirty_bytes + self.clean_bytes).max(1) as f64
    }

    /// Whether it is time for a pass.
    pub fn is_due(&self, policy: &CompactionPolicy) -> bool {
        self.is_overdue || self.dirty_ratio() > policy.dirty_ratio_min
    }

    /// The closed segments that a pass goes through that has seen everything below `through`, each
    /// as a run of its own.
    pub fn segments(log: &PartitionLog, through: Offset) -> VecDeque<SegmentRun> {
        let segments = closed(log).filter(|segment| segment.base_offset < through);
        segments
            .map(|segment| SegmentRun {
                segments: vec![(segment.base_offset, segment.size_bytes)],
                next_offset: segment.next_offset,
                created_ms: segment.created_ms,
                generation: segment.generation,
            })
            .collect()
    }
}

/// The closed segments that hold anything that is not given up.
fn closed(log: &PartitionLog) -> impl Iterator<Item = &Segment> {
    let (_, closed) = log.segments().split_last().expect("a log has a segment");
    let start = log.log_start();
    closed
        .iter()
        .filter(move |segment| segment.next_offset > start)
}

fn newest_ms(segment: &Segment) -> i64 {
    match segment.max_timestamp_ms {
        none if none < 0 => segment.created_ms,
        newest_ms => newest_ms,
    }
}

impl SegmentRun {
    /// The name of what they become.
    pub fn base_offset(&self) -> Offset {
        self.segments[0].0
    }

    /// Takes the run behind it in, when what is left of this one (`size_bytes`) and all of that one
    /// fit in one segment. Gives it back otherwise.
    pub fn join(
        &mut self,
        next: SegmentRun,
        size_bytes: u64,
        policy: &CompactionPolicy,
    ) -> Result<(), SegmentRun> {
        let next_bytes: u64 = next.segments.iter().map(|(_, size)| size).sum();
        let span = next.next_offset.0 - self.base_offset().0;
        let fits = size_bytes + next_bytes <= policy.segment_bytes && span <= i64::from(i32::MAX);
        if !fits {
            return Err(next);
        }
        self.segments.extend(next.segments);
        self.next_offset = next.next_offset;
        self.generation = self.generation.max(next.generation);
        Ok(())
    }
}
