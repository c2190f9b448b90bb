//! One pass of compaction over a partition: notes the newest offset of every key in the dirty
//! part, then writes what that leaves of the closed segments, run by run.

use std::collections::VecDeque;
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_log::compaction::{
    Compaction, CompactionPlan, CompactionTask, MapSize, PassRules, SegmentRun,
};
use sillon_log::partition::CompactedSegment;
use sillon_log::{
    SegmentIndex, cleaned_path, encode_offset_index, encode_time_index, is_cleaned_file,
    offset_index_path, parse_swap_file, segment_path, time_index_path,
};
use sillon_record::Offset;

use crate::compaction::Candidate;
use crate::compaction_swap::{Swap, swap};
use crate::partition_files::open_segment;
use crate::procedure::{Io, bytes, done};
use crate::small_file::write_file;
use crate::state::{Shared, State};
use crate::{Access, DiskError, DiskOp, DiskOutput, FileId, IoClass, SegmentFile};

/// Bytes that are read and worked on at a time: a journal round that comes meanwhile waits for no
/// more than this on the device.
const PIECE_BYTES: u64 = 64 << 10;

/// Why a pass ended early. What it had not finished stays as it was.
#[derive(Debug)]
pub(crate) enum PassError {
    /// The shard stops, the partition is gone, or its segments are.
    Unwanted,
    /// There is no space for the new segments.
    NoSpace,
    /// A segment is damaged.
    Unreadable(String),
    /// Final for the log directory.
    Disk(DiskError),
}

impl From<DiskError> for PassError {
    fn from(error: DiskError) -> PassError {
        match error {
            DiskError::NoSpace => PassError::NoSpace,
            error => PassError::Disk(error),
        }
    }
}

/// A pass on its way.
pub(crate) struct Pass<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) io: &'a Io,
    pub(crate) candidate: &'a Candidate,
    pub(crate) folder: Arc<str>,
    work: Option<Box<Compaction>>,
    /// When the next piece may be read, in ns.
    paced_until_ns: u64,
}

/// The segment that is being written.
struct Output {
    file: FileId,
    /// Bytes written: whole blocks.
    written: u64,
    size_bytes: u64,
    index: SegmentIndex,
    max_timestamp_ms: i64,
}

pub(crate) async fn pass(shared: &Shared, io: &Io, candidate: &Candidate) -> Result<(), PassError> {
    let mut pass = {
        let state = shared.borrow();
        let partition = &state.partitions[candidate.key];
        let plan = &candidate.plan;
        let config = &state.config;
        let map = MapSize {
            secret: config.incarnation.0,
            bytes_max: config
                .compaction
                .map_bytes
                .min(config.memory.compaction_bytes),
            keys_max: (plan.until.0 - plan.dirty_from.0) as u64,
        };
        let rules = PassRules {
            now_ms: state.now.wall_ms,
            delete_retention_ms: candidate.delete_retention_ms,
            producers: Arc::new(partition.log.producers().last_offsets()),
        };
        Pass {
            shared,
            io,
            candidate,
            folder: partition.folder.clone(),
            work: Some(Box::new(Compaction::new(map, rules))),
            paced_until_ns: 0,
        }
    };
    let result = pass.whole().await;
    // Where the map was made it is given back.
    if let Some(mut work) = pass.work.take() {
        work.task = CompactionTask::End;
        drop(io.compute(work).await);
    }
    if matches!(result, Err(PassError::NoSpace)) {
        pass.remove_leftovers().await?;
    }
    result
}

