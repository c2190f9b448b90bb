//! Compaction in the background: which partition is next, and when.
//!
//! One partition at a time. A pass (see `compaction_pass`) writes new segments beside the old
//! ones; each then takes its place (see `compaction_swap`) so that a crash at any moment leaves
//! the old segments or the new one. Nothing the journal may replay is ever touched: only closed
//! segments are compacted, and a checkpoint knows of a new one before it takes its place.

use std::ops::Bound;

use sillon_controller::TopicConfig;
use sillon_log::compaction::{CompactionPlan, CompactionPolicy};
use sillon_record::{Offset, PartitionIncarnation, TopicPartition};

use crate::compaction_pass::{PassError, pass};
use crate::lifecycle::wait_until;
use crate::partition::{Partition, Readiness};
use crate::procedure::{Io, Signal, yield_now};
use crate::state::{Phase, Shared, State};
use crate::{LogLevel, OFFSETS_TOPIC};

/// The active segment of `__consumer_offsets` is closed for compaction from this size on, in
/// bytes: the first room that a segment gets. Less is read in a moment.
const OFFSETS_ROLL_BYTES_MIN: u64 = 64 << 10;

/// Checkpoints that a partition is given to have its closed segments written and closed.
const CHECKPOINTS_TO_SETTLE: u64 = 2;

/// Partitions and their segments that are looked at before other work gets its turn: some 50 us.
const SLICE: usize = 500;

/// When the next look at what may be compacted is due.
#[derive(Default)]
pub(crate) struct CompactionState {
    /// The next look, in ns; 0 before the first.
    due_ns: u64,
    /// Raised when it is due.
    is_due: Signal,
}

/// A partition to be compacted.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) key: usize,
    pub(crate) incarnation: PartitionIncarnation,
    pub(crate) id: TopicPartition,
    pub(crate) policy: CompactionPolicy,
    pub(crate) delete_retention_ms: i64,
    pub(crate) plan: CompactionPlan,
}

fn policy(config: &TopicConfig) -> CompactionPolicy {
    CompactionPolicy {
        dirty_ratio_min: config.min_cleanable_dirty_ratio.get(),
        lag_min_ms: config.min_compaction_lag_ms,
        lag_max_ms: config.max_compaction_lag_ms,
        segment_bytes: u64::from(config.segment_bytes),
    }
}

fn is_usable(partition: &Partition) -> bool {
    let is_usable = matches!(partition.readiness, Readiness::Ready | Readiness::Cold);
    partition.config.cleanup_policy.compact
        && is_usable
        && partition.replicas.is_leader()
        && !partition.is_compacting
        && !partition.is_uncompactable
}

impl State {
    /// Wakes compaction when it is time to look.
    pub(crate) fn compaction_if_due(&mut self, io: &Io) {
        if self.now.mono_ns >= self.compaction.due_ns {
            self.compaction.is_due.raise(io);
        }
    }

    fn rest_from_compaction(&mut self) {
        let backoff_ns = self.config.compaction.backoff_ms.saturating_mul(1_000_000);
        self.compaction.due_ns = self.now.mono_ns.saturating_add(backoff_ns);
    }

    /// Looks at partitions behind `from`, as many as a slice has, for one that is due and has a
    /// larger dirty part than `best`. Returns where the next slice begins; `None`: that was all.
    fn look_for_candidate(
        &mut self,
        from: Bound<TopicPartition>,
        best: &mut Option<Candidate>,
    ) -> Option<Bound<TopicPartition>> {
        let behind = self.by_id.range((from, Bound::Unbounded)).take(SLICE);
        let slice: Vec<(TopicPartition, usize)> = behind.map(|(id, key)| (*id, *key)).collect();
        let mut looked = 0;
        for (id, key) in &slice {
            if let Some(candidate) = self.candidate(*key) {
                let ratio = candidate.plan.dirty_ratio();
                let is_better = |best: &Candidate| ratio > best.plan.dirty_ratio();
                if best.as_ref().is_none_or(is_better) {
                    *best = Some(candidate);
                }
            }
            looked += 1 + self.partitions[*key].log.segments().len();
            if looked >= SLICE {
                return Some(Bound::Excluded(*id));
            }
        }
        None
    }

    /// The partition, when it is due.
    fn candidate(&mut self, key: usize) -> Option<Candidate> {
        if !is_usable(&self.partitions[key]) {
            return None;
        }
        self.roll_for_compaction(key);
        let partition = &self.partitions[key];
        let policy = policy(&partition.config);
        let limit = partition.high_watermark();
        let plan = CompactionPlan::of(&partition.log, &policy, self.now.wall_ms, limit);
        plan.filter(|plan| plan.is_due(&policy))
            .map(|plan| Candidate {
                key,
                incarnation: partition.incarnation,
                id: partition.id,
                policy,
                delete_retention_ms: partition.config.delete_retention_ms,
                plan,
            })
    }

