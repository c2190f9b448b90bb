//! Reads that must look into files: where a batch begins is found through the segment's index and
//! a walk over batch headers; the records themselves leave the shard by reference.

use sillon_log::partition::ReadPlan;
use sillon_log::{SegmentIndex, decode_offset_index};
use sillon_record::{BATCH_HEADER_BYTES, BatchHeader, Offset, PartitionIncarnation};

use crate::partition::Readiness;
use crate::procedure::{Io, bytes, done};
use crate::state::{Shared, State};
use crate::{
    Access, DiskError, DiskOp, Extent, Fetch, Fetched, FileId, LogLevel, Refusal, Request, Ticket,
};

/// Bytes that a walk over headers reads at a time.
const WALK_BYTES: u64 = 64 << 10;

/// Segments that a shard keeps at hand for readers: 256 indexes of at most 48 KiB are 12 MiB, and
/// 256 descriptors.
const RECENTLY_READ_MAX: usize = 256;

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
}

impl State {
    pub(crate) fn spawn_cold_fetch(&mut self, io: &Io, ticket: Ticket, fetch: Fetch) {
        let shared = self.shared.upgrade().expect("a shard owns its state");
        self.cold_requests += 1;
        io.spawn(cold_fetch(shared, io.clone(), ticket, fetch));
    }

    /// A segment's file was read: it stays at hand, and the one that was not read for longest
    /// loses its index and its descriptor.
    fn note_read(&mut self, key: usize, segment_base: Offset) {
        let incarnation = self.partitions[key].incarnation;
        let place = (key, incarnation, segment_base);
        if let Some(at) = self.recently_read.iter().position(|known| *known == place) {
            self.recently_read.remove(at);
        }
        self.recently_read.push_back(place);
        if self.recently_read.len() <= RECENTLY_READ_MAX {
            return;
        }
        let Some((key, incarnation, base)) = self.recently_read.pop_front() else {
            return;
        };
        if !self.is_same(key, incarnation) {
            return;
        }
        let partition = &mut self.partitions[key];
        if partition.log.active().base_offset != base {
            partition.log.set_index(base, None);
        }
        // Whoever still sends from it holds the file.
        partition.readers.remove(&base);
    }

    /// A part of a segment file, for a reader.
    fn file_extent(&mut self, key: usize, segment_base: Offset, begin: u64, end: u64) -> Extent {
        Extent::File {
            segment: self.partitions[key].reader(segment_base),
            position: begin,
            len: end - begin,
        }
    }
}

async fn cold_fetch(shared: Shared, io: Io, ticket: Ticket, mut fetch: Fetch) {
    let mut total = 0;
    for entry in &mut fetch.entries {
        if let Some(known) = &entry.outcome {
            total += known.as_ref().map_or(0, |fetched| fetched.records_bytes);
            continue;
        }
        let room = fetch.max_bytes.saturating_sub(total).min(entry.max_bytes);
        if total > 0 && room == 0 {
            let state = shared.borrow();
            let empty = state.partition_key(entry.partition).map(|key| Fetched {
                high_watermark: state.readable_end(key),
                log_start_offset: state.partitions[key].log.log_start(),
                ..Fetched::default()
            });
            entry.outcome = Some(empty.ok_or(Refusal::UnknownPartition));
            continue;
        }
        let place = {
            let state = shared.borrow();
            let key = state.partition_key(entry.partition);
            key.map(|key| (key, state.partitions[key].incarnation))
        };
        let Some((key, incarnation)) = place else {
            entry.outcome = Some(Err(Refusal::UnknownPartition));
            continue;
        };
        let is_first = total == 0;
        let found = fetch_file(&shared, &io, key, incarnation, entry.offset, room, is_first).await;
        entry.outcome = Some(match found {
            Ok(fetched) => {
                total += fetched.records_bytes;
                Ok(fetched)
            }
            Err(ColdError::Gone) => Err(Refusal::UnknownPartition),
            Err(error) => {
                damaged(&shared, key, incarnation, &error);
                Err(Refusal::Storage)
            }
        });
    }
    let mut state = shared.borrow_mut();
    state.cold_requests -= 1;
    state.reply(ticket, Request::Fetch(fetch));
}

