//! Reads that must look into files: where a batch begins is found through the segment's index and
//! a walk over batch headers; the records themselves leave the shard by reference.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sillon_log::partition::{ReadPlan, TailBatch};
use sillon_record::Offset;

use crate::partition::{Partition, Readiness};
use crate::partition_files::{ColdError, PartitionFiles, Passed};
use crate::procedure::Io;
use crate::state::{Shared, State};
use crate::{DiskError, Extent, Fetch, Fetched, LogLevel, Refusal, Request, SegmentFile, Ticket};

/// Segments that a shard keeps at hand for readers: 256 indexes of at most 48 KiB are 12 MiB, and
/// 256 descriptors.
pub const RECENTLY_READ_MAX: usize = 256;

/// Indexes of those segments, in bytes.
pub const READ_INDEXES_BYTES_MAX: u64 = (RECENTLY_READ_MAX
    * sillon_log::INDEX_ENTRIES_MAX
    * size_of::<sillon_log::IndexEntry>()) as u64;

/// Segments that one read of a partition goes through at most. Compaction leaves small ones, some
/// with batches that have no records, and a client that finds nothing else in an answer may take
/// its own limits for too small.
const SEGMENTS_MAX: usize = 32;

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
        let is_shared = |reader: &Arc<SegmentFile>| Arc::strong_count(reader) > 1;
        if partition.readers.get(&base).is_some_and(is_shared) {
            // Somebody still sends from it, and a deletion must know.
            self.recently_read.push_back((key, incarnation, base));
        } else {
            partition.readers.remove(&base);
        }
    }

    /// A part of a segment that has been written, for a reader: of its file, and from memory where
    /// that will be written again.
    fn extents(
        &mut self,
        key: usize,
        segment_base: Offset,
        (begin, end): (u64, u64),
        mut push: impl FnMut(Extent),
    ) {
        let partition = &mut self.partitions[key];
        let segment = partition.reader(segment_base);
        let shared = partition.log.shared_block(segment_base);
        let file_end = shared.map_or(end, |(from, _)| from.clamp(begin, end));
        if begin < file_end {
            push(Extent::File {
                segment,
                position: begin,
                len: file_end - begin,
            });
        }
        if let Some((from, block)) = shared.filter(|_| file_end < end) {
            let part = block.slice((file_end - from) as usize..(end - from) as usize);
            push(Extent::Memory(part));
        }
    }
}

async fn cold_fetch(shared: Shared, io: Io, ticket: Ticket, mut fetch: Fetch) {
    let mut total = 0;
    for entry in &mut fetch.entries {
        if let Some(known) = &mut entry.outcome {
            if let Ok(fetched) = known {
                // What came from a file before it may be a first batch that takes all the room.
                if total + fetched.records_bytes > fetch.max_bytes && total > 0 {
                    fetched.records.clear();
                    fetched.records_bytes = 0;
                }
                total += fetched.records_bytes;
            }
            continue;
        }
        let Some(files) = PartitionFiles::find(&shared, &io, entry.partition) else {
            entry.outcome = Some(Err(Refusal::UnknownPartition));
            continue;
        };
        let room = fetch.max_bytes.saturating_sub(total).min(entry.max_bytes);
        let search = fetch_file(&files, entry.offset, room, total == 0);
        let fetched = files.using(search).await;
        entry.outcome = Some(files.answer(fetched));
        if let Some(Ok(fetched)) = &entry.outcome {
            total += fetched.records_bytes;
        }
    }
    let mut state = shared.borrow_mut();
    for entry in &mut fetch.entries {
        // Deleted while the rest was looked for: its folder may be another topic's by now.
        if state.partition_key(entry.partition).is_none() {
            entry.outcome = Some(Err(Refusal::UnknownPartition));
        }
    }
    state.cold_requests -= 1;
    state.reply(ticket, Request::Fetch(fetch));
}

impl PartitionFiles<'_> {
    /// What a request hears of a search. A segment that cannot be read takes its partition
    /// offline, not the shard.
    pub(crate) fn answer<T>(&self, found: Result<T, ColdError>) -> Result<T, Refusal> {
        found.map_err(|error| match error {
            ColdError::Gone => Refusal::UnknownPartition,
            ColdError::Deleted => Refusal::OffsetOutOfRange,
            error => {
                let taken_offline = self.state(|state, key| {
                    let folder = state.partitions[key].folder.clone();
                    state.take_offline(key, format!("{folder} cannot be read: {error}"));
                });
                match taken_offline {
                    Ok(()) => Refusal::Storage,
                    // Its files went while they were read.
                    Err(_) => Refusal::UnknownPartition,
                }
            }
        })
    }
}

impl State {
    /// Takes one partition offline: it refuses appends until the broker is started again.
    pub(crate) fn take_offline(&mut self, key: usize, reason: String) {
        if matches!(self.partitions[key].readiness, Readiness::Offline(_)) {
            // It has been said, and its readers ask again and again.
            return self.refuse_all(key, Refusal::Storage);
        }
        self.log(
            LogLevel::Error,
            format!("{reason}; the partition is offline"),
        );
        self.partitions[key].readiness = Readiness::Offline(reason);
        self.refuse_all(key, Refusal::Storage);
    }
}

