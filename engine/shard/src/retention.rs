//! Retention: old records go by time, by size, or because somebody gives them up.
//!
//! The log start moves first: planned in the log, written to the journal, and shown to readers
//! once that is flushed. Segments before it are then dropped from the log, and their files go when
//! a checkpoint is durable that does not know them any more: no replay ever meets their absence.

use sillon_journal::EntryKind;
use sillon_log::partition::Retention;
use sillon_log::{
    deleted_path, is_deleted_file, offset_index_path, parse_segment_file, time_index_path,
};
use sillon_record::{Offset, PartitionIncarnation};

use crate::lifecycle::{remove_slowly, wait_until};
use crate::partition::Readiness;
use crate::procedure::{Io, done, yield_now};
use crate::state::{Phase, Shared, State};
use crate::{
    DeleteRecords, DiskError, DiskOp, DiskOutput, FileId, FilePath, LogLevel, Refusal, Request,
    SegmentFile, Ticket,
};

/// The first look comes this long after the start at the latest, in ms. Kafka's number.
const FIRST_AFTER_MS: u64 = 30_000;

/// Partitions that are looked at between two other events.
const PARTITIONS_PER_SLICE: usize = 64;

/// A partition's new log start on its way into the journal.
struct Start {
    key: usize,
    incarnation: PartitionIncarnation,
    offset: Offset,
    /// Flushed with this round.
    round: u64,
}

/// A segment that no log knows any more.
struct Dropped {
    folder: std::sync::Arc<str>,
    base_offset: Offset,
    size_bytes: u64,
    open: Vec<FileId>,
    reader: Option<std::sync::Arc<SegmentFile>>,
}

impl State {
    /// Wakes retention when it is time to look.
    pub(crate) fn retention_if_due(&mut self, io: &Io) {
        if self.now.mono_ns >= self.retention.due_ns {
            self.retention.is_due.raise(io);
        }
    }

    pub(crate) fn delete_records(
        &mut self,
        io: &Io,
        ticket: Ticket,
        mut wishes: Vec<DeleteRecords>,
    ) {
        let mut starts = Vec::new();
        for wish in &mut wishes {
            match self.deletion(wish) {
                Ok((key, offset)) => starts.push(self.plan_start(key, offset)),
                Err(refusal) => wish.outcome = Some(Err(refusal)),
            }
        }
        let shared = self.shared.upgrade().expect("a shard owns its state");
        self.cold_requests += 1;
        io.spawn(answer_deletion(shared, io.clone(), ticket, wishes, starts));
    }

    /// Which partition is meant, and from which offset on it is kept.
    fn deletion(&self, wish: &DeleteRecords) -> Result<(usize, Offset), Refusal> {
        let key = self
            .partition_key(wish.partition)
            .ok_or(Refusal::UnknownPartition)?;
        match self.phase {
            Phase::Open => {}
            Phase::Failed(_) => return Err(Refusal::Storage),
            _ => return Err(Refusal::Stopping),
        }
        let partition = &self.partitions[key];
        if matches!(partition.readiness, Readiness::Offline(_)) {
            return Err(Refusal::Storage);
        }
        self.check_epoch(key, None)?;
        let end = partition.high_watermark();
        let before = wish.before.unwrap_or(end);
        if before.0 < 0 || before > end {
            return Err(Refusal::OffsetOutOfRange);
        }
        Ok((key, before))
    }

    /// Has a partition's log begin at `offset`, when it begins before that.
    fn plan_start(&mut self, key: usize, offset: Offset) -> Start {
        let incarnation = self.partitions[key].incarnation;
        let round = if offset > self.partitions[key].log.planned_start() {
            self.copy_for_checkpoint(key);
            self.partitions[key].log.plan_start(offset);
            self.push_control(EntryKind::LogStart, key, offset)
        } else {
            // What was planned before may still be on its way, even in the gather.
            let journal = self.journal();
            journal.writer.last_sequence() + u64::from(!journal.gather.is_empty())
        };
        Start {
            key,
            incarnation,
            offset,
            round,
        }
    }

    /// Plans a new log start where retention lets records go.
    fn expire(&mut self, key: usize) -> Option<Start> {
        let now_ms = self.now.wall_ms;
        let partition = &self.partitions[key];
        let is_usable = matches!(partition.readiness, Readiness::Ready | Readiness::Cold);
        if !is_usable || !partition.replicas.is_leader() || !partition.config.cleanup_policy.delete
        {
            return None;
        }
        let retention = Retention {
            ms: partition.config.retention_ms,
            bytes: partition.config.retention_bytes,
        };
        let limit = partition.high_watermark();
        let offset = partition.log.retained_from(retention, now_ms, limit);
        if offset <= partition.log.planned_start() {
            return None;
        }
        let active = partition.log.active();
        if offset > active.base_offset && active.size_bytes > 0 {
            self.copy_for_checkpoint(key);
            let partition = &mut self.partitions[key];
            partition.log.roll(now_ms);
            partition.readiness = Readiness::Cold;
        }
        Some(self.plan_start(key, offset))
    }