/// A segment that cannot be read takes its partition offline, not the shard.
pub(crate) fn damaged(
    shared: &Shared,
    key: usize,
    incarnation: PartitionIncarnation,
    error: &ColdError,
) {
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return;
    }
    let folder = state.partitions[key].folder.clone();
    state.take_offline(key, format!("{folder} cannot be read: {error}"));
}

impl State {
    /// Takes one partition offline: it refuses appends until the broker is started again.
    pub(crate) fn take_offline(&mut self, key: usize, reason: String) {
        self.log(
            LogLevel::Error,
            format!("{reason}; the partition is offline"),
        );
        self.partitions[key].readiness = Readiness::Offline(reason);
        self.refuse_all(key, Refusal::Storage);
    }
}

/// Reads whole batches from the one that holds `offset` on, in a file.
async fn fetch_file(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    offset: Offset,
    room: u64,
    is_first: bool,
) -> Result<Fetched, ColdError> {
    restore_tail(shared, io, key, incarnation).await?;
    let mut fetched = Fetched::default();
    let (segment_base, limit, known) = {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let partition = &state.partitions[key];
        let end = state.readable_end(key);
        fetched.high_watermark = end;
        fetched.log_start_offset = partition.log.log_start();
        let records = &mut fetched.records;
        let plan = partition.log.read(offset, end, room, is_first, |slice| {
            records.push(Extent::Memory(slice));
        });
        match plan {
            ReadPlan::Empty => return Ok(fetched),
            ReadPlan::Memory(bytes) => {
                fetched.records_bytes = bytes;
                return Ok(fetched);
            }
            ReadPlan::File {
                segment_base,
                limit,
            } => (
                segment_base,
                limit,
                partition.places.find(offset, segment_base),
            ),
        }
    };
    let begin = match known {
        Some(begin) => begin,
        None if offset == segment_base => 0,
        None => locate(shared, io, key, incarnation, segment_base, offset, limit).await?,
    };
    let mut end = if limit.saturating_sub(begin) <= room {
        limit
    } else {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let index = state.partitions[key]
            .log
            .segment(segment_base)
            .and_then(|segment| segment.index.as_ref());
        index.map_or(0, |index| {
            u64::from(index.boundary_at_or_before((begin + room) as u32))
        })
    };
    if end <= begin {
        // No border is known so near: whole batches as they fit, the first in any case.
        end = begin;
        walk(
            shared,
            io,
            key,
            incarnation,
            segment_base,
            begin,
            limit,
            |batch| {
                let batch_end = batch.position + batch.size;
                let fits = batch_end - begin <= room || (is_first && end == begin);
                if fits {
                    end = batch_end;
                }
                fits
            },
        )
        .await?;
    }
    if end > begin && end < limit {
        // Where the reader will go on.
        let mut next = None;
        walk(
            shared,
            io,
            key,
            incarnation,
            segment_base,
            end,
            limit,
            |batch| {
                next = Some(batch.base_offset);
                false
            },
        )
        .await?;
        if let Some(next) = next {
            let mut state = shared.borrow_mut();
            let partition = state.partitions.get_mut(key).ok_or(ColdError::Gone)?;
            partition.places.note(next, segment_base, end);
        }
    }
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return Err(ColdError::Gone);
    }
    state.note_read(key, segment_base);
    state.note_read(key, segment_base);
    if end > begin {
        fetched
            .records
            .push(state.file_extent(key, segment_base, begin, end));
        fetched.records_bytes = end - begin;
    }
    Ok(fetched)
}

