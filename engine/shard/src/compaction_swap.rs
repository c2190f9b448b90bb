//! How a compacted segment takes the place of those it comes from.
//!
//! ```text
//! written as   <base>.log.cleaned         worth nothing after a crash
//! flushed, then <base>.log.<generation>.swap   complete; names flushed
//! the shard reads the new segment from now on, and the next checkpoint lists it
//! checkpoint durable: old .log becomes .deleted, .swap becomes .log; names flushed
//! ```
//! So a start finds out of the checkpoint what to do with a `.swap`: its segment and generation
//! are listed, and it takes its place; or they are not, and it goes. The indexes travel along.

use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_log::compaction::SegmentRun;
use sillon_log::partition::{CompactedSegment, PartitionLog};
use sillon_log::{
    cleaned_path, is_cleaned_file, offset_index_path, parse_segment_file, parse_swap_file,
    segment_path, swap_path, swapped_out_path, time_index_path,
};
use sillon_record::Offset;

use crate::compaction_pass::{Pass, PassError};
use crate::lifecycle::{remove_slowly, wait_until};
use crate::partition::RecentPlaces;
use crate::partition_files::close;
use crate::procedure::{Io, done};
use crate::state::{Phase, Shared, State};
use crate::{DiskError, DiskOp, DiskOutput, FilePath, LogLevel, SegmentFile};

/// A compacted segment, complete under its first name, and what it is to replace.
pub(crate) struct Swap {
    pub(crate) run: SegmentRun,
    pub(crate) compacted: CompactedSegment,
}

/// A file that nobody needs once its last reader is done.
struct SwappedOut {
    path: FilePath,
    size_bytes: u64,
}

pub(crate) async fn swap(pass: &Pass<'_>, swap: Swap) -> Result<(), PassError> {
    let (shared, io) = (pass.shared, pass.io);
    let run = swap.run.clone();
    let generation = swap.compacted.generation;
    let files = files_of(&pass.folder, run.base_offset());
    for path in &files {
        rename(io, cleaned_path(path), swap_path(path, generation)).await?;
    }
    if !planted::is(Bug::SwapNotFlushed) {
        sync_folder(io, &pass.folder).await?;
    }
    // Not while a checkpoint is gathered or written that knows the old segments, and not while
    // somebody searches in them.
    pass.state(|state, key| state.partitions[key].swap_waits = true)?;
    let is_resting = |state: &mut State| {
        let is_free = || state.partitions[pass.candidate.key].users == 0;
        let checkpoint = &state.checkpoint;
        !state.is_wanted(pass.candidate)
            || (!checkpoint.is_running && !checkpoint.waits_for_seal && is_free())
    };
    let rested = wait_until(shared, io, is_resting).await;
    if shared
        .borrow()
        .is_same(pass.candidate.key, pass.candidate.incarnation)
    {
        shared.borrow_mut().partitions[pass.candidate.key].swap_waits = false;
    }
    rested?;
    let switched = pass.state(|state, key| {
        let is_there = state.partitions[key].log.has_run(&run);
        is_there.then(|| state.switch(io, key, swap))
    })?;
    // Retention may have taken a segment meanwhile.
    let (old, count) = switched.ok_or(PassError::Unwanted)?;
    let is_done = |state: &mut State| {
        planted::is(Bug::SwapBeforeCheckpoint)
            || state.checkpoint.count > count
            || !state.is_wanted(pass.candidate)
    };
    wait_until(shared, io, is_done).await?;
    // A descriptor that is open reads the old file whatever its name is. The others must not find
    // the new one under it.
    let is_free = |state: &mut State| {
        let is_safe = |file: &Arc<SegmentFile>| {
            Arc::strong_count(file) == HOLDERS || file.descriptor.get().is_some()
        };
        old.iter().all(is_safe) || !state.is_wanted(pass.candidate)
    };
    wait_until(shared, io, is_free).await?;
    // From here on a start would do the same.
    pass.state(|_, _| ())?;
    let swapped_out = take_places(pass, &run, generation).await?;
    pass.state(|state, key| {
        let partition = &mut state.partitions[key];
        partition.swapping = None;
        partition.log.set_index(run.base_offset(), None);
    })?;
    let removal = Removal {
        key: pass.candidate.key,
        incarnation: pass.candidate.incarnation,
        old,
        swapped_out,
    };
    io.spawn(removal.run(shared.clone(), io.clone()));
    Ok(())
}

