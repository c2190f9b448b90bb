use std::collections::BTreeMap;

use sillon_record::{BatchInfo, Offset, increment_sequence};

/// Batches that are remembered per producer: Kafka's number, and the most that an idempotent
/// producer may have in flight.
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// What a batch's producer id, epoch and sequence numbers say about it. The names are those of
/// Kafka's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It comes next, or nothing is known of its producer, or it has none.
    Append,
    /// It is in the log already. To be answered with the original offset, once the *original* is
    /// below the high watermark.
    Duplicate {
        /// Offset of the original's first record.
        base_offset: Offset,
        /// Offset of the original's last record.
        last_offset: Offset,
        /// Largest timestamp of the original, in ms since the Unix epoch: its append time under
        /// LogAppendTime.
        timestamp_ms: i64,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER (45): a batch before it is missing, or a new epoch does not
    /// begin with sequence 0.
    OutOfOrderSequence,
    /// DUPLICATE_SEQUENCE_NUMBER (46): it is in the log already, but longer ago than is
    /// remembered, so that its offset is not known.
    DuplicateSequence,
    /// INVALID_PRODUCER_EPOCH (47): the producer has been replaced by a newer life of itself.
    InvalidProducerEpoch,
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub(crate) base_sequence: i32,
    pub(crate) last_offset_delta: i32,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp_ms: i64,
}

impl ProducerBatch {
    pub(crate) fn last_sequence(&self) -> i32 {
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    fn base_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.last_offset_delta))
    }
}

/// What is known of one producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(crate) epoch: i16,
    /// Sequence number that the next batch of this epoch begins with.
    pub(crate) next_sequence: i32,
    /// When its last batch was appended, in ms since the Unix epoch.
    pub(crate) last_used_ms: i64,
    /// Offset below which its last batch ended: orders producers by last use.
    pub(crate) end_offset: Offset,
    /// Every sequence number of this epoch from 0 on has been seen.
    pub(crate) is_whole: bool,
    /// The last batches of this epoch, oldest first; the first `batches_count` count.
    batches: [ProducerBatch; PRODUCER_BATCHES_MAX],
    batches_count: u8,
}

impl ProducerState {
    /// A life of a producer that begins with this sequence number.
    pub(crate) fn new(epoch: i16, base_sequence: i32) -> ProducerState {
        ProducerState {
            epoch,
            next_sequence: base_sequence,
            last_used_ms: 0,
            end_offset: Offset::ZERO,
            is_whole: base_sequence == 0,
            batches: Default::default(),
            batches_count: 0,
        }
    }

    pub(crate) fn batches(&self) -> &[ProducerBatch] {
        &self.batches[..usize::from(self.batches_count)]
    }

    pub(crate) fn remember(&mut self, batch: ProducerBatch) {
        let count = usize::from(self.batches_count);
        if count == PRODUCER_BATCHES_MAX {
            self.batches.rotate_left(1);
            self.batches[PRODUCER_BATCHES_MAX - 1] = batch;
        } else {
            self.batches[count] = batch;
            self.batches_count += 1;
        }
    }

    fn check(&self, epoch: i16, info: &BatchInfo) -> Verdict {
        let base_sequence = info.base_sequence;
        if epoch < self.epoch {
            return Verdict::InvalidProducerEpoch;
        }
        if epoch > self.epoch {
            return match base_sequence {
                0 => Verdict::Append,
                _ => Verdict::OutOfOrderSequence,
            };
        }
        let original = self.batches().iter().find(|batch| {
            batch.base_sequence == base_sequence
                && batch.last_offset_delta == info.last_offset_delta
        });
        match original {
            Some(original) => Verdict::Duplicate {
                base_offset: original.base_offset(),
                last_offset: original.last_offset,
                timestamp_ms: original.timestamp_ms,
            },
            None if base_sequence == self.next_sequence => Verdict::Append,
            None if self.is_before_memory(info) => Verdict::DuplicateSequence,
            None => Verdict::OutOfOrderSequence,
        }
    }

    /// Whether the batch is certainly in the log, and older than all that are remembered.
    fn is_before_memory(&self, info: &BatchInfo) -> bool {
        let oldest = self
            .batches()
            .first()
            .map_or(self.next_sequence, |batch| batch.base_sequence);
        let last = info.last_sequence();
        self.is_whole && info.base_sequence <= last && last < oldest
    }

    /// Forgets the batches that reach `end` or go beyond it.
    fn truncate(&mut self, end: Offset) {
        let kept = self
            .batches()
            .iter()
            .take_while(|batch| batch.last_offset < end)
            .count();
        if let Some(first_gone) = self.batches().get(kept) {
            self.next_sequence = first_gone.base_sequence;
            self.end_offset = end.min(self.end_offset);
            self.batches_count = kept as u8;
        }
    }
}