/// Brings the end of a partition's file back into memory when it shares a block with what will
/// be appended: readers take it from there, so that no reader's page is ever rewritten.
pub(crate) async fn restore_tail(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
) -> Result<(), ColdError> {
    let wanted = {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let partition = &state.partitions[key];
        let segment_base = partition.log.written_segment();
        let folder = partition.folder.clone();
        partition
            .log
            .missing_tail()
            .map(|part| (part, segment_base, folder))
    };
    let Some(((from, to), segment_base, folder)) = wanted else {
        return Ok(());
    };
    let path = sillon_log::segment_path(&folder, segment_base).into();
    let file = io.new_file();
    let access = Access::Direct;
    let create = false;
    done(
        io.call(DiskOp::Open {
            file,
            path,
            create,
            access,
        })
        .await,
    )?;
    let position = from;
    let len = to - from;
    let read = bytes(
        io.call(DiskOp::Read {
            file,
            position,
            len,
        })
        .await,
    );
    let closed = done(io.call(DiskOp::Close { file }).await);
    let content = read?;
    closed?;
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return Err(ColdError::Gone);
    }
    let partition = &mut state.partitions[key];
    if partition.log.missing_tail() != Some((from, to)) {
        return Ok(());
    }
    let no_batch = |position| ColdError::NoBatch {
        folder: folder.to_string(),
        segment_base,
        position,
    };
    if content.len() as u64 != len {
        return Err(no_batch(from + content.len() as u64));
    }
    let restored = partition.log.restore_tail(from, &content);
    let (clean_bytes, count) = restored.map_err(|_| no_batch(from))?;
    state.clean_bytes += clean_bytes;
    state.evictable.push_back((key, incarnation, count));
    Ok(())
}

/// Where the batch that holds `offset` begins in a segment.
async fn locate(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
    offset: Offset,
    limit: u64,
) -> Result<u64, ColdError> {
    load_index(shared, io, key, incarnation, segment_base).await?;
    let from = {
        let state = shared.borrow();
        let partition = state.partitions.get(key).ok_or(ColdError::Gone)?;
        let segment = partition.log.segment(segment_base).ok_or(ColdError::Gone)?;
        let index = segment.index.as_ref();
        index.map_or(0, |index| u64::from(index.position_for(offset)))
    };
    let mut found = None;
    walk(
        shared,
        io,
        key,
        incarnation,
        segment_base,
        from,
        limit,
        |batch| {
            if batch.last_offset >= offset {
                found = Some(batch.position);
            }
            found.is_none()
        },
    )
    .await?;
    match found {
        Some(position) => Ok(position),
        None => {
            let state = shared.borrow();
            let partition = state.partitions.get(key).ok_or(ColdError::Gone)?;
            Err(ColdError::NoBatch {
                folder: partition.folder.to_string(),
                segment_base,
                position: limit,
            })
        }
    }
}

/// The open file of a segment, for reads of the shard itself.
async fn reading_file(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
) -> Result<FileId, ColdError> {
    let (path, other) = {
        let mut state = shared.borrow_mut();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let partition = &mut state.partitions[key];
        match partition.reading {
            Some((open, file)) if open == segment_base => return Ok(file),
            _ => {}
        }
        let other = partition.reading.take();
        (partition.reader(segment_base).path.clone(), other)
    };
    if let Some((_, file)) = other {
        // Another reader of this partition may still use it; its read then fails and is retried
        // by the client.
        io.spawn(close(io.clone(), file));
    }
    let file = io.new_file();
    let access = Access::Buffered;
    let create = false;
    done(
        io.call(DiskOp::Open {
            file,
            path,
            create,
            access,
        })
        .await,
    )?;
    let mut state = shared.borrow_mut();
    let displaced = match state.partitions.get_mut(key) {
        Some(partition) if partition.incarnation == incarnation => {
            partition.reading.replace((segment_base, file))
        }
        _ => Some((segment_base, file)),
    };
    if let Some((_, file)) = displaced {
        io.spawn(close(io.clone(), file));
    }
    if state.is_same(key, incarnation) {
        Ok(file)
    } else {
        Err(ColdError::Gone)
    }
}

async fn close(io: Io, file: FileId) {
    // Nothing was written: there is nothing to lose.
    let _ = io.call(DiskOp::Close { file }).await;
}