/// The swap itself and its partition hold a replaced file.
const HOLDERS: usize = 2;

/// A segment's files, the log first.
fn files_of(folder: &str, base: Offset) -> [String; 3] {
    [
        segment_path(folder, base),
        offset_index_path(folder, base),
        time_index_path(folder, base),
    ]
}

async fn rename(io: &Io, from: String, to: String) -> Result<(), DiskError> {
    let rename = io.call(DiskOp::Rename {
        from: from.into(),
        to: to.into(),
    });
    done(rename.await)
}

/// A flush that fails is final, whatever the reason.
async fn sync_folder(io: &Io, folder: &Arc<str>) -> Result<(), PassError> {
    let path = folder.clone();
    let synced = done(io.call(DiskOp::SyncFolder { path }).await);
    synced.map_err(PassError::Disk)
}

impl State {
    /// Has everything that begins from now on use the compacted segment. Returns the replaced
    /// files that somebody may read, and the number of checkpoints that do not know of it.
    fn switch(&mut self, io: &Io, key: usize, swap: Swap) -> (Vec<Arc<SegmentFile>>, u64) {
        let Swap { run, compacted } = swap;
        let base = run.base_offset();
        let partition = &mut self.partitions[key];
        let (bytes, batches) = partition.log.evict_below(run.next_offset);
        partition.log.replace_run(&run, compacted);
        let mut old = Vec::new();
        for (segment, _) in &run.segments {
            old.extend(partition.readers.remove(segment));
            if let Some((reading, file)) = partition.reading
                && reading == *segment
            {
                partition.reading = None;
                io.spawn(close(io.clone(), file));
            }
        }
        partition.retired.extend(old.iter().cloned());
        partition.places = RecentPlaces::default();
        partition.swapping = Some(base);
        self.clean_bytes -= bytes;
        self.forget_evictable(key, batches);
        self.checkpoint.is_wanted = true;
        (old, self.checkpoint.count)
    }

    /// So many of a partition's oldest clean batches are not in memory any more.
    fn forget_evictable(&mut self, key: usize, mut batches: usize) {
        for (of, _, count) in &mut self.evictable {
            if *of == key {
                let gone = batches.min(*count);
                *count -= gone;
                batches -= gone;
            }
        }
        self.evictable.retain(|(_, _, count)| *count > 0);
    }
}