/// An idempotent producer, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownProducer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record; -1 when no batch is remembered.
    pub last_sequence: i32,
    /// Largest timestamp of its last batch, in ms since the Unix epoch; -1 when none is
    /// remembered.
    pub last_timestamp_ms: i64,
}

/// The idempotent producers of one partition. Owned by its shard; kept in the checkpoint, and
/// completed by replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    states: BTreeMap<i64, ProducerState>,
}

impl Producers {
    /// What is to become of a batch that a client sends. Nothing is known of a producer that has
    /// expired: its batch is appended whatever its sequence number (KIP-360).
    pub fn check(&self, info: &BatchInfo) -> Verdict {
        let Some(producer) = info.producer.filter(|_| !info.is_control) else {
            return Verdict::Append;
        };
        match self.states.get(&producer.id) {
            Some(state) => state.check(producer.epoch, info),
            None => Verdict::Append,
        }
    }

    /// Notes a batch that is in the log, whatever [`Self::check`] would say of it: on replay and
    /// on a follower the log is right. Control batches leave sequence numbers alone.
    pub fn appended(&mut self, info: &BatchInfo, base_offset: Offset, now_ms: i64) {
        let Some(producer) = info.producer.filter(|_| !info.is_control) else {
            return;
        };
        let fresh = ProducerState::new(producer.epoch, info.base_sequence);
        let state = self.states.entry(producer.id).or_insert(fresh);
        if state.epoch != producer.epoch {
            *state = fresh;
        }
        let is_next = state.next_sequence == info.base_sequence;
        state.is_whole &= is_next && info.base_sequence <= info.last_sequence();
        state.next_sequence = increment_sequence(info.last_sequence(), 1);
        state.last_used_ms = now_ms;
        state.end_offset = base_offset.plus(info.offsets_count());
        state.remember(ProducerBatch {
            base_sequence: info.base_sequence,
            last_offset_delta: info.last_offset_delta,
            last_offset: base_offset.plus(i64::from(info.last_offset_delta)),
            timestamp_ms: info.max_timestamp_ms,
        });
    }

    /// Forgets the producers that have appended nothing for `expiration_ms`. Kafka's
    /// `producer.id.expiration.ms`.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.states
            .retain(|_, state| now_ms.saturating_sub(state.last_used_ms) < expiration_ms);
    }

    /// Keeps the memory bounded: when there are more than `count_max` producers, forgets those
    /// that have appended nothing for longest, down to an eighth below `count_max`, so that the
    /// search is paid for once in a while only. Returns how many were forgotten.
    pub fn limit(&mut self, count_max: usize) -> usize {
        let count = self.states.len();
        if count <= count_max {
            return 0;
        }
        let forgotten = count - (count_max - count_max / 8);
        let mut ends: Vec<Offset> = self.states.values().map(|state| state.end_offset).collect();
        let (_, newest_gone, _) = ends.select_nth_unstable(forgotten - 1);
        let newest_gone = *newest_gone;
        self.states
            .retain(|_, state| state.end_offset > newest_gone);
        count - self.states.len()
    }

    /// The log now ends at `end` (exclusive): forgets the batches from there on. A producer stays
    /// known, with the sequence number of the first batch that is gone as its next.
    pub fn truncate(&mut self, end: Offset) {
        for state in self.states.values_mut() {
            state.truncate(end);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.states.clear();
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// What is known of each, by id.
    pub fn describe(&self) -> impl Iterator<Item = KnownProducer> {
        self.states.iter().map(|(id, state)| KnownProducer {
            id: *id,
            epoch: state.epoch,
            last_sequence: state
                .batches()
                .last()
                .map_or(-1, ProducerBatch::last_sequence),
            last_timestamp_ms: state
                .batches()
                .last()
                .map_or(-1, |batch| batch.timestamp_ms),
        })
    }

    /// The last offset of each, by id: the batches that compaction leaves in any case.
    pub fn last_offsets(&self) -> BTreeMap<i64, Offset> {
        let states = self.states.iter();
        states
            .filter_map(|(id, state)| Some((*id, state.batches().last()?.last_offset)))
            .collect()
    }

    pub(crate) fn states(&self) -> &BTreeMap<i64, ProducerState> {
        &self.states
    }

    /// Adds a producer; `None` when its id does not ascend.
    pub(crate) fn push(&mut self, id: i64, state: ProducerState) -> Option<()> {
        let ascends = self
            .states
            .last_key_value()
            .is_none_or(|(last, _)| *last < id);
        ascends.then(|| {
            self.states.insert(id, state);
        })
    }
}
