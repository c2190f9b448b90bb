use std::collections::{BTreeMap, VecDeque};

use sillon_record::{LeaderEpoch, TopicPartition};

use super::batch::{epochs_agree, span};
use super::{Checked, Sent, Violation};

/// At a level above 1 what is acknowledged is flushed after one second at the latest. The rest is
/// for rounds that are under way, whose operations take at most 30 ms each here.
const FLUSHED_AFTER_NS: u64 = 1_000_000_000 + 500_000_000;

/// What is known of one partition.
#[derive(Debug)]
pub struct PartitionHistory {
    /// Which.
    pub id: TopicPartition,
    /// Its topic's name, for messages.
    pub topic: String,
    /// `flush.messages`: 1 promises that nothing answered is ever lost.
    pub flush_messages: i64,
    /// `message.timestamp.type` is LogAppendTime.
    pub is_log_append_time: bool,
    /// `cleanup.policy` contains `compact`: whether it may take tombstones in this run.
    pub compaction: Option<Compaction>,
    /// Retention may remove its oldest records.
    pub may_lose_its_start: bool,
    /// Records below this offset were given up by a client.
    pub given_up_before: i64,
    /// By base offset: what is there.
    pub log: BTreeMap<i64, Place>,
    /// The largest seen.
    pub high_watermark: i64,
    /// The largest seen.
    pub log_start: i64,
    /// When which end was acknowledged, in ns; for levels above 1.
    pub(super) acknowledged_ends: VecDeque<(u64, i64)>,
    /// Offsets below are flushed for sure, whatever the level.
    flushed_for_sure: i64,
    /// A power cut may have shortened the log.
    may_be_shorter: bool,
    /// The leader epoch of what was appended in a life.
    epochs: BTreeMap<u32, LeaderEpoch>,
}

/// How a partition is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// `delete.retention.ms` is over before a run ends.
    pub takes_tombstones: bool,
}

/// What is known of the two ends of a log that readers see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The largest high watermark seen.
    pub high_watermark: i64,
    /// The largest log start offset seen.
    pub log_start: i64,
}

/// A batch at its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub batch: usize,
    /// The offset behind it.
    pub end: i64,
    /// As read; unknown from an acknowledgement alone.
    pub epoch: Option<LeaderEpoch>,
    /// As answered or read.
    pub log_append_time_ms: Option<i64>,
}

impl PartitionHistory {
    /// A partition that has just been asked for.
    pub fn new(
        id: TopicPartition,
        topic: &str,
        flush_messages: i64,
        is_log_append_time: bool,
    ) -> PartitionHistory {
        PartitionHistory {
            id,
            topic: topic.to_owned(),
            flush_messages,
            is_log_append_time,
            compaction: None,
            may_lose_its_start: false,
            given_up_before: 0,
            log: BTreeMap::new(),
            high_watermark: 0,
            log_start: 0,
            acknowledged_ends: VecDeque::new(),
            flushed_for_sure: 0,
            may_be_shorter: false,
            epochs: BTreeMap::new(),
        }
    }

    /// An anomaly of this partition.
    pub fn violation(&self, anomaly: &'static str, detail: impl AsRef<str>) -> Violation {
        Violation::new(
            anomaly,
            format!(
                "{}-{} ({}): {}",
                self.topic,
                self.id.partition,
                self.id.topic,
                detail.as_ref()
            ),
        )
    }

    /// Puts an observation to the others.
    pub(super) fn put(&mut self, sent: &mut Sent, base: i64, place: Place) -> Checked {
        let number = place.batch;
        match sent.base_offset {
            Some(other) if other != base => {
                let detail = format!("batch {number} is at offset {other} and at {base}");
                return Err(self.violation("duplicate", detail));
            }
            _ => sent.base_offset = Some(base),
        }
        let before = self.log.range(..place.end).next_back();
        if let Some((at, other)) = before.filter(|(_, other)| other.end > base) {
            let is_same = *at == base
                && other.batch == number
                && other.end == place.end
                && epochs_agree(other.epoch, place.epoch)
                && (other.log_append_time_ms == place.log_append_time_ms);
            if !is_same {
                let detail = format!(
                    "batch {number} at {} ({:?}, time {:?}); before, batch {} was at {} ({:?}, \
                     time {:?})",
                    span(base, place.end),
                    place.epoch,
                    place.log_append_time_ms,
                    other.batch,
                    span(*at, other.end),
                    other.epoch,
                    other.log_append_time_ms,
                );
                return Err(self.violation("inconsistent-offset", detail));
            }
        }
        if let Some(epoch) = place.epoch {
            self.check_epoch(sent, base, epoch)?;
            self.log.insert(base, place);
        } else {
            self.log.entry(base).or_insert(place);
        }
        Ok(())
    }