/// Gives the compacted segment's files their names.
async fn take_places(
    pass: &Pass<'_>,
    run: &SegmentRun,
    generation: u32,
) -> Result<Vec<SwappedOut>, PassError> {
    let io = pass.io;
    let mut swapped_out = Vec::new();
    for (base, size_bytes) in &run.segments {
        let path = segment_path(&pass.folder, *base);
        // Not unlinked at once: that would hold up the journal for as long as it is large.
        let gone = swapped_out_path(&path, generation);
        rename(io, path, gone.clone()).await?;
        swapped_out.push(SwappedOut {
            path: gone.into(),
            size_bytes: *size_bytes,
        });
    }
    for path in files_of(&pass.folder, run.base_offset()) {
        let from = swap_path(&path, generation);
        rename(io, from, path).await?;
    }
    for (base, _) in &run.segments[1..] {
        for path in &files_of(&pass.folder, *base)[1..] {
            let path = path.as_str().into();
            match done(io.call(DiskOp::Remove { path }).await) {
                Ok(()) | Err(DiskError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    sync_folder(io, &pass.folder).await?;
    Ok(swapped_out)
}

/// The removal of what was replaced, when its last reader is done.
struct Removal {
    key: usize,
    incarnation: sillon_record::PartitionIncarnation,
    old: Vec<Arc<SegmentFile>>,
    swapped_out: Vec<SwappedOut>,
}

impl Removal {
    async fn run(self, shared: Shared, io: Io) {
        shared.borrow_mut().removals += 1;
        let removed = self.remove(&shared, &io).await;
        let mut state = shared.borrow_mut();
        state.removals -= 1;
        if let Err(error) = removed
            && state.phase == Phase::Open
        {
            let message = format!(
                "segments that compaction has replaced could not be removed: {error}; it is tried \
                 again at the next start"
            );
            state.log(LogLevel::Warn, message);
        }
    }

    async fn remove(&self, shared: &Shared, io: &Io) -> Result<(), DiskError> {
        let is_wanted =
            |state: &State| state.phase == Phase::Open && state.is_same(self.key, self.incarnation);
        let is_free = |state: &mut State| {
            let mut old = self.old.iter();
            !is_wanted(state) || old.all(|file| Arc::strong_count(file) == HOLDERS)
        };
        wait_until(shared, io, is_free).await?;
        {
            let mut state = shared.borrow_mut();
            if !is_wanted(&state) {
                // The next start sweeps, or the whole folder goes.
                return Ok(());
            }
            let is_old =
                |file: &Arc<SegmentFile>| self.old.iter().any(|old| Arc::ptr_eq(old, file));
            state.partitions[self.key]
                .retired
                .retain(|file| !is_old(file));
        }
        for file in &self.swapped_out {
            match remove_slowly(shared, io, file.path.clone(), file.size_bytes).await {
                Ok(_) | Err(DiskError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// After a start: compacted segments that the checkpoint knows take their places, what compaction
/// had not finished goes, and so do segments that were replaced, and those that begin beyond the
/// recovered end, whose rounds a power cut took.
pub(crate) async fn settle_files(
    io: &Io,
    folder: &str,
    log: &PartitionLog,
) -> Result<(), DiskError> {
    let list = io.call(DiskOp::List {
        path: folder.into(),
    });
    let DiskOutput::Entries(entries) = list.await? else {
        unreachable!("a list answers entries");
    };
    let (first, active) = (log.segments()[0].base_offset, log.active().base_offset);
    // Who renamed these files may have been killed before their names were durable, and the next
    // checkpoint counts on them.
    let mut is_unsure = log.segments().iter().any(|segment| segment.generation > 0);
    // Swaps first: what replaces a file comes before what removes those of its neighbours.
    for entry in &entries {
        let Some((to_come, generation)) = parse_swap_file(&entry.name) else {
            continue;
        };
        let base = parse_segment_file(to_come).map(|(base, _)| base);
        let known = base.and_then(|base| log.segment(base));
        let is_known = known.is_some_and(|segment| {
            segment.generation == generation && segment.base_offset < active
        });
        let from = format!("{folder}/{}", entry.name);
        if is_known {
            rename(io, from, format!("{folder}/{to_come}")).await?;
        } else {
            let path = from.into();
            done(io.call(DiskOp::Remove { path }).await)?;
        }
        is_unsure = true;
    }
    for entry in &entries {
        let is_replaced =
            |base: Offset| base > first && base < active && log.segment(base).is_none();
        let is_left_over = parse_segment_file(&entry.name)
            .is_some_and(|(base, _)| base > active || is_replaced(base));
        if is_left_over || is_cleaned_file(&entry.name) {
            let path = format!("{folder}/{}", entry.name).into();
            done(io.call(DiskOp::Remove { path }).await)?;
            is_unsure = true;
        }
    }
    if is_unsure {
        let path = folder.into();
        done(io.call(DiskOp::SyncFolder { path }).await)?;
    }
    Ok(())
}
