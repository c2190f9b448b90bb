//! The files of one partition, as a procedure of its shard reads them: batch headers, indexes and
//! the end that shares a block with what will be appended.

use sillon_buffer::Slice;
use sillon_log::{SegmentIndex, decode_offset_index};
use sillon_record::{
    BATCH_HEADER_BYTES, BatchHeader, Offset, PartitionIncarnation, TopicPartition,
};

use crate::partition::Partition;
use crate::procedure::{Io, bytes, done};
use crate::small_file::read_file;
use crate::state::{Shared, State};
use crate::{Access, DiskError, DiskOp, FileId, IoClass, SegmentFile};

/// Bytes that a walk over headers reads at a time.
const WALK_BYTES: u64 = 64 << 10;

/// One batch header that a walk passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) position: u64,
    pub(crate) size: u64,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp_ms: i64,
}

/// Why a file could not be searched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColdError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{folder}: segment {segment_base} has no batch at byte {position}")]
    NoBatch {
        folder: String,
        segment_base: Offset,
        position: u64,
    },
    /// The partition is gone, or does not lead any more.
    #[error("the partition is gone")]
    Gone,
    /// Retention has taken the segment.
    #[error("the segment is gone")]
    Deleted,
}

/// Names a partition across waits: each look makes sure that it is still there.
#[derive(Clone, Copy)]
pub(crate) struct PartitionFiles<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) io: &'a Io,
    pub(crate) key: usize,
    pub(crate) incarnation: PartitionIncarnation,
}