    /// Closes an active segment that must not wait for its next append to be compacted: one whose
    /// records have waited for `max.compaction.lag.ms`, and in `__consumer_offsets`, which is read
    /// whole at every start, one that makes the log's dirty part large.
    fn roll_for_compaction(&mut self, key: usize) {
        let now_ms = self.now.wall_ms;
        let partition = &self.partitions[key];
        let log = &partition.log;
        let active = log.active();
        if active.size_bytes == 0 || active.next_offset > partition.high_watermark() {
            return;
        }
        let age_ms = now_ms.saturating_sub(active.created_ms);
        let is_overdue = age_ms > partition.config.max_compaction_lag_ms;
        let is_of_offsets = &*partition.topic_name == OFFSETS_TOPIC;
        let weighs_much = || {
            let policy = policy(&partition.config);
            let known = CompactionPlan::of(log, &policy, now_ms, partition.high_watermark());
            let total: u64 = log
                .segments()
                .iter()
                .map(|segment| segment.size_bytes)
                .sum();
            let dirty = active.size_bytes + known.map_or(0, |plan| plan.dirty_bytes);
            active.size_bytes >= OFFSETS_ROLL_BYTES_MIN
                && dirty as f64 / total as f64 > policy.dirty_ratio_min
        };
        if is_overdue || (is_of_offsets && weighs_much()) {
            self.copy_for_checkpoint(key);
            let partition = &mut self.partitions[key];
            partition.log.roll(now_ms);
            partition.readiness = Readiness::Cold;
        }
    }

    /// Whether a candidate's partition is still there, and wanted.
    pub(crate) fn is_wanted(&self, candidate: &Candidate) -> bool {
        self.phase == Phase::Open
            && self.is_same(candidate.key, candidate.incarnation)
            && self.partition_key(candidate.id) == Some(candidate.key)
    }

    /// Whether everything before `offset` is in closed files.
    fn is_settled(&mut self, key: usize, offset: Offset) -> bool {
        let partition = &mut self.partitions[key];
        partition.log.settle_tail();
        let mut open = partition.open.iter();
        partition.log.is_settled_below(offset) && open.all(|open| open.base_offset >= offset)
    }
}

/// Compacts for as long as the shard lives.
pub(crate) async fn compact(shared: Shared, io: Io) {
    // A start has other things to do first.
    shared.borrow_mut().rest_from_compaction();
    loop {
        let is_due = shared.borrow().compaction.is_due.clone();
        is_due.wait(&io).await;
        loop {
            let Ok(candidate) = next_candidate(&shared, &io).await else {
                return;
            };
            let Some(candidate) = candidate else {
                break;
            };
            if !compact_one(&shared, &io, &candidate).await {
                break;
            }
        }
        shared.borrow_mut().rest_from_compaction();
    }
}

/// The partition that is due, the one with the largest dirty part first, as in Kafka. The shard
/// has other work between two slices of the search, so what is found may not be there any more.
async fn next_candidate(shared: &Shared, io: &Io) -> Result<Option<Candidate>, PassError> {
    let mut best = None;
    let mut next = Some(Bound::Unbounded);
    while let Some(from) = next {
        next = {
            let mut state = shared.borrow_mut();
            if state.phase != Phase::Open {
                return Err(PassError::Unwanted);
            }
            state.look_for_candidate(from, &mut best)
        };
        if next.is_some() {
            yield_now(io).await;
        }
    }
    Ok(best)
}

/// Compacts a partition. False: it is time to rest before the next.
async fn compact_one(shared: &Shared, io: &Io, candidate: &Candidate) -> bool {
    {
        let mut state = shared.borrow_mut();
        if !state.is_wanted(candidate) {
            return true;
        }
        state.removals += 1;
        state.partitions[candidate.key].is_compacting = true;
    }
    let result = match settle(shared, io, candidate).await {
        Ok(()) => pass(shared, io, candidate).await,
        Err(error) => Err(error),
    };
    let mut state = shared.borrow_mut();
    state.removals -= 1;
    if !state.is_same(candidate.key, candidate.incarnation) {
        return true;
    }
    let partition = &mut state.partitions[candidate.key];
    partition.is_compacting = false;
    let folder = partition.folder.clone();
    let goes_on = match result {
        Ok(()) => true,
        Err(PassError::Unwanted) => false,
        Err(PassError::NoSpace) => {
            let message = format!("no space left to compact {folder}: it is tried again");
            state.log(LogLevel::Warn, message);
            false
        }
        Err(PassError::Unreadable(reason)) => {
            partition.is_uncompactable = true;
            let message = format!(
                "{folder} cannot be compacted: {reason}. It is served as it is, and grows; see \
                 `sillon log verify`"
            );
            state.log(LogLevel::Error, message);
            true
        }
        Err(PassError::Disk(error)) => {
            state.fail(format!(
                "a compacted segment cannot be written: {error}. Its log directory is offline; \
                 nothing is lost. Mend the disk, then start again"
            ));
            false
        }
    };
    state.wake_background(io);
    goes_on
}

/// Waits until what is to be compacted lies in closed files. A checkpoint closes them.
async fn settle(shared: &Shared, io: &Io, candidate: &Candidate) -> Result<(), PassError> {
    let until = candidate.plan.until;
    let first = shared.borrow().checkpoint.count;
    loop {
        let count = {
            let mut state = shared.borrow_mut();
            if !state.is_wanted(candidate) {
                return Err(PassError::Unwanted);
            }
            if state.is_settled(candidate.key, until) {
                return Ok(());
            }
            let count = state.checkpoint.count;
            if count - first > CHECKPOINTS_TO_SETTLE {
                return Err(PassError::Unwanted);
            }
            state.checkpoint.is_wanted = true;
            count
        };
        let is_over =
            |state: &mut State| state.checkpoint.count > count || !state.is_wanted(candidate);
        wait_until(shared, io, is_over).await?;
    }
}