    /// Shows readers the log starts that the journal has flushed.
    fn starts_flushed(&mut self, starts: &[Start]) {
        for start in starts {
            if self.is_same(start.key, start.incarnation) {
                self.partitions[start.key].log.start_flushed(start.offset);
            }
        }
    }

    /// Takes segments before the log start out of a partition that rests.
    fn drop_segments(&mut self, key: usize, dropped: &mut Vec<Dropped>) {
        let partition = &mut self.partitions[key];
        let is_busy = partition.is_writing_back
            || partition.swapping.is_some()
            || matches!(
                partition.readiness,
                Readiness::Creating | Readiness::Preparing
            )
            || partition.open.iter().any(|open| open.is_allocating);
        if is_busy {
            return;
        }
        for segment in partition.log.drop_segments() {
            let base_offset = segment.base_offset;
            let mut open = Vec::new();
            partition.open.retain(|other| {
                let is_kept = other.base_offset != base_offset;
                if !is_kept {
                    open.push(other.file);
                }
                is_kept
            });
            if let Some((base, file)) = partition.reading
                && base == base_offset
            {
                partition.reading = None;
                open.push(file);
            }
            dropped.push(Dropped {
                folder: partition.folder.clone(),
                base_offset,
                size_bytes: segment.size_bytes,
                open,
                reader: partition.readers.remove(&base_offset),
            });
        }
    }
}

async fn answer_deletion(
    shared: Shared,
    io: Io,
    ticket: Ticket,
    mut wishes: Vec<DeleteRecords>,
    starts: Vec<Start>,
) {
    let flushed = flushed(&shared, &io, &starts).await;
    let mut state = shared.borrow_mut();
    state.cold_requests -= 1;
    let mut starts = starts.into_iter();
    for wish in wishes.iter_mut().filter(|wish| wish.outcome.is_none()) {
        let start = starts.next().expect("one for each wish");
        let is_same = state.is_same(start.key, start.incarnation);
        wish.outcome = Some(match &flushed {
            Err(_) => Err(Refusal::Storage),
            Ok(()) if !is_same => Err(Refusal::UnknownPartition),
            Ok(()) => Ok(state.partitions[start.key].log.log_start()),
        });
    }
    state.retention.due_ns = 0;
    state.reply(ticket, Request::DeleteRecords(wishes));
}

/// Waits until the journal has these log starts, and shows them.
async fn flushed(shared: &Shared, io: &Io, starts: &[Start]) -> Result<(), DiskError> {
    let through = starts.iter().map(|start| start.round).max().unwrap_or(0);
    loop {
        let changed = {
            let mut state = shared.borrow_mut();
            if let Phase::Failed(reason) = &state.phase {
                return Err(DiskError::Io {
                    path: "".into(),
                    operation: "flush",
                    message: reason.clone(),
                });
            }
            let journal = state.journal();
            if journal.writer.durable_through() >= through {
                state.starts_flushed(starts);
                return Ok(());
            }
            journal.flush_is_wanted = true;
            state.changed.clone()
        };
        changed.wait(io).await;
    }
}

/// Lets records go for as long as the shard lives.
pub(crate) async fn retain(shared: Shared, io: Io) {
    let interval_ns = {
        let mut state = shared.borrow_mut();
        let interval_ms = state.config.retention_check_ms;
        let first_ms = interval_ms.min(FIRST_AFTER_MS);
        state.retention.due_ns = state.now.mono_ns + first_ms * 1_000_000;
        interval_ms.saturating_mul(1_000_000)
    };
    let mut is_first = true;
    loop {
        let is_due = shared.borrow().retention.is_due.clone();
        is_due.wait(&io).await;
        {
            let mut state = shared.borrow_mut();
            if state.phase != Phase::Open {
                return;
            }
            state.retention.due_ns = state.now.mono_ns.saturating_add(interval_ns);
            state.removals += 1;
        }
        let looked = async {
            if std::mem::take(&mut is_first) {
                sweep(&shared, &io).await?;
            }
            look(&shared, &io).await
        };
        let looked = looked.await;
        let mut state = shared.borrow_mut();
        state.removals -= 1;
        if state.phase != Phase::Open {
            return;
        }
        if let Err(error) = looked {
            state.log(
                LogLevel::Warn,
                format!("old segments could not be removed: {error}; it is tried again"),
            );
        }
    }
}