impl<'a> PartitionFiles<'a> {
    /// Those of a partition that the shard has now.
    pub(crate) fn find(
        shared: &'a Shared,
        io: &'a Io,
        id: TopicPartition,
    ) -> Option<PartitionFiles<'a>> {
        let state = shared.borrow();
        let key = state.partition_key(id)?;
        Some(PartitionFiles {
            shared,
            io,
            key,
            incarnation: state.partitions[key].incarnation,
        })
    }

    /// Looks at the shard, with this partition's key in it.
    pub(crate) fn state<R>(
        &self,
        look: impl FnOnce(&mut State, usize) -> R,
    ) -> Result<R, ColdError> {
        let mut state = self.shared.borrow_mut();
        if state.is_same(self.key, self.incarnation) {
            Ok(look(&mut state, self.key))
        } else {
            Err(ColdError::Gone)
        }
    }

    /// Looks at the partition.
    pub(crate) fn partition<R>(
        &self,
        look: impl FnOnce(&mut Partition) -> R,
    ) -> Result<R, ColdError> {
        self.state(|state, key| look(&mut state.partitions[key]))
    }

    /// Runs a search in the partition's files, during which no compacted segment takes the place
    /// of another: places and indexes stay true.
    pub(crate) async fn using<T, E: From<ColdError>>(
        &self,
        search: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.enter().await?;
        let found = search.await;
        // It may be gone by now, and its users with it.
        let _ = self.partition(|partition| partition.users -= 1);
        found
    }

    async fn enter(&self) -> Result<(), ColdError> {
        loop {
            let changed = self.state(|state, key| {
                let partition = &mut state.partitions[key];
                if partition.swap_waits {
                    return Some(state.ticked.clone());
                }
                partition.users += 1;
                None
            })?;
            match changed {
                None => return Ok(()),
                Some(changed) => changed.wait(self.io).await,
            }
        }
    }

    fn no_batch(&self, segment_base: Offset, position: u64) -> ColdError {
        let folder = self.partition(|partition| partition.folder.to_string());
        match folder {
            Ok(folder) => ColdError::NoBatch {
                folder,
                segment_base,
                position,
            },
            Err(gone) => gone,
        }
    }

    /// Brings the end of a partition's file back into memory when it shares a block with what
    /// will be appended: readers take it from there, so that no reader's page is ever rewritten.
    pub(crate) async fn restore_tail(&self) -> Result<(), ColdError> {
        let wanted = self.partition(|partition| {
            let segment_base = partition.log.written_segment();
            // Retention may have taken it.
            partition.log.segment(segment_base)?;
            let missing = partition.log.missing_prefix();
            missing.map(|part| (part, segment_base, partition.reader(segment_base)))
        })?;
        let Some(((position, len), segment_base, reader)) = wanted else {
            return Ok(());
        };
        let file = self.io.new_file();
        open_segment(self.io, file, &reader, Access::Direct).await?;
        let read = self.io.call(DiskOp::Read {
            file,
            position,
            len,
            class: IoClass::Foreground,
        });
        let read = bytes(read.await);
        let closed = done(self.io.call(DiskOp::Close { file }).await);
        let content = read?;
        closed?;
        if content.len() as u64 != len {
            return Err(self.no_batch(segment_base, position + content.len() as u64));
        }
        self.partition(|partition| {
            if partition.log.missing_prefix() == Some((position, len)) {
                partition.log.set_prefix(Slice::copy_of(&content));
            }
        })
    }

    /// Where the batch that holds `offset` begins in a segment whose file is final below `limit`.
    pub(crate) async fn locate(
        &self,
        segment_base: Offset,
        offset: Offset,
        limit: u64,
    ) -> Result<u64, ColdError> {
        self.load_index(segment_base).await?;
        let from = self.partition(|partition| {
            let segment = partition.log.segment(segment_base);
            let index = segment.and_then(|segment| segment.index.as_ref());
            index.map_or(0, |index| u64::from(index.position_for(offset)))
        })?;
        let mut found = None;
        self.walk(segment_base, from, limit, |batch| {
            if batch.last_offset >= offset {
                found = Some(batch.position);
            }
            found.is_none()
        })
        .await?;
        found.ok_or_else(|| self.no_batch(segment_base, limit))
    }

    /// The header of the batch that begins at `position`, below `limit`.
    pub(crate) async fn header(
        &self,
        segment_base: Offset,
        position: u64,
        limit: u64,
    ) -> Result<Passed, ColdError> {
        let len = BATCH_HEADER_BYTES as u64;
        let bytes = self.read(segment_base, position, len).await?;
        let batch = passed(&bytes, position).filter(|batch| batch.size <= limit - position);
        batch.ok_or_else(|| self.no_batch(segment_base, position))
    }

    /// Passes over batch headers from `from` to `limit`, both borders of batches, until `visit`
    /// says false.
    pub(crate) async fn walk(
        &self,
        segment_base: Offset,
        from: u64,
        limit: u64,
        mut visit: impl FnMut(Passed) -> bool,
    ) -> Result<(), ColdError> {
        let mut position = from;
        while position < limit {
            let len = WALK_BYTES.min(limit - position);
            let window = self.read(segment_base, position, len).await?;
            let begin = position;
            while position < limit {
                let rest = window
                    .get((position - begin) as usize..)
                    .unwrap_or_default();
                if rest.len() < BATCH_HEADER_BYTES && position > begin {
                    break;
                }
                let batch = passed(rest, position).filter(|batch| batch.size <= limit - position);
                let batch = batch.ok_or_else(|| self.no_batch(segment_base, position))?;
                if !visit(batch) {
                    return Ok(());
                }
                position += batch.size;
            }
        }
        Ok(())
    }

    /// Reads a part of a segment that has been written: from its file, and from memory where that
    /// will be written again.
    pub(crate) async fn read(
        &self,
        segment_base: Offset,
        position: u64,
        len: u64,
    ) -> Result<Vec<u8>, ColdError> {
        let end = position + len;
        let shared = self.partition(|partition| {
            let block = partition.log.shared_block(segment_base);
            block.map(|(from, block)| (from, block.clone()))
        })?;
        let Some((from, block)) = shared.filter(|(from, _)| *from < end) else {
            return self.read_file(segment_base, position, len).await;
        };
        let mut bytes = match position < from {
            true => {
                self.read_file(segment_base, position, from - position)
                    .await?
            }
            false => Vec::new(),
        };
        if position + (bytes.len() as u64) < from.min(end) {
            // The file is shorter than it should be, which the caller sees.
            return Ok(bytes);
        }
        let place = |position: u64| ((position.max(from) - from) as usize).min(block.len());
        bytes.extend_from_slice(&block[place(position)..place(end)]);
        Ok(bytes)
    }

    /// Reads a part of a segment's file. Tries once more when another reader closed it in between.
    async fn read_file(
        &self,
        segment_base: Offset,
        position: u64,
        len: u64,
    ) -> Result<Vec<u8>, ColdError> {
        let mut is_retry = false;
        loop {
            // Held until the file has been read, so that it is not removed meanwhile.
            let reader = self.partition(|partition| {
                let is_there = partition.log.segment(segment_base).is_some();
                is_there.then(|| partition.reader(segment_base))
            })?;
            let reader = reader.ok_or(ColdError::Deleted)?;
            let file = self.reading_file(segment_base, &reader).await?;
            let read = self.io.call(DiskOp::Read {
                file,
                position,
                len,
                class: IoClass::Foreground,
            });
            let read = bytes(read.await);
            let open = self.partition(|partition| partition.reading)?;
            match read {
                Err(_) if open != Some((segment_base, file)) && !is_retry => is_retry = true,
                other => return Ok(other?),
            }
        }
    }

    /// The open file of a segment, for reads of the shard itself.
    async fn reading_file(
        &self,
        segment_base: Offset,
        reader: &SegmentFile,
    ) -> Result<FileId, ColdError> {
        if let Some((base, file)) = self.partition(|partition| partition.reading)?
            && base == segment_base
        {
            return Ok(file);
        }
        let file = self.io.new_file();
        open_segment(self.io, file, reader, Access::Buffered).await?;
        let displaced = self.partition(|partition| partition.reading.replace((segment_base, file)));
        match displaced {
            Ok(Some((_, other))) => self.io.spawn(close(self.io.clone(), other)),
            Ok(None) => {}
            Err(gone) => {
                self.io.spawn(close(self.io.clone(), file));
                return Err(gone);
            }
        }
        Ok(file)
    }

    /// Loads the index of a closed segment, or makes it again from the segment.
    pub(crate) async fn load_index(&self, segment_base: Offset) -> Result<(), ColdError> {
        let wanted = self.partition(|partition| {
            let segment = partition.log.segment(segment_base);
            let missing = segment.filter(|segment| segment.index.is_none());
            let is_swapping = partition.swapping == Some(segment_base);
            missing.map(|segment| (partition.folder.clone(), segment.size_bytes, is_swapping))
        })?;
        let Some((folder, size, is_swapping)) = wanted else {
            return Ok(());
        };
        if is_swapping {
            // The files of that name may still be those of the segment that it replaces.
            let index = self.make_index(segment_base, size).await?;
            return self.partition(|partition| partition.log.set_index(segment_base, Some(index)));
        }
        let offset_path = sillon_log::offset_index_path(&folder, segment_base);
        let time_path = sillon_log::time_index_path(&folder, segment_base);
        let offsets = read_file(self.io, &offset_path).await?;
        let times = read_file(self.io, &time_path).await?;
        let loaded = match (offsets, times) {
            (Some(offsets), Some(times)) => {
                decode_offset_index(segment_base, &offsets, &times).ok()
            }
            _ => None,
        };
        let index = match loaded {
            Some(index) => index,
            None => self.make_index(segment_base, size).await?,
        };
        self.partition(|partition| partition.log.set_index(segment_base, Some(index)))
    }

    async fn make_index(&self, segment_base: Offset, size: u64) -> Result<SegmentIndex, ColdError> {
        let mut index = SegmentIndex::new(segment_base);
        self.walk(segment_base, 0, size, |batch| {
            index.appended(
                batch.last_offset,
                batch.position as u32,
                batch.size as u32,
                batch.max_timestamp_ms,
            );
            true
        })
        .await?;
        Ok(index)
    }
}

/// Opens a segment's file for reading, whatever its name is at the moment.
pub(crate) async fn open_segment(
    io: &Io,
    file: FileId,
    segment: &SegmentFile,
    access: Access,
) -> Result<(), DiskError> {
    let mut result = Ok(());
    for path in segment.paths() {
        let open = io.call(DiskOp::Open {
            file,
            path: path.clone(),
            create: false,
            access,
        });
        result = done(open.await);
        if !matches!(result, Err(DiskError::NotFound(_))) {
            break;
        }
    }
    result
}

pub(crate) async fn close(io: Io, file: FileId) {
    // Nothing was written: there is nothing to lose.
    let _ = io.call(DiskOp::Close { file }).await;
}

fn passed(bytes: &[u8], position: u64) -> Option<Passed> {
    let header = BatchHeader::peek(bytes)?;
    Some(Passed {
        position,
        size: u64::from(header.size_bytes()?),
        base_offset: header.base_offset(),
        last_offset: header.last_offset(),
        // What compaction leaves of a batch keeps its time for the producer's sake alone.
        max_timestamp_ms: match header.records_count() {
            0 => -1,
            _ => header.max_timestamp_ms(),
        },
    })
}