    fn check_epoch(&mut self, sent: &Sent, base: i64, epoch: LeaderEpoch) -> Checked {
        let before = self.log.range(..base).next_back();
        let behind = self.log.range(base + 1..).next();
        let is_ordered = before.is_none_or(|(_, place)| place.epoch.is_none_or(|e| e <= epoch))
            && behind.is_none_or(|(_, place)| place.epoch.is_none_or(|e| e >= epoch));
        if !is_ordered {
            let detail = format!("epoch {epoch} at offset {base}: {before:?}, {behind:?}");
            return Err(self.violation("epoch-regression", detail));
        }
        // A batch that was sent in one life only was appended in it.
        if sent.lives.0 != sent.lives.1 {
            return Ok(());
        }
        let appended_in = sent.lives.0;
        let earlier = self.epochs.range(..appended_in).next_back();
        let later = self.epochs.range(appended_in + 1..).next();
        let own = self.epochs.get(&appended_in);
        let is_raised = earlier.is_none_or(|(_, e)| *e < epoch)
            && later.is_none_or(|(_, e)| *e > epoch)
            && own.is_none_or(|e| *e == epoch);
        if !is_raised {
            let detail = format!(
                "offset {base} was appended in life {appended_in} with epoch {epoch}; epochs by \
                 life: {:?}",
                self.epochs
            );
            return Err(self.violation("epoch-not-raised", detail));
        }
        self.epochs.insert(appended_in, epoch);
        Ok(())
    }

    /// Somebody was told the high watermark and the log start offset. `known` is what was known of
    /// both when that was asked for: an answer may be overtaken by another, but never be older
    /// than its question.
    pub fn saw_ends(&mut self, high_watermark: i64, log_start: i64, known: Ends) -> Checked {
        if high_watermark < known.high_watermark {
            let detail = format!("{high_watermark} after {}", known.high_watermark);
            return Err(self.violation("high-watermark-regression", detail));
        }
        if log_start < known.log_start {
            let detail = format!("{log_start} after {}", known.log_start);
            return Err(self.violation("log-start-regression", detail));
        }
        if !self.may_lose(log_start - 1) {
            let detail = format!("{log_start}, and nobody gave up what is before it");
            return Err(self.violation("log-start-too-high", detail));
        }
        if log_start > high_watermark {
            let detail = format!("{log_start}, above the high watermark {high_watermark}");
            return Err(self.violation("log-start-too-high", detail));
        }
        self.high_watermark = self.high_watermark.max(high_watermark);
        self.log_start = self.log_start.max(log_start);
        Ok(())
    }

    /// Whether the record at `offset` may be gone from the log's start.
    pub fn may_lose(&self, offset: i64) -> bool {
        self.may_lose_its_start || offset < self.given_up_before
    }

    /// What is known of both ends.
    pub fn ends(&self) -> Ends {
        Ends {
            high_watermark: self.high_watermark,
            log_start: self.log_start,
        }
    }

    /// Something that flushes everything before it was acknowledged, and it was sent at
    /// `sent_ns`: what this partition had acknowledged by then is flushed as well.
    pub fn flushed_before(&mut self, sent_ns: u64) {
        while let Some((at, end)) = self.acknowledged_ends.front().copied() {
            if at >= sent_ns {
                break;
            }
            self.flushed_for_sure = self.flushed_for_sure.max(end);
            self.acknowledged_ends.pop_front();
        }
    }

    /// The node stopped cleanly: everything is flushed.
    pub fn stopped_cleanly(&mut self) {
        self.flushed_before(u64::MAX);
        self.flushed_for_sure = self.flushed_for_sure.max(self.high_watermark);
    }

    pub(super) fn power_cut(&mut self, now_ns: u64) {
        if self.flush_messages == 1 {
            return;
        }
        self.flushed_before(now_ns.saturating_sub(FLUSHED_AFTER_NS));
        self.acknowledged_ends.clear();
        self.may_be_shorter = true;
    }

    /// Everything from the log start to the end was read. Returns the batches that a power cut
    /// took, where that is allowed.
    pub(super) fn drained(&mut self, log_start: i64, end: i64) -> Checked<Vec<usize>> {
        let mut lost = Vec::new();
        let taken: Vec<(i64, Place)> = self
            .log
            .range(..)
            .filter(|(_, place)| place.end > end)
            .map(|(base, place)| (*base, *place))
            .collect();
        let may_be_shorter = std::mem::take(&mut self.may_be_shorter);
        if let Some((base, place)) = taken.first() {
            if !may_be_shorter || end < self.flushed_for_sure || *base < end {
                let detail = format!(
                    "batch {} at {} is gone: the log ends at {end}; {} was flushed for sure",
                    place.batch,
                    span(*base, place.end),
                    if may_be_shorter {
                        format!("what is below {}", self.flushed_for_sure)
                    } else {
                        "all of it".to_owned()
                    }
                );
                return Err(self.violation("lost-write", detail));
            }
            for (base, place) in taken {
                self.log.remove(&base);
                lost.push(place.batch);
            }
        }
        if end < self.high_watermark {
            if !may_be_shorter {
                let detail = format!("the log ends at {end}, after {}", self.high_watermark);
                return Err(self.violation("high-watermark-regression", detail));
            }
            self.high_watermark = end;
        }
        self.saw_ends(end, log_start, self.ends())?;
        // What was recovered counts as flushed from now on.
        self.flushed_for_sure = self.flushed_for_sure.max(end);
        Ok(lost)
    }

    /// Lives whose epochs are known, for traces.
    pub fn epochs(&self) -> &BTreeMap<u32, LeaderEpoch> {
        &self.epochs
    }
}
