//! Answers to ListOffsets and OffsetForLeaderEpoch, against what is known of the log.

use sillon_record::{LeaderEpoch, TopicPartition};
use sillon_shard::{FoundOffset, OffsetTarget};

use super::{Checked, Ends, History, Place};

impl History {
    /// A question for an offset was answered. `known` is what was known when it was asked.
    pub fn offset_found(
        &mut self,
        partition: TopicPartition,
        target: OffsetTarget,
        found: Option<FoundOffset>,
        known: Ends,
    ) -> Checked {
        let asked_at = known.high_watermark;
        match (target, found) {
            (OffsetTarget::Latest, Some(found)) => {
                let history = self.partition(partition);
                history.saw_ends(found.offset.0, history.log_start, known)
            }
            (OffsetTarget::Earliest, Some(found)) => {
                let history = self.partition(partition);
                let high_watermark = history.high_watermark.max(found.offset.0);
                history.saw_ends(high_watermark, found.offset.0, known)
            }
            (OffsetTarget::Latest | OffsetTarget::Earliest, None) => {
                let history = self.partition(partition);
                Err(history.violation("no-answer", format!("{target:?} gave no offset")))
            }
            (OffsetTarget::AtOrAfter(time_ms), found) => {
                self.found_by_time(partition, time_ms, found, asked_at)
            }
            (OffsetTarget::MaxTimestamp, found) => self.found_newest(partition, found, asked_at),
        }
    }

    /// The times of all known records from the log start to `end`, with their offsets.
    fn times(&self, partition: TopicPartition, end: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let history = &self.partitions[&partition];
        let log_start = history.log_start;
        let places = history.log.range(..end);
        places
            .flat_map(|(base, place)| self.times_of(*base, place))
            .filter(move |(offset, _)| *offset >= log_start && *offset < end)
    }

    /// The same of those that nobody gave up.
    fn times_for_sure(
        &self,
        partition: TopicPartition,
        end: i64,
    ) -> impl Iterator<Item = (i64, i64)> + '_ {
        let history = &self.partitions[&partition];
        self.times(partition, end)
            .filter(|(offset, _)| !history.may_lose(*offset) && history.compaction.is_none())
    }

    fn times_of<'a>(
        &'a self,
        base: i64,
        place: &'a Place,
    ) -> impl Iterator<Item = (i64, i64)> + 'a {
        let times = self.sent[place.batch].timestamps_ms.iter().enumerate();
        times.map(move |(index, time_ms)| {
            let time_ms = place.log_append_time_ms.unwrap_or(*time_ms);
            (base + index as i64, time_ms)
        })
    }

    fn found_by_time(
        &self,
        partition: TopicPartition,
        time_ms: i64,
        found: Option<FoundOffset>,
        asked_at: i64,
    ) -> Checked {
        let end = found.map_or(asked_at, |found| found.offset.0);
        let earlier = self
            .times_for_sure(partition, end)
            .find(|(_, at)| *at >= time_ms);
        if let Some((offset, at)) = earlier {
            return Err(self.partitions[&partition].violation(
                "wrong-offset",
                format!("at or after {time_ms} is {found:?}, but offset {offset} has time {at}"),
            ));
        }
        self.has_its_time(partition, found, |at| at >= time_ms)
    }

    fn found_newest(
        &self,
        partition: TopicPartition,
        found: Option<FoundOffset>,
        asked_at: i64,
    ) -> Checked {
        let time_ms = found.map_or(i64::MIN, |found| found.timestamp_ms);
        let offset = found.map_or(i64::MAX, |found| found.offset.0);
        let better = self
            .times_for_sure(partition, asked_at)
            .find(|(other, at)| *at > time_ms || (*at == time_ms && *other < offset));
        if let Some((offset, at)) = better {
            return Err(self.partitions[&partition].violation(
                "wrong-offset",
                format!("the newest is {found:?}, but offset {offset} has time {at}"),
            ));
        }
        self.has_its_time(partition, found, |_| true)
    }

    /// Checks the answer against the record at its offset, when that is known.
    fn has_its_time(
        &self,
        partition: TopicPartition,
        found: Option<FoundOffset>,
        is_wanted: impl Fn(i64) -> bool,
    ) -> Checked {
        let Some(found) = found else {
            return Ok(());
        };
        let offset = found.offset.0;
        let known = self
            .times(partition, offset + 1)
            .find(|(other, _)| *other == offset);
        let is_right = known.is_none_or(|(_, at)| at == found.timestamp_ms && is_wanted(at));
        if is_right {
            return Ok(());
        }
        Err(self.partitions[&partition].violation(
            "wrong-offset",
            format!("{found:?}, but the record there is {known:?}"),
        ))
    }

    /// A question for the end of a leader epoch was answered.
    pub fn epoch_end_found(
        &mut self,
        partition: TopicPartition,
        asked: LeaderEpoch,
        found: Option<(LeaderEpoch, i64)>,
    ) -> Checked {
        let history = self.partition(partition);
        let Some((epoch, end)) = found else {
            return Ok(());
        };
        let may_be_gone = |base: &i64| history.may_lose(*base);
        let mut there = history.log.iter().filter(|(base, _)| !may_be_gone(base));
        let contradiction = there.find(|(base, place)| {
            place.epoch.is_some_and(|at| {
                let is_inside = **base < end;
                (at <= epoch && !is_inside)
                    || (at > asked && is_inside)
                    || (at > epoch && at <= asked)
            })
        });
        match contradiction {
            None => Ok(()),
            Some((base, place)) => {
                let detail = format!(
                    "epoch {asked} ends with epoch {epoch} at {end}, but offset {base} is {place:?}"
                );
                Err(history.violation("wrong-epoch-end", detail))
            }
        }
    }
}