/// Reads whole batches from the one that holds `offset` on, in files: to the end of a segment, and
/// on behind it while there is room.
async fn fetch_file(
    files: &PartitionFiles<'_>,
    offset: Offset,
    room: u64,
    is_first: bool,
) -> Result<Fetched, ColdError> {
    let mut fetched = Fetched::default();
    let mut next = Some(offset);
    for _ in 0..SEGMENTS_MAX {
        let Some(offset) = next else {
            break;
        };
        let left = room.saturating_sub(fetched.records_bytes);
        let is_first = is_first && fetched.records.is_empty();
        next = fetch_segment(files, offset, left, is_first, &mut fetched).await?;
    }
    Ok(fetched)
}

/// Adds what one segment has. Returns where to go on, when all that was asked for was taken.
async fn fetch_segment(
    files: &PartitionFiles<'_>,
    offset: Offset,
    room: u64,
    is_first: bool,
    fetched: &mut Fetched,
) -> Result<Option<Offset>, ColdError> {
    files.restore_tail().await?;
    let (plan, known) = files.state(|state, key| {
        let end = state.readable_end(key);
        let partition = &state.partitions[key];
        if state.partition_key(partition.id) != Some(key) {
            // Its topic was deleted: what was being appended has been refused.
            return Err(ColdError::Gone);
        }
        fetched.high_watermark = end;
        fetched.log_start_offset = partition.log.log_start();
        if offset < fetched.log_start_offset {
            // It was given up while something else of this request was read.
            return Err(ColdError::Deleted);
        }
        let records = &mut fetched.records;
        let plan = partition.log.read(offset, end, room, is_first, |slice| {
            records.push(Extent::Memory(slice));
        });
        let known = match plan {
            ReadPlan::File { segment_base, .. } => {
                check_readable(partition, segment_base)?;
                partition.places.find(offset, segment_base)
            }
            _ => None,
        };
        Ok((plan, known))
    })??;
    let (segment_base, limit) = match plan {
        ReadPlan::Empty => return Ok(None),
        ReadPlan::Memory(bytes) => {
            fetched.records_bytes += bytes;
            return Ok(None);
        }
        ReadPlan::File { .. } if room == 0 && !is_first => return Ok(None),
        ReadPlan::File {
            segment_base,
            limit,
        } => (segment_base, limit),
    };
    let begin = match known {
        Some(begin) => begin,
        None if offset == segment_base => 0,
        None => files.locate(segment_base, offset, limit).await?,
    };
    let end = extent_end(files, segment_base, begin, limit, room, is_first).await?;
    if end > begin && end < limit {
        note_place(files, segment_base, end, limit).await?;
    }
    files.state(|state, key| {
        state.note_read(key, segment_base);
        if end > begin {
            let records = &mut fetched.records;
            state.extents(key, segment_base, (begin, end), |extent| {
                records.push(extent)
            });
            fetched.records_bytes += end - begin;
        }
        let log = &state.partitions[key].log;
        let segment = log.segment(segment_base).filter(|_| end == limit)?;
        if segment.size_bytes == limit {
            return Some(segment.next_offset);
        }
        // The rest of it is in memory.
        let oldest = log.oldest_in_memory();
        let is_next =
            |batch: &&TailBatch| (batch.segment_base, batch.position) == (segment_base, end);
        oldest.filter(is_next).map(|batch| batch.base_offset)
    })
}

/// Whether all who read a segment's file could.
fn check_readable(partition: &Partition, segment_base: Offset) -> Result<(), ColdError> {
    match partition.readers.get(&segment_base) {
        Some(file) if file.is_unreadable.load(Ordering::Relaxed) => {
            Err(ColdError::Disk(DiskError::Io {
                path: file.path.clone(),
                operation: "read",
                message: "its records could not be sent".to_owned(),
            }))
        }
        _ => Ok(()),
    }
}

/// Where a read from `begin` on ends: at a batch's border, within `room` when more than one batch
/// is given. The first batch is given whole in any case when `is_first`.
pub(crate) async fn extent_end(
    files: &PartitionFiles<'_>,
    segment_base: Offset,
    begin: u64,
    limit: u64,
    room: u64,
    is_first: bool,
) -> Result<u64, ColdError> {
    if limit.saturating_sub(begin) <= room {
        return Ok(limit);
    }
    files.load_index(segment_base).await?;
    let border = files.partition(|partition| {
        let segment = partition.log.segment(segment_base);
        let index = segment.and_then(|segment| segment.index.as_ref());
        index.map(|index| u64::from(index.boundary_at_or_before((begin + room) as u32)))
    })?;
    if let Some(border) = border.filter(|border| *border > begin) {
        return Ok(border);
    }
    // No border is known so near: whole batches as they fit.
    let first = files.header(segment_base, begin, limit).await?;
    if first.size > room {
        return Ok(if is_first { begin + first.size } else { begin });
    }
    let mut end = begin;
    let visit = |batch: Passed| {
        let batch_end = batch.position + batch.size;
        let fits = batch_end - begin <= room;
        if fits {
            end = batch_end;
        }
        fits
    };
    files.walk(segment_base, begin, limit, visit).await?;
    Ok(end)
}

/// Remembers where a reader will go on.
async fn note_place(
    files: &PartitionFiles<'_>,
    segment_base: Offset,
    end: u64,
    limit: u64,
) -> Result<(), ColdError> {
    let next = files.header(segment_base, end, limit).await?.base_offset;
    files.partition(|partition| partition.places.note(next, segment_base, end))
}
