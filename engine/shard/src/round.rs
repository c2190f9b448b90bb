//! Journal rounds: one is written and flushed while the next gathers.

use sillon_buffer::planted::{self, Bug};

use crate::procedure::Io;
use crate::state::{InFlight, Phase, RoundEntry, State};
use crate::{Action, DiskOp, DiskResult, IoClass, LogLevel, OpId, Refusal};

/// The write of the round in flight.
const WRITE: u64 = 0;
/// The flush of ring file 0; that of file n is n more.
const SYNC_FIRST: u64 = 1;

/// Most files of a ring: their flushes have fixed numbers below those of the procedures.
pub(crate) const RING_FILES_MAX: u32 = (crate::procedure::FIRST_OPERATION - SYNC_FIRST) as u32;

/// Appends are flushed after this time at the latest, in ms, at every level.
pub(crate) const FLUSH_AFTER_MS: i64 = 1_000;

impl State {
    /// Seals and writes what has gathered, unless a round is in flight.
    pub(crate) fn submit_round(&mut self, io: &Io) {
        let now_ns = self.now.mono_ns;
        let pool = &self.pool;
        let Some(journal) = self.journal.as_mut() else {
            return;
        };
        if journal.in_flight.is_some() || matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        if journal.gather.is_empty() {
            self.flush_if_due();
            return;
        }
        let len = journal.gather.len_bytes();
        if !journal.writer.has_room(len, true) || !journal.zeroed_reaches(len) {
            return;
        }
        let round = journal.writer.seal(&mut journal.gather, pool);
        if round.file == 0 && round.offset == 0 {
            let message = format!("lap of the journal begins with round {}", round.sequence);
            self.actions.push(Action::Log {
                level: LogLevel::Debug,
                message,
            });
        }
        let spare = std::mem::take(&mut journal.spare);
        let entries = std::mem::replace(&mut journal.gathered, spare);
        journal.in_flight = Some(InFlight {
            sequence: round.sequence,
            entries,
            must_flush: std::mem::take(&mut journal.gather_must_flush),
            is_written: false,
            syncs_left: 0,
            submitted_ns: now_ns,
        });
        journal.unflushed_bytes += round.len_bytes;
        if !journal.unsynced_files.contains(&round.file) {
            journal.unsynced_files.push(round.file);
        }
        let file = journal.files[round.file as usize];
        self.actions.push(Action::Disk {
            op: OpId(WRITE),
            io: DiskOp::Write {
                file,
                position: round.offset,
                pieces: round.pieces,
                class: IoClass::Journal,
            },
        });
        if self.checkpoint.waits_for_seal {
            self.checkpoint.waits_for_seal = false;
            self.begin_checkpoint(io, round.sequence);
        }
    }

    /// Flushes written rounds although no append waits for it, when that is due.
    fn flush_if_due(&mut self) {
        let now_ns = self.now.mono_ns;
        let journal = self.journal();
        let is_due = journal.flush_due_ns.is_some_and(|due| now_ns >= due);
        if journal.unsynced_files.is_empty() {
            journal.flush_is_wanted = false;
        }
        if !journal.unsynced_files.is_empty() && (journal.flush_is_wanted || is_due) {
            journal.in_flight = Some(InFlight {
                sequence: journal.written,
                entries: Vec::new(),
                must_flush: true,
                is_written: true,
                syncs_left: 0,
                submitted_ns: now_ns,
            });
            self.start_syncs();
        }
    }

    fn start_syncs(&mut self) {
        let journal = self.journal.as_mut().expect("a round is in flight");
        let in_flight = journal.in_flight.as_mut().expect("a round is in flight");
        in_flight.syncs_left = journal.unsynced_files.len();
        journal.flush_is_wanted = false;
        for file in &journal.unsynced_files {
            self.actions.push(Action::Disk {
                op: OpId(SYNC_FIRST + u64::from(*file)),
                io: DiskOp::Sync {
                    file: journal.files[*file as usize],
                },
            });
        }
    }

