//! Appends: from a request to the journal round that carries them.

use sillon_buffer::Slice;
use sillon_buffer::planted::{self, Bug};
use sillon_journal::{EntryKind, EntryMeta};
use sillon_log::Verdict;
use sillon_record::{Offset, TimestampType};

use crate::group::COORDINATOR;
use crate::partition::{Readiness, Waiter};
use crate::procedure::Io;
use crate::round::FLUSH_AFTER_MS;
use crate::state::{Pending, Phase, RoundEntry, State};
use crate::{Appended, LogLevel, Outcome, Produce, Refusal, Request, Stage, Ticket};

/// What became of an attempt to append.
enum Attempt {
    /// It is in the tail and in the next round.
    Appended(Waiter),
    /// It waits for room, ahead of everything else for its partition.
    Blocked,
    Refused(Refusal),
}

impl State {
    pub(crate) fn produce(&mut self, io: &Io, ticket: Ticket, mut produce: Produce) {
        produce.stamps.mark(Stage::Owned, self.now.mono_ns);
        produce.stamps.owner = self.config.shard;
        let count = produce.entries.len();
        let request = self.requests.insert(Pending::Produce {
            ticket,
            produce,
            remaining: count,
        });
        for entry in 0..count {
            self.append_entry(io, request, entry, true);
        }
        if let Some(Pending::Produce { produce, .. }) = self.requests.get_mut(request) {
            produce.stamps.mark(Stage::Appended, self.now.mono_ns);
        }
        self.finish_produce(request);
    }

    fn entry(&mut self, request: usize, entry: usize) -> &mut crate::ProduceEntry {
        match &mut self.requests[request] {
            Pending::Produce { produce, .. } => &mut produce.entries[entry],
            Pending::Fetch { .. } => unreachable!("a produce keeps its key while it waits"),
        }
    }

    /// Appends one entry, or has it wait, or refuses it. `joins_queue`: what waits already for the
    /// partition goes first.
    fn append_entry(&mut self, io: &Io, request: usize, entry: usize, joins_queue: bool) -> bool {
        let id = self.entry(request, entry).partition;
        let Some(key) = self.partition_key(id) else {
            self.settle(request, entry, Err(Refusal::UnknownPartition));
            return true;
        };
        let waits = joins_queue && !self.partitions[key].blocked.is_empty();
        let attempt = if waits {
            Attempt::Blocked
        } else {
            self.try_append(io, key, request, entry)
        };
        match attempt {
            Attempt::Appended(waiter) => {
                if self.waits(request) {
                    self.partitions[key].insert_waiter(waiter);
                    self.complete_waiters(key);
                } else {
                    self.settle(request, entry, Ok(waiter.appended));
                }
                true
            }
            Attempt::Blocked => {
                if joins_queue {
                    self.partitions[key].blocked.push_back((request, entry));
                }
                false
            }
            Attempt::Refused(refusal) => {
                self.settle(request, entry, Err(refusal));
                true
            }
        }
    }

    fn waits(&self, request: usize) -> bool {
        matches!(&self.requests[request], Pending::Produce { produce, .. } if produce.wait)
    }

    fn try_append(&mut self, io: &Io, key: usize, request: usize, entry: usize) -> Attempt {
        match &self.phase {
            Phase::Open => {}
            Phase::Failed(_) => return Attempt::Refused(Refusal::Storage),
            _ => return Attempt::Refused(Refusal::Stopping),
        }
        let Pending::Produce { produce, .. } = &mut self.requests[request] else {
            unreachable!("a produce keeps its key while it waits");
        };
        let batch = &mut produce.entries[entry].batch;
        let partition = &mut self.partitions[key];
        if !partition.replicas.is_leader() {
            return Attempt::Refused(Refusal::NotLeader);
        }
        let info = *batch.info();
        let size = batch.bytes().len() as u64;
        if size > u64::from(partition.config.max_message_bytes)
            || size > u64::from(partition.config.segment_bytes)
            || size > self.config.ring.file_bytes / 4
        {
            return Attempt::Refused(Refusal::MessageTooLarge);
        }
        if info.producer.is_some() {
            match partition.log.producers().check(&info) {
                Verdict::Append => {}
                Verdict::Duplicate {
                    base_offset,
                    last_offset,
                    timestamp_ms,
                } => {
                    let end = if planted::is(Bug::DuplicateBeforeOriginal) {
                        Offset::ZERO
                    } else {
                        last_offset.plus(1)
                    };
                    return Attempt::Appended(Waiter {
                        end,
                        request,
                        entry,
                        appended: Appended {
                            base_offset,
                            log_append_time_ms: match partition.config.timestamp_type {
                                TimestampType::CreateTime => -1,
                                TimestampType::LogAppendTime => timestamp_ms,
                            },
                            log_start_offset: partition.log.log_start(),
                        },
                    });
                }
                Verdict::OutOfOrderSequence => {
                    return Attempt::Refused(Refusal::OutOfOrderSequence);
                }
                Verdict::DuplicateSequence => {
                    return Attempt::Refused(Refusal::DuplicateSequence);
                }
                Verdict::InvalidProducerEpoch => {
                    return Attempt::Refused(Refusal::InvalidProducerEpoch);
                }
            }
        }
        match &partition.readiness {
            Readiness::Ready => {}
            Readiness::Offline(_) => return Attempt::Refused(Refusal::Storage),
            Readiness::Cold => {
                self.prepare(io, key);
                return Attempt::Blocked;
            }
            Readiness::Preparing | Readiness::Creating => return Attempt::Blocked,
        }
        if self.must_roll(key, size, info.last_offset_delta) {
            let now_ms = self.now.wall_ms;
            self.copy_for_checkpoint(key);
            let partition = &mut self.partitions[key];
            let full = partition.log.active().base_offset.0;
            partition.log.roll(now_ms);
            partition.readiness = Readiness::Cold;
            let message = format!("segment {full} of {} is full", partition.folder);
            self.log(LogLevel::Debug, message);
            self.prepare(io, key);
            return Attempt::Blocked;
        }
        let partition = &mut self.partitions[key];
        let end = partition.log.active().size_bytes + size;
        let has_space = partition
            .active_file()
            .is_some_and(|file| file.allocated_bytes >= end);
        if !has_space {
            self.prepare(io, key);
            return Attempt::Blocked;
        }
        if !self.has_room(size) {
            self.stall(key);
            return Attempt::Blocked;
        }
        Attempt::Appended(self.append(io, key, request, entry, size))
    }

