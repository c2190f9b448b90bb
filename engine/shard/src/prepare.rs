//! Space before promise: an append goes only where the file system has reserved room, so the
//! active segment is opened and extended ahead of it.

use sillon_record::{Offset, PartitionIncarnation};

use crate::partition::{OpenSegment, Readiness};
use crate::partition_files::{ColdError, PartitionFiles};
use crate::procedure::{Io, done};
use crate::state::{Shared, State};
use crate::{Access, DiskError, DiskOp, FileId, Refusal};

/// Room that a fresh segment gets, in bytes: small, because 1,000 idle partitions must not take
/// 1,000 segments.
const FIRST_BYTES: u64 = 64 << 10;

/// Room that is added at a time at most, in bytes: as much as there is already, up to this.
const STEP_BYTES_MAX: u64 = 64 << 20;

impl State {
    /// Opens the active segment and gives it room for what waits; then that is appended.
    pub(crate) fn prepare(&mut self, io: &Io, key: usize) {
        let shared = self.shared.upgrade().expect("a shard owns its state");
        let partition = &mut self.partitions[key];
        partition.readiness = Readiness::Preparing;
        let incarnation = partition.incarnation;
        io.spawn(prepare(shared, io.clone(), key, incarnation));
    }

    /// Reserves the next room before the last one is used up. Nobody waits for it.
    pub(crate) fn reserve_ahead(&mut self, io: &Io, key: usize) {
        let shared = self.shared.upgrade().expect("a shard owns its state");
        let partition = &mut self.partitions[key];
        let end = partition.log.active().size_bytes;
        let segment_bytes = u64::from(partition.config.segment_bytes);
        let incarnation = partition.incarnation;
        let base = partition.log.active().base_offset;
        let Some(file) = partition.open_file(base) else {
            return;
        };
        let used_most = file.allocated_bytes.saturating_sub(end) < file.allocated_bytes / 4;
        if used_most && !file.is_allocating && file.allocated_bytes < segment_bytes {
            file.is_allocating = true;
            io.spawn(reserve(shared, io.clone(), key, incarnation, base));
        }
    }

    /// Keeps a segment's open file; false when the partition is gone.
    fn take_open(
        &mut self,
        key: usize,
        incarnation: PartitionIncarnation,
        base_offset: Offset,
        file: FileId,
    ) -> bool {
        let is_same = self.is_same(key, incarnation);
        if is_same {
            self.partitions[key].open.push(OpenSegment {
                base_offset,
                file,
                allocated_bytes: 0,
                is_new: true,
                is_unsynced: false,
                is_allocating: false,
            });
        }
        is_same
    }

    /// Bytes that the batch at the head of the queue needs.
    fn bytes_wanted(&self, key: usize) -> u64 {
        let head = self.partitions[key].blocked.front();
        let batch = head.and_then(|(request, entry)| match self.requests.get(*request) {
            Some(crate::state::Pending::Produce { produce, .. }) => produce.entries.get(*entry),
            _ => None,
        });
        batch.map_or(0, |entry| entry.batch.bytes().len() as u64)
    }
}

/// How far a segment that ends at `end` gets room, when `wanted` bytes wait and `allocated` are
/// there.
fn target(end: u64, wanted: u64, allocated: u64, segment_bytes: u64) -> u64 {
    let step = allocated.clamp(FIRST_BYTES, STEP_BYTES_MAX);
    let target = (allocated + step).min(segment_bytes).max(end + wanted);
    whole_blocks(target)
}

async fn prepare(shared: Shared, io: Io, key: usize, incarnation: PartitionIncarnation) {
    let result = open_and_allocate(&shared, &io, key, incarnation).await;
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return;
    }
    match result {
        Ok(()) => {
            state.partitions[key].readiness = Readiness::Ready;
            state.resume(&io, key);
        }
        Err(ColdError::Gone) => {}
        Err(ColdError::Disk(DiskError::NoSpace)) => {
            // Not for good: the next append tries again.
            state.partitions[key].readiness = Readiness::Cold;
            state.found_no_space();
            state.refuse_blocked(key, Refusal::Storage);
        }
        Err(error) => {
            let folder = state.partitions[key].folder.clone();
            state.take_offline(key, format!("{folder} cannot be opened: {error}"));
        }
    }
}