    /// Takes the completion of a round's operation.
    pub(crate) fn round_completed(&mut self, io: &Io, op: OpId, result: DiskResult) {
        if let Err(error) = result {
            self.fail(format!(
                "the journal cannot be written: {error}. Its log directory is offline; \
                 outstanding appends may or may not be there after a restart. Mend the disk, then \
                 start again"
            ));
            return;
        }
        let now_ns = self.now.mono_ns;
        let journal = self.journal();
        let Some(in_flight) = journal.in_flight.as_mut() else {
            return;
        };
        if op.0 == WRITE {
            in_flight.is_written = true;
            let sequence = in_flight.sequence;
            journal.written = sequence;
            let is_due = journal.flush_due_ns.is_some_and(|due| now_ns >= due);
            let must_flush = in_flight.must_flush
                || journal.flush_is_wanted
                || is_due
                || journal.unflushed_bytes >= journal.ring.unflushed_bytes_max()
                || journal.unsynced_files.len() > 1;
            in_flight.must_flush = must_flush;
            if must_flush {
                if planted::is(Bug::AckBeforeFlush) {
                    let entries = std::mem::take(&mut in_flight.entries);
                    self.promise(io, &entries);
                }
                self.start_syncs();
                return;
            }
            // Appends that gathered during the last flush lost their own time to it.
            let latest_ns = now_ns + FLUSH_AFTER_MS as u64 * 1_000_000;
            journal.flush_due_ns.get_or_insert(latest_ns);
        } else {
            in_flight.syncs_left -= 1;
            if in_flight.syncs_left > 0 {
                return;
            }
            let sequence = in_flight.sequence;
            journal.unflushed_bytes = 0;
            journal.unsynced_files.clear();
            journal.flush_due_ns = None;
            journal.writer.flushed(sequence);
        }
        let mut done = journal.in_flight.take().expect("matched above");
        journal.promised_submitted_ns = done.submitted_ns;
        if done.must_flush {
            for entry in &done.entries {
                if let Some(partition) = self.partitions.get_mut(entry.partition) {
                    partition.unflushed_records = 0;
                }
            }
        }
        self.promise(io, &done.entries);
        done.entries.clear();
        self.journal().spare = done.entries;
        self.wake_background(io);
    }

    /// These appends count at their level: high watermarks move.
    fn promise(&mut self, io: &Io, entries: &[RoundEntry]) {
        let broker = self.config.broker;
        for entry in entries {
            if !self.is_same(entry.partition, entry.incarnation) {
                continue;
            }
            let partition = &mut self.partitions[entry.partition];
            if partition.replicas.flushed(broker, entry.end).is_some() {
                self.woken.extend(partition.fetchers.iter().copied());
                self.complete_waiters(entry.partition);
            }
        }
        self.wake_fetches(io);
    }

    /// Takes the log directory offline, for good.
    pub(crate) fn fail(&mut self, reason: String) {
        if matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        self.log(LogLevel::Error, reason.clone());
        self.phase = Phase::Failed(reason.clone());
        let keys: Vec<usize> = self.partitions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.refuse_all(key, Refusal::Storage);
        }
        self.refuse_fetches(Refusal::Storage);
        self.close_groups();
        self.actions.push(Action::Failed(reason));
    }
}

impl crate::state::Journal {
    /// Whether the next round of `len` bytes lies in the part of the ring that is zeroed.
    fn zeroed_reaches(&self, len: u64) -> bool {
        let layout = self.ring;
        let capacity = u64::from(layout.files) * layout.file_bytes;
        if self.zeroed_bytes >= capacity {
            return true;
        }
        let at = self.writer.chain_point().position;
        let mut begin = u64::from(at.file) * layout.file_bytes + at.offset;
        if at.offset + len > layout.file_bytes {
            begin = u64::from(at.file + 1) * layout.file_bytes;
        }
        begin + len <= self.zeroed_bytes
    }
}