/// Passes over batch headers from `from` to `limit`, both borders of batches, until `visit` says
/// false.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn walk(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
    from: u64,
    limit: u64,
    mut visit: impl FnMut(Passed) -> bool,
) -> Result<(), ColdError> {
    let mut position = from;
    while position < limit {
        let len = WALK_BYTES.min(limit - position);
        let window = read_part(shared, io, key, incarnation, segment_base, position, len).await?;
        let begin = position;
        while position < limit {
            let rest = window
                .get((position - begin) as usize..)
                .unwrap_or_default();
            if rest.len() < BATCH_HEADER_BYTES && position > begin {
                break;
            }
            let batch = passed(rest, position).filter(|batch| batch.size <= limit - position);
            let Some(batch) = batch else {
                let state = shared.borrow();
                let partition = state.partitions.get(key).ok_or(ColdError::Gone)?;
                return Err(ColdError::NoBatch {
                    folder: partition.folder.to_string(),
                    segment_base,
                    position,
                });
            };
            if !visit(batch) {
                return Ok(());
            }
            position += batch.size;
        }
    }
    Ok(())
}

fn passed(bytes: &[u8], position: u64) -> Option<Passed> {
    let header = BatchHeader::peek(bytes)?;
    Some(Passed {
        position,
        size: u64::from(header.size_bytes()?),
        base_offset: header.base_offset(),
        last_offset: header.last_offset(),
        max_timestamp_ms: header.max_timestamp_ms(),
    })
}

/// Reads a part of a segment. Retries once when another reader closed the file in between.
pub(crate) async fn read_part(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
    position: u64,
    len: u64,
) -> Result<Vec<u8>, ColdError> {
    let mut is_retry = false;
    loop {
        let file = reading_file(shared, io, key, incarnation, segment_base).await?;
        let read = bytes(
            io.call(DiskOp::Read {
                file,
                position,
                len,
            })
            .await,
        );
        let is_still_open = {
            let state = shared.borrow();
            let partition = state.partitions.get(key).ok_or(ColdError::Gone)?;
            partition.reading == Some((segment_base, file))
        };
        match read {
            Err(_) if !is_still_open && !is_retry => is_retry = true,
            other => return Ok(other?),
        }
    }
}

/// Loads the index of a closed segment, or makes it again from the segment.
pub(crate) async fn load_index(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
) -> Result<(), ColdError> {
    let (folder, size) = {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let partition = &state.partitions[key];
        let segment = partition.log.segment(segment_base).ok_or(ColdError::Gone)?;
        if segment.index.is_some() {
            return Ok(());
        }
        (partition.folder.clone(), segment.size_bytes)
    };
    let offsets = read_file(io, &sillon_log::offset_index_path(&folder, segment_base)).await?;
    let times = read_file(io, &sillon_log::time_index_path(&folder, segment_base)).await?;
    let loaded = match (offsets, times) {
        (Some(offsets), Some(times)) => decode_offset_index(segment_base, &offsets, &times).ok(),
        _ => None,
    };
    let index = match loaded {
        Some(index) => index,
        None => {
            let mut index = SegmentIndex::new(segment_base);
            walk(
                shared,
                io,
                key,
                incarnation,
                segment_base,
                0,
                size,
                |batch| {
                    index.appended(
                        batch.last_offset,
                        batch.position as u32,
                        batch.size as u32,
                        batch.max_timestamp_ms,
                    );
                    true
                },
            )
            .await?;
            index
        }
    };
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return Err(ColdError::Gone);
    }
    state.partitions[key]
        .log
        .set_index(segment_base, Some(index));
    Ok(())
}

/// The whole content of a small file; `None` when there is none.
pub(crate) async fn read_file(io: &Io, path: &str) -> Result<Option<Vec<u8>>, DiskError> {
    let file = io.new_file();
    let opened = io
        .call(DiskOp::Open {
            file,
            path: path.into(),
            create: false,
            access: Access::Buffered,
        })
        .await;
    let len = match opened {
        Ok(crate::DiskOutput::Opened { len }) => len,
        Ok(other) => unreachable!("opening answers a length, not {other:?}"),
        Err(DiskError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let position = 0;
    let read = bytes(
        io.call(DiskOp::Read {
            file,
            position,
            len,
        })
        .await,
    );
    let closed = done(io.call(DiskOp::Close { file }).await);
    let content = read?;
    closed?;
    Ok(Some(content))
}