    /// Whether the batch needs a new segment.
    fn must_roll(&self, key: usize, size: u64, last_offset_delta: i32) -> bool {
        let partition = &self.partitions[key];
        let active = partition.log.active();
        if active.size_bytes == 0 {
            return false;
        }
        let last = partition.log.next_offset().0 + i64::from(last_offset_delta);
        active.size_bytes + size > u64::from(partition.config.segment_bytes)
            || last - active.base_offset.0 > i64::from(i32::MAX)
            || self.now.wall_ms.saturating_sub(active.created_ms) > partition.config.segment_ms
    }

    /// Whether an append of `size` bytes has room in the next round, in the ring and in memory.
    fn has_room(&mut self, size: u64) -> bool {
        if self.dirty_bytes + size > self.config.memory.dirty_bytes && self.dirty_bytes > 0 {
            return false;
        }
        let journal = self.journal();
        // Room for a tail image as well.
        let payload = size as usize + 2 * sillon_buffer::BLOCK_BYTES;
        let round = journal.gather.len_bytes_with(payload);
        let fits_round = round <= journal.writer.round_bytes_max() || journal.gather.is_empty();
        fits_round && journal.writer.has_room(round, false)
    }

    pub(crate) fn stall(&mut self, key: usize) {
        if !self.partitions[key].is_stalled {
            self.partitions[key].is_stalled = true;
            self.stalled.push_back(key);
        }
    }