async fn open_and_allocate(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
) -> Result<(), ColdError> {
    let files = PartitionFiles {
        shared,
        io,
        key,
        incarnation,
    };
    files.restore_tail().await?;
    let (base_offset, path, is_open) = {
        let mut state = shared.borrow_mut();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let partition = &mut state.partitions[key];
        let base_offset = partition.log.active().base_offset;
        let path = partition.reader(base_offset).path.clone();
        (base_offset, path, partition.active_file().is_some())
    };
    if !is_open {
        let file = io.new_file();
        let access = Access::Direct;
        let create = true;
        let opened = io.call(DiskOp::Open {
            file,
            path,
            create,
            access,
        });
        done(opened.await)?;
        let is_taken = shared
            .borrow_mut()
            .take_open(key, incarnation, base_offset, file);
        if !is_taken {
            done(io.call(DiskOp::Close { file }).await)?;
            return Err(ColdError::Gone);
        }
    }
    loop {
        let room = {
            let mut state = shared.borrow_mut();
            if !state.is_same(key, incarnation) {
                return Err(ColdError::Gone);
            }
            let wanted = state.bytes_wanted(key);
            let partition = &mut state.partitions[key];
            let end = partition.log.active().size_bytes;
            let segment_bytes = u64::from(partition.config.segment_bytes);
            let open = partition.active_file().ok_or(ColdError::Gone)?;
            if open.allocated_bytes >= end + wanted && open.allocated_bytes > 0 {
                return Ok(());
            }
            let from = open.allocated_bytes;
            Room {
                file: open.file,
                kept: from.max(whole_blocks(end)),
                from,
                least: whole_blocks(end + wanted),
                to: target(end, wanted, from, segment_bytes),
                // Somebody else's reservation must not be cut off.
                may_cut: !std::mem::replace(&mut open.is_allocating, true),
            }
        };
        let may_cut = room.may_cut;
        let reached = room.reserve(io).await;
        let mut state = shared.borrow_mut();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        if reached.is_ok() {
            state.found_space();
        }
        if let Some(open) = state.partitions[key].open_file(base_offset) {
            open.is_allocating &= !may_cut;
            open.allocated_bytes = open.allocated_bytes.max(*reached.as_ref().unwrap_or(&0));
        }
        reached?;
    }
}

/// Room that a segment is to get.
struct Room {
    file: FileId,
    /// What the segment has, in bytes.
    from: u64,
    /// What must not be cut off, in bytes.
    kept: u64,
    /// What is needed now, in bytes.
    least: u64,
    /// What it is to have, in bytes.
    to: u64,
    may_cut: bool,
}

impl Room {
    /// Reserves it, or, when there is too little space, what is needed now. How far the segment
    /// reaches then, in bytes.
    async fn reserve(self, io: &Io) -> Result<u64, DiskError> {
        let Room { file, from, .. } = self;
        match io.allocate(file, from, self.to - from).await {
            Err(DiskError::NoSpace) => {}
            reserved => return reserved.map(|()| self.to),
        }
        if self.may_cut {
            // A part of it may be reserved, and belongs to whoever needs it first.
            let len = self.kept;
            done(io.call(DiskOp::Truncate { file, len }).await)?;
        }
        match self.least.max(self.kept) {
            least if least < self.to => {
                io.allocate(file, from, least - from).await?;
                Ok(least)
            }
            _ => Err(DiskError::NoSpace),
        }
    }
}

fn whole_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(sillon_buffer::BLOCK_BYTES as u64)
}

/// Reserves more room in the segment `base`, which may have been rolled since.
async fn reserve(
    shared: Shared,
    io: Io,
    key: usize,
    incarnation: PartitionIncarnation,
    base: Offset,
) {
    let wanted = {
        let mut state = shared.borrow_mut();
        if !state.is_same(key, incarnation) {
            return;
        }
        let partition = &mut state.partitions[key];
        let end = partition.log.active().size_bytes;
        let is_active = partition.log.active().base_offset == base;
        let segment_bytes = u64::from(partition.config.segment_bytes);
        let open = partition.open_file(base).filter(|_| is_active);
        open.map(|open| {
            let from = open.allocated_bytes;
            (open.file, from, target(end, 0, from, segment_bytes))
        })
    };
    // A failure is found again, and answered, when the room is needed.
    let allocated = match wanted {
        Some((file, from, to)) if to > from => {
            io.allocate(file, from, to - from).await.ok().map(|()| to)
        }
        _ => None,
    };
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return;
    }
    if let Some(open) = state.partitions[key].open_file(base) {
        open.is_allocating = false;
        open.allocated_bytes = open.allocated_bytes.max(allocated.unwrap_or(0));
    }
}