impl Pass<'_> {
    async fn whole(&mut self) -> Result<(), PassError> {
        self.remove_leftovers().await?;
        let through = self.map().await?;
        let mut segments =
            self.state(|state, key| CompactionPlan::segments(&state.partitions[key].log, through))?;
        while let Some(run) = segments.pop_front() {
            if let Some(filtered) = self.filter(run, &mut segments, through).await? {
                swap(self, filtered).await?;
            }
        }
        self.state(|state, key| {
            state.copy_for_checkpoint(key);
            state.partitions[key].log.set_compacted_to(through);
        })
    }

    /// Looks at the shard, as long as the partition is wanted.
    pub(crate) fn state<R>(
        &self,
        look: impl FnOnce(&mut State, usize) -> R,
    ) -> Result<R, PassError> {
        let mut state = self.shared.borrow_mut();
        match state.is_wanted(self.candidate) {
            true => Ok(look(&mut state, self.candidate.key)),
            false => Err(PassError::Unwanted),
        }
    }

    fn work(&mut self) -> &mut Compaction {
        self.work.as_mut().expect("it is back from the helper")
    }

    /// Removes what an earlier pass left that did not come to its end.
    async fn remove_leftovers(&self) -> Result<(), PassError> {
        let list = self.io.call(DiskOp::List {
            path: self.folder.clone(),
        });
        let DiskOutput::Entries(entries) = list.await? else {
            unreachable!("a list answers entries");
        };
        for entry in entries {
            if is_cleaned_file(&entry.name) || parse_swap_file(&entry.name).is_some() {
                let path = format!("{}/{}", self.folder, entry.name).into();
                done(self.io.call(DiskOp::Remove { path }).await)?;
            }
        }
        Ok(())
    }

    /// Fills the map with the dirty part, as far as it goes. Returns how far that is.
    async fn map(&mut self) -> Result<Offset, PassError> {
        let (from, until) = (self.candidate.plan.dirty_from, self.candidate.plan.until);
        let segments: Vec<(Offset, u64)> = self.state(|state, key| {
            let segments = state.partitions[key].log.segments().iter();
            let dirty = segments.filter(|s| s.next_offset > from && s.base_offset < until);
            dirty.map(|s| (s.base_offset, s.size_bytes)).collect()
        })?;
        self.work().mapped_to = from;
        for (base, size) in segments {
            self.work().task = CompactionTask::Map { from, until };
            self.read_segment(base, size, None).await?;
            if self.work().is_full {
                break;
            }
        }
        match self.work().mapped_to {
            none if none <= from => Err(PassError::Unwanted),
            mapped_to => Ok(mapped_to),
        }
    }

    /// Writes what the map leaves of a segment and of those behind it that then fit in the same
    /// one. `None`: all of it, so that the old segment may stay.
    async fn filter(
        &mut self,
        mut run: SegmentRun,
        behind: &mut VecDeque<SegmentRun>,
        through: Offset,
    ) -> Result<Option<Swap>, PassError> {
        let base = run.base_offset();
        let path = cleaned_path(&segment_path(&self.folder, base));
        let (file, _) = self.io.open(path.as_str(), true, Access::Direct).await?;
        let mut output = Output {
            file,
            written: 0,
            size_bytes: 0,
            index: SegmentIndex::new(base),
            max_timestamp_ms: -1,
        };
        self.work().is_changed = false;
        self.work().rest.clear();
        let written = self.write(&mut run, behind, through, &mut output).await;
        let closed = done(self.io.call(DiskOp::Close { file }).await);
        written?;
        closed?;
        if !self.work().is_changed && run.segments.len() == 1 {
            let path = path.into();
            done(self.io.call(DiskOp::Remove { path }).await)?;
            return Ok(None);
        }
        let offsets = encode_offset_index(output.index.entries());
        let times = encode_time_index(&output.index);
        for (path, content) in [
            (offset_index_path(&self.folder, base), offsets),
            (time_index_path(&self.folder, base), times),
        ] {
            write_file(self.io, &cleaned_path(&path), &content).await?;
        }
        let compacted = CompactedSegment {
            size_bytes: output.size_bytes,
            max_timestamp_ms: output.max_timestamp_ms,
            generation: run.generation + 1,
            index: output.index,
        };
        Ok(Some(Swap { run, compacted }))
    }

    async fn write(
        &mut self,
        run: &mut SegmentRun,
        behind: &mut VecDeque<SegmentRun>,
        through: Offset,
        output: &mut Output,
    ) -> Result<(), PassError> {
        loop {
            let end = run.next_offset;
            let (base, size) = *run.segments.last().expect("a run has a segment");
            self.work().task = CompactionTask::Filter { through, end };
            self.read_segment(base, size, Some(output)).await?;
            let Some(next) = behind.pop_front() else {
                break;
            };
            if let Err(next) = run.join(next, output.size_bytes, &self.candidate.policy) {
                behind.push_front(next);
                break;
            }
        }
        let rest = std::mem::take(&mut self.work().rest);
        if !rest.is_empty() {
            self.put(output, Slice::copy_of(&rest)).await?;
        }
        let (file, len) = (output.file, output.size_bytes);
        done(self.io.call(DiskOp::Truncate { file, len }).await)?;
        if planted::is(Bug::SwapNotFlushed) {
            return Ok(());
        }
        match done(self.io.call(DiskOp::Sync { file }).await) {
            // A flush that fails is final, whatever the reason.
            Err(error) => Err(PassError::Disk(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Has every piece of a closed segment worked on, and written where there is an output.
    async fn read_segment(
        &mut self,
        base: Offset,
        size: u64,
        mut output: Option<&mut Output>,
    ) -> Result<(), PassError> {
        // Held until the file has been read, so that it is not removed meanwhile.
        let segment = self.state(|state, key| {
            let partition = &mut state.partitions[key];
            let known = partition.log.segment(base);
            let is_same = known.is_some_and(|segment| segment.size_bytes == size);
            is_same.then(|| partition.reader(base))
        })?;
        let segment = segment.ok_or(PassError::Unwanted)?;
        let file = self.open(&segment).await?;
        let read = async {
            let (mut position, mut len) = (0, PIECE_BYTES);
            while position < size {
                len = len.min(size - position);
                self.pace(len).await?;
                let read = self.io.call(DiskOp::Read {
                    file,
                    position,
                    len,
                    class: IoClass::Background,
                });
                self.work().bytes = bytes(read.await).map_err(unreadable)?;
                let consumed = self.run().await?;
                if let Some(output) = output.as_deref_mut() {
                    self.take_batches(output);
                    for piece in std::mem::take(&mut self.work().pieces) {
                        self.put(output, piece).await?;
                    }
                }
                let work = self.work();
                if consumed == 0 {
                    let is_at_the_end = position + work.bytes.len() as u64 >= size;
                    if work.needed == 0 {
                        // The map is full, or what follows is not wanted.
                        return Ok(());
                    }
                    if is_at_the_end {
                        return Err(PassError::Unreadable(format!(
                            "segment {base} ends within the batch at byte {position}"
                        )));
                    }
                    len = work.needed as u64;
                    continue;
                }
                if work.is_full {
                    return Ok(());
                }
                position += consumed as u64;
                len = PIECE_BYTES;
            }
            Ok(())
        };
        let result = read.await;
        let closed = done(self.io.call(DiskOp::Close { file }).await);
        result?;
        Ok(closed?)
    }

    async fn open(&self, segment: &SegmentFile) -> Result<FileId, PassError> {
        let file = self.io.new_file();
        let opened = open_segment(self.io, file, segment, Access::Direct).await;
        opened.map_err(unreadable)?;
        Ok(file)
    }

    /// Runs the task over the bytes read last. Returns how many of them are done with.
    async fn run(&mut self) -> Result<usize, PassError> {
        let work = self.work.take().expect("it is back from the helper");
        let work = self.work.insert(self.io.compute(work).await);
        match work.error.take() {
            None => Ok(work.consumed),
            Some(error) => Err(PassError::Unreadable(error.to_string())),
        }
    }

    /// Notes in the index what the last run added to the output.
    fn take_batches(&mut self, output: &mut Output) {
        for batch in std::mem::take(&mut self.work().batches) {
            output.index.appended(
                batch.last_offset,
                output.size_bytes as u32,
                batch.size_bytes,
                batch.max_timestamp_ms,
            );
            output.size_bytes += u64::from(batch.size_bytes);
            output.max_timestamp_ms = output.max_timestamp_ms.max(batch.max_timestamp_ms);
        }
    }

    async fn put(&mut self, output: &mut Output, piece: Slice) -> Result<(), PassError> {
        // Between two pieces the shard may have been asked to stop.
        self.state(|_, _| ())?;
        let len = piece.len() as u64;
        let write = self.io.call(DiskOp::Write {
            file: output.file,
            position: output.written,
            pieces: vec![piece],
            class: IoClass::Background,
        });
        done(write.await)?;
        output.written += len.next_multiple_of(BLOCK_BYTES as u64);
        self.spend(len);
        Ok(())
    }

    /// Waits until `len` more bytes may be read.
    async fn pace(&mut self, len: u64) -> Result<(), PassError> {
        loop {
            let ticked = self.state(|state, _| {
                let is_early = state.now.mono_ns < self.paced_until_ns;
                is_early.then(|| state.ticked.clone())
            })?;
            match ticked {
                None => break,
                Some(ticked) => ticked.wait(self.io).await,
            }
        }
        self.spend(len);
        Ok(())
    }

    /// `len` bytes were read or written.
    fn spend(&mut self, len: u64) {
        let state = self.shared.borrow();
        let rate = state.config.compaction.bytes_per_second;
        let ns = len.saturating_mul(1_000_000_000) / rate;
        self.paced_until_ns = self.paced_until_ns.max(state.now.mono_ns) + ns;
    }
}

fn unreadable(error: DiskError) -> PassError {
    PassError::Unreadable(error.to_string())
}