/// Once over all partitions.
async fn look(shared: &Shared, io: &Io) -> Result<(), DiskError> {
    let keys: Vec<(usize, PartitionIncarnation)> = {
        let state = shared.borrow();
        let partitions = state.partitions.iter();
        partitions
            .map(|(key, partition)| (key, partition.incarnation))
            .collect()
    };
    let mut starts = Vec::new();
    for slice in keys.chunks(PARTITIONS_PER_SLICE) {
        {
            let mut state = shared.borrow_mut();
            for (key, incarnation) in slice {
                if state.is_same(*key, *incarnation) {
                    starts.extend(state.expire(*key));
                }
            }
        }
        yield_now(io).await;
    }
    flushed(shared, io, &starts).await?;
    // Not while a checkpoint works with open segments, or has copies that know them.
    wait_until(shared, io, |state| {
        let is_resting = !state.checkpoint.is_running && !state.checkpoint.waits_for_seal;
        is_resting || state.phase != Phase::Open
    })
    .await?;
    let mut dropped = Vec::new();
    let count = {
        let mut state = shared.borrow_mut();
        if state.phase != Phase::Open {
            return Ok(());
        }
        for (key, incarnation) in keys {
            if state.is_same(key, incarnation) {
                state.drop_segments(key, &mut dropped);
            }
        }
        state.checkpoint.is_wanted |= !dropped.is_empty();
        state.checkpoint.count
    };
    if dropped.is_empty() {
        return Ok(());
    }
    let message = format!("segments to be removed: {}", dropped.len());
    shared.borrow_mut().log(LogLevel::Debug, message);
    wait_until(shared, io, |state| {
        state.checkpoint.count > count || state.phase != Phase::Open
    })
    .await?;
    for segment in dropped {
        if shared.borrow().phase != Phase::Open {
            // The next start sweeps.
            return Ok(());
        }
        match remove(shared, io, segment).await {
            Ok(()) | Err(DiskError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes a dropped segment's files once nobody reads them. Its topic may be deleted meanwhile.
async fn remove(shared: &Shared, io: &Io, segment: Dropped) -> Result<(), DiskError> {
    for file in segment.open {
        done(io.call(DiskOp::Close { file }).await)?;
    }
    let is_free = || {
        let reader = segment.reader.as_ref();
        reader.is_none_or(|reader| std::sync::Arc::strong_count(reader) == 1)
    };
    wait_until(shared, io, |state| is_free() || state.phase != Phase::Open).await?;
    if !is_free() {
        return Ok(());
    }
    let log: FilePath = sillon_log::segment_path(&segment.folder, segment.base_offset).into();
    let deleted: FilePath = deleted_path(&log).into();
    let rename = io.call(DiskOp::Rename {
        from: log,
        to: deleted.clone(),
    });
    done(rename.await)?;
    if !remove_slowly(shared, io, deleted, segment.size_bytes).await? {
        return Ok(());
    }
    for index in [
        offset_index_path(&segment.folder, segment.base_offset),
        time_index_path(&segment.folder, segment.base_offset),
    ] {
        let path = index.into();
        match done(io.call(DiskOp::Remove { path }).await) {
            // A segment that was never closed has none.
            Ok(()) | Err(DiskError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what an earlier life dropped and did not get to remove.
async fn sweep(shared: &Shared, io: &Io) -> Result<(), DiskError> {
    let folders: Vec<(usize, PartitionIncarnation, FilePath)> = {
        let state = shared.borrow();
        let partitions = state.partitions.iter();
        partitions
            .map(|(key, partition)| (key, partition.incarnation, partition.folder.clone()))
            .collect()
    };
    for (key, incarnation, folder) in folders {
        let ticked = shared.borrow().ticked.clone();
        ticked.wait(io).await;
        let first = {
            let state = shared.borrow();
            if state.phase != Phase::Open {
                return Ok(());
            }
            if !state.is_same(key, incarnation) {
                continue;
            }
            state.partitions[key].log.segments()[0].base_offset
        };
        let list = io.call(DiskOp::List {
            path: folder.clone(),
        });
        let entries = match list.await {
            Ok(DiskOutput::Entries(entries)) => entries,
            Ok(other) => unreachable!("a list answers entries, not {other:?}"),
            Err(DiskError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let is_before = parse_segment_file(&entry.name).is_some_and(|(base, _)| base < first);
            let is_read = || {
                let state = shared.borrow();
                let is_same = state.is_same(key, incarnation);
                is_same && !state.partitions[key].retired.is_empty()
            };
            if is_before || (is_deleted_file(&entry.name) && !is_read()) {
                let path = format!("{folder}/{}", entry.name).into();
                match remove_slowly(shared, io, path, entry.len).await {
                    // Its topic was deleted meanwhile.
                    Ok(_) | Err(DiskError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}