    fn append(&mut self, io: &Io, key: usize, request: usize, entry: usize, size: u64) -> Waiter {
        self.copy_for_checkpoint(key);
        let now = self.now;
        let State {
            partitions,
            requests,
            journal,
            pool,
            dirty,
            ..
        } = self;
        let journal = journal.as_mut().expect("an open shard has a journal");
        let partition = &mut partitions[key];
        let Pending::Produce { produce, .. } = &mut requests[request] else {
            unreachable!("a produce keeps its key while it waits");
        };
        let batch = std::mem::take(&mut produce.entries[entry].batch);
        let round = journal.writer.last_sequence() + 1;
        let epoch = partition.leader_epoch();
        if partition.image_is_due {
            partition.image_is_due = false;
            let image = partition.log.block_prefix();
            if !image.is_empty() && !planted::is(Bug::NoTailImage) {
                let position = partition.log.active().size_bytes - image.len() as u64;
                let meta = EntryMeta {
                    kind: EntryKind::TailImage,
                    partition: partition.incarnation,
                    segment_base: partition.log.active().base_offset,
                    position,
                    base_offset: partition.log.next_offset(),
                    leader_epoch: epoch,
                };
                journal.gather.push(meta, Slice::copy_of(&image));
            }
        }
        let append_time_ms = match partition.config.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(now.wall_ms),
        };
        let was_clean = partition.log.dirty_bytes() == 0;
        let placed = partition
            .log
            .append(&batch, epoch, append_time_ms, now.wall_ms, round, pool);
        drop(batch);
        let meta = EntryMeta {
            kind: EntryKind::Batch,
            partition: partition.incarnation,
            segment_base: placed.segment_base,
            position: placed.position,
            base_offset: placed.base_offset,
            leader_epoch: epoch,
        };
        journal.gather.push(meta, placed.bytes);
        let end = placed.base_offset.plus(placed.info.offsets_count());
        journal.gathered.push(RoundEntry {
            partition: key,
            incarnation: partition.incarnation,
            end,
        });
        partition.unflushed_records += placed.info.offsets_count() as u64;
        let level = partition.config.flush_messages.max(1) as u64;
        if partition.unflushed_records >= level {
            journal.gather_must_flush = true;
        } else {
            let wait_ms = partition.config.flush_ms.clamp(0, FLUSH_AFTER_MS) as u64;
            let due_ns = now.mono_ns + wait_ms * 1_000_000;
            let due = journal.flush_due_ns.get_or_insert(due_ns);
            *due = (*due).min(due_ns);
        }
        if was_clean {
            dirty.insert((round, key));
        }
        self.dirty_bytes += size;
        self.reserve_ahead(io, key);
        let log_start_offset = self.partitions[key].log.log_start();
        Waiter {
            end,
            request,
            entry,
            appended: Appended {
                base_offset: placed.base_offset,
                log_append_time_ms: append_time_ms.unwrap_or(-1),
                log_start_offset,
            },
        }
    }

    /// Gives an entry its outcome.
    pub(crate) fn settle(
        &mut self,
        request: usize,
        entry: usize,
        outcome: Result<Appended, Refusal>,
    ) {
        let Pending::Produce {
            produce, remaining, ..
        } = &mut self.requests[request]
        else {
            unreachable!("a produce keeps its key while it waits");
        };
        let slot: &mut Outcome<Appended> = &mut produce.entries[entry].outcome;
        debug_assert!(slot.is_none(), "an entry is settled once");
        *slot = Some(outcome);
        *remaining -= 1;
        produce.entries[entry].batch = Default::default();
    }

    /// Answers a produce whose entries all have their outcome.
    pub(crate) fn finish_produce(&mut self, request: usize) {
        let is_done = matches!(
            self.requests.get(request),
            Some(Pending::Produce { remaining: 0, .. })
        );
        if !is_done {
            return;
        }
        let Pending::Produce {
            ticket, produce, ..
        } = self.requests.remove(request)
        else {
            unreachable!("matched above");
        };
        if ticket.shard == COORDINATOR {
            let entry = produce.entries.first();
            self.groups
                .ended(ticket.key, &entry.and_then(|e| e.outcome));
        } else {
            self.reply(ticket, Request::Produce(produce));
        }
    }

    /// Acknowledges what the high watermark has reached.
    pub(crate) fn complete_waiters(&mut self, key: usize) {
        loop {
            let partition = &mut self.partitions[key];
            let high_watermark = partition.high_watermark();
            let waiter = match partition.waiters.front() {
                Some(waiter) if waiter.end <= high_watermark => *waiter,
                _ => return,
            };
            partition.waiters.pop_front();
            let submitted_ns = self.journal().promised_submitted_ns;
            if let Pending::Produce { produce, .. } = &mut self.requests[waiter.request] {
                produce.stamps.mark(Stage::Submitted, submitted_ns);
                produce.stamps.mark(Stage::Flushed, self.now.mono_ns);
                produce.stamps.mark(Stage::Replicated, self.now.mono_ns);
            }
            self.settle(waiter.request, waiter.entry, Ok(waiter.appended));
            self.finish_produce(waiter.request);
        }
    }

    /// Appends what waited for room in this partition, as far as there is room.
    pub(crate) fn resume(&mut self, io: &Io, key: usize) {
        while let Some((request, entry)) = self.partitions[key].blocked.front().copied() {
            if !self.append_entry(io, request, entry, false) {
                return;
            }
            self.partitions[key].blocked.pop_front();
            self.finish_produce(request);
        }
    }

    /// There may be room in the journal or in memory again.
    pub(crate) fn resume_stalled(&mut self, io: &Io) {
        for _ in 0..self.stalled.len() {
            let Some(key) = self.stalled.pop_front() else {
                break;
            };
            let Some(partition) = self.partitions.get_mut(key) else {
                continue;
            };
            partition.is_stalled = false;
            self.resume(io, key);
        }
    }

    /// Refuses what waits for room in a partition.
    pub(crate) fn refuse_blocked(&mut self, key: usize, refusal: Refusal) {
        for (request, entry) in std::mem::take(&mut self.partitions[key].blocked) {
            self.settle(request, entry, Err(refusal));
            self.finish_produce(request);
        }
    }

    /// Refuses everything that waits in a partition: for room, and for the high watermark.
    pub(crate) fn refuse_all(&mut self, key: usize, refusal: Refusal) {
        let blocked = std::mem::take(&mut self.partitions[key].blocked);
        let waiters = std::mem::take(&mut self.partitions[key].waiters);
        let waiting = waiters.iter().map(|waiter| (waiter.request, waiter.entry));
        for (request, entry) in blocked.into_iter().chain(waiting) {
            self.settle(request, entry, Err(refusal));
            self.finish_produce(request);
        }
    }
}

impl crate::partition::Partition {
    /// Queues a waiter; a duplicate's end may lie before others'.
    fn insert_waiter(&mut self, waiter: Waiter) {
        let at = self
            .waiters
            .partition_point(|other| other.end <= waiter.end);
        self.waiters.insert(at, waiter);
    }
}
