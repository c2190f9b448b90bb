//! What clients sent and saw, and whether that can be: the checker.
//!
//! Every batch has a number that is in its records, so that its bytes tell where they come from.
//! Each observation is checked against all earlier ones at once; the first that does not fit ends
//! the run. The anomalies bear the names of the checkers that people know.

mod batch;
mod compacted;
mod partition;
mod questions;

use std::collections::{BTreeMap, BTreeSet};

use sillon_record::{Batches, Offset, Scratch, TopicPartition};

pub use batch::{BatchMaker, BatchWish, Sent, SentFate};
pub use compacted::{Present, note_present};
pub use partition::{Compaction, Ends, PartitionHistory, Place};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its kind.
    pub anomaly: &'static str,
    /// What was seen, and where.
    pub detail: String,
}

impl Violation {
    /// An anomaly of that kind.
    pub fn new(anomaly: &'static str, detail: impl Into<String>) -> Violation {
        let detail = detail.into();
        Violation { anomaly, detail }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.anomaly, self.detail)
    }
}

/// A check's outcome.
pub type Checked<T = ()> = Result<T, Violation>;

/// Everything that clients did and saw.
#[derive(Default)]
pub struct History {
    /// Batches by their number.
    pub sent: Vec<Sent>,
    /// Every partition there ever was.
    pub partitions: BTreeMap<TopicPartition, PartitionHistory>,
    /// What was noticed since the last look, for the coverage.
    pub noticed: Vec<&'static str>,
    producer_ids: BTreeSet<i64>,
    scratch: Scratch,
}

impl History {
    /// A partition's history.
    ///
    /// # Panics
    /// When there never was such a partition.
    pub fn partition(&mut self, partition: TopicPartition) -> &mut PartitionHistory {
        self.partitions
            .get_mut(&partition)
            .expect("clients ask for partitions that were created")
    }

    /// A producer id was handed out.
    pub fn producer_id(&mut self, id: i64) -> Checked {
        if self.producer_ids.insert(id) {
            return Ok(());
        }
        Err(Violation::new(
            "producer-id-reused",
            format!("producer id {id} was handed out twice"),
        ))
    }

    /// A send was acknowledged, at `awake_ns` of the time in which the node could work.
    pub fn acknowledged(
        &mut self,
        number: usize,
        base_offset: Offset,
        log_append_time_ms: i64,
        awake_ns: u64,
    ) -> Checked {
        let sent = &mut self.sent[number];
        sent.fate = SentFate::Acknowledged;
        let history = self.partitions.get_mut(&sent.partition);
        let history = history.expect("batches go to partitions that were created");
        if history.is_log_append_time != (log_append_time_ms >= 0) {
            return Err(history.violation(
                "wrong-time",
                format!("batch {number} acknowledged with log append time {log_append_time_ms}"),
            ));
        }
        let place = Place {
            batch: number,
            end: base_offset.0 + i64::from(sent.records_count),
            epoch: None,
            log_append_time_ms: history.is_log_append_time.then_some(log_append_time_ms),
        };
        history.acknowledged_ends.push_back((awake_ns, place.end));
        history.put(sent, base_offset.0, place)
    }

    /// A reader saw these bytes of a partition: whole batches, the first of which holds `from`.
    /// Returns the offset behind the last.
    pub fn read(
        &mut self,
        partition: TopicPartition,
        bytes: &[u8],
        from: i64,
        high_watermark: i64,
    ) -> Checked<i64> {
        let history = self.partitions.get_mut(&partition);
        let history = history.expect("clients read partitions that were created");
        let mut expected = from;
        for batch in Batches::new(bytes).checking_crcs() {
            let batch = batch.map_err(|error| {
                history.violation("unreadable", format!("read from {from}: {error}"))
            })?;
            let base = batch.header.base_offset().0;
            let end = batch.header.last_offset().0 + 1;
            let is_first = batch.position == 0;
            let is_compacted = history.compaction.is_some();
            let fits = match is_first {
                true => (base <= expected || is_compacted) && expected < end,
                false => base == expected || (is_compacted && base > expected),
            };
            if fits && base > expected {
                self.noticed.push("read over a hole");
                compacted::check_hole(&self.sent, history, expected..base)?;
            }
            if !fits {
                return Err(history.violation(
                    "poll-skip",
                    format!("offset {expected} was to come, the log has {base}..{end}"),
                ));
            }
            if end > high_watermark {
                return Err(history.violation(
                    "read-above-high-watermark",
                    format!("{base}..{end} although the high watermark is {high_watermark}"),
                ));
            }
            if is_compacted && batch.header.records_count() == 0 {
                self.noticed.push("batch without records read");
                compacted::check_empty(history, base, end)?;
                expected = end;
                continue;
            }
            let number = batch::number_of(batch.bytes, &mut self.scratch)
                .filter(|number| *number < self.sent.len())
                .ok_or_else(|| {
                    history.violation("unwritten", format!("{base}..{end} was never sent"))
                })?;
            let sent = &mut self.sent[number];
            let log_append_time_ms = sent.check_copy(batch.bytes, history)?;
            let place = Place {
                batch: number,
                end,
                epoch: Some(batch.header.leader_epoch()),
                log_append_time_ms,
            };
            history.put(sent, base, place)?;
            expected = end;
        }
        Ok(expected)
    }

    /// The power was cut at `awake_ns`: which promises still hold.
    pub fn power_cut(&mut self, awake_ns: u64) {
        for history in self.partitions.values_mut() {
            history.power_cut(awake_ns);
        }
    }

    /// After a start, a partition was read from its log start to its end: everything that must be
    /// there has to be. Returns how many batches a power cut took where it may.
    pub fn drained(
        &mut self,
        partition: TopicPartition,
        log_start: i64,
        end: i64,
    ) -> Checked<usize> {
        let history = self.partitions.get_mut(&partition);
        let history = history.expect("clients drain partitions that were created");
        let lost = history.drained(log_start, end)?;
        for number in &lost {
            self.sent[*number].forget_place();
        }
        Ok(lost.len())
    }
}
