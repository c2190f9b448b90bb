//! Where a log begins: records before it are gone for readers as soon as the journal has flushed
//! that, and their segments afterwards.

use sillon_record::Offset;

use super::{PartitionLog, Segment};

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when its newest record is older, in ms; `None`: never.
    pub ms: Option<i64>,
    /// The oldest segments go while the others hold at least this many bytes; `None`: never.
    pub bytes: Option<u64>,
}

impl PartitionLog {
    /// The log will begin at `start`, which is not above its end, once the journal has flushed
    /// that. It never goes back.
    pub fn plan_start(&mut self, start: Offset) {
        assert!(start <= self.next_offset, "a log begins before its end");
        self.planned_start = self.planned_start.max(start);
    }

    /// What the log start was last planned to be: what a checkpoint keeps.
    pub fn planned_start(&self) -> Offset {
        self.planned_start
    }

    /// The journal has flushed that the log begins at `start`.
    pub fn start_flushed(&mut self, start: Offset) {
        self.plan_start(start);
        if start > self.log_start {
            self.log_start = start;
            self.epochs.truncate_from_start(start);
        }
    }

    /// Where the log may begin by `retention`, of records below `limit`: behind whole segments,
    /// the active one included.
    pub fn retained_from(&self, retention: Retention, now_ms: i64, limit: Offset) -> Offset {
        let mut start = self.planned_start;
        let kept = |segment: &&Segment| segment.next_offset > start;
        let sizes = self.segments.iter().filter(kept);
        let mut total: u64 = sizes.map(|segment| segment.size_bytes).sum();
        for segment in &self.segments {
            if segment.next_offset <= start {
                continue;
            }
            let newest_ms = match segment.max_timestamp_ms {
                none if none < 0 => segment.created_ms,
                newest_ms => newest_ms,
            };
            let is_old = retention
                .ms
                .is_some_and(|ms| now_ms.saturating_sub(newest_ms) > ms);
            let is_surplus = retention
                .bytes
                .is_some_and(|bytes| total - segment.size_bytes >= bytes);
            if segment.next_offset > limit || !(is_old || is_surplus) {
                break;
            }
            start = segment.next_offset;
            total -= segment.size_bytes;
        }
        start
    }

    /// Takes out the closed segments that lie before the log start and are written back whole:
    /// their files are nobody's any more.
    pub fn drop_segments(&mut self) -> Vec<Segment> {
        let closed = &self.segments[..self.segments.len() - 1];
        let is_done = |segment: &&Segment| {
            segment.next_offset <= self.log_start
                && self.written_bytes(segment.base_offset) == segment.size_bytes
        };
        let count = closed.iter().take_while(is_done).count();
        self.segments.drain(..count).collect()
    }
}
