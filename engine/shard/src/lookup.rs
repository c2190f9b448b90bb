//! Questions about offsets: the ends of the log, offsets by time, and the ends of leader epochs.

use sillon_record::{BatchHeader, DECOMPRESSED_BYTES_MAX, Offset, Records, Scratch};

use crate::partition_files::{ColdError, PartitionFiles, Passed};
use crate::procedure::Io;
use crate::state::{Phase, Shared, State};
use crate::{EpochEnd, FoundOffset, ListOffset, OffsetTarget, Refusal, Request, Ticket};

impl State {
    pub(crate) fn epoch_ends(&mut self, ticket: Ticket, mut questions: Vec<EpochEnd>) {
        for question in &mut questions {
            question.outcome = Some(self.epoch_end(question));
        }
        self.reply(ticket, Request::EpochEnds(questions));
    }

    fn epoch_end(
        &self,
        question: &EpochEnd,
    ) -> Result<Option<(sillon_record::LeaderEpoch, Offset)>, Refusal> {
        let key = self
            .partition_key(question.partition)
            .ok_or(Refusal::UnknownPartition)?;
        self.check_epoch(key, question.current_leader_epoch)?;
        let log = &self.partitions[key].log;
        let end = log.next_offset();
        Ok(log.epochs().end_offset(question.leader_epoch, end))
    }

    pub(crate) fn list_offsets(&mut self, io: &Io, ticket: Ticket, mut list: Vec<ListOffset>) {
        let mut is_cold = false;
        for question in &mut list {
            question.outcome = self.end_of_log(question);
            is_cold |= question.outcome.is_none();
        }
        if is_cold {
            let shared = self.shared.upgrade().expect("a shard owns its state");
            self.cold_requests += 1;
            io.spawn(search(shared, io.clone(), ticket, list));
        } else {
            self.reply(ticket, Request::ListOffsets(list));
        }
    }

    /// The answer, unless it takes a search by time.
    fn end_of_log(&self, question: &ListOffset) -> Option<Result<Option<FoundOffset>, Refusal>> {
        let Some(key) = self.partition_key(question.partition) else {
            return Some(Err(Refusal::UnknownPartition));
        };
        if let Err(refusal) = self.check_epoch(key, question.current_leader_epoch) {
            return Some(Err(refusal));
        }
        if matches!(self.phase, Phase::Failed(_)) {
            return Some(Err(Refusal::Storage));
        }
        let partition = &self.partitions[key];
        let (offset, leader_epoch) = match question.target {
            OffsetTarget::Latest => (self.readable_end(key), Some(partition.leader_epoch())),
            OffsetTarget::Earliest => {
                let start = partition.log.log_start();
                (start, partition.log.epochs().epoch_of(start))
            }
            OffsetTarget::MaxTimestamp | OffsetTarget::AtOrAfter(_) => return None,
        };
        Some(Ok(Some(FoundOffset {
            offset,
            timestamp_ms: -1,
            leader_epoch,
        })))
    }
}

async fn search(shared: Shared, io: Io, ticket: Ticket, mut list: Vec<ListOffset>) {
    for question in &mut list {
        if question.outcome.is_some() {
            continue;
        }
        let Some(files) = PartitionFiles::find(&shared, &io, question.partition) else {
            question.outcome = Some(Err(Refusal::UnknownPartition));
            continue;
        };
        let found = match question.target {
            OffsetTarget::AtOrAfter(timestamp_ms) => {
                files.using(by_time(&files, timestamp_ms)).await
            }
            _ => files.using(by_largest_time(&files)).await,
        };
        question.outcome = Some(files.answer(found));
    }
    let mut state = shared.borrow_mut();
    state.cold_requests -= 1;
    state.reply(ticket, Request::ListOffsets(list));
}

/// The first record with the largest timestamp among those that may be read.
async fn by_largest_time(files: &PartitionFiles<'_>) -> Result<Option<FoundOffset>, ColdError> {
    loop {
        let (start, largest) = match largest_time(files).await {
            Err(ColdError::Deleted) => continue,
            known => known?,
        };
        let found = match largest {
            Some(largest) if largest >= 0 => by_time(files, largest).await?,
            _ => None,
        };
        let start_now = files.partition(|partition| partition.log.log_start())?;
        if found.is_some() || start_now == start {
            return Ok(found);
        }
        // The record was given up meanwhile.
    }
}

/// The largest timestamp of the records that may be read, and where those begin.
async fn largest_time(files: &PartitionFiles<'_>) -> Result<(Offset, Option<i64>), ColdError> {
    files.restore_tail().await?;
    let first = files.partition(|partition| {
        partition
            .log
            .segment_of(partition.log.log_start())
            .base_offset
    })?;
    files.load_index(first).await?;
    let (start, mut largest, partly) = files.state(|state, key| {
        let log = &state.partitions[key].log;
        let (start, end) = (log.log_start(), state.readable_end(key));
        // What is above the high watermark is in memory: leave it out there, and take segments
        // that are wholly readable at their word.
        let readable = log
            .tail()
            .filter(|batch| batch.last_offset >= start && batch.last_offset < end);
        let in_memory = readable.filter_map(|batch| match batch.base_offset < start {
            true => newest_from(&batch.bytes, start),
            false => Some(batch.max_timestamp_ms),
        });
        let mut largest = in_memory.max();
        let unreadable = log.tail().any(|batch| batch.last_offset >= end);
        let mut parts = Vec::new();
        let kept = log.segments().iter();
        for segment in kept.filter(|segment| segment.next_offset > start) {
            let begins_before = segment.base_offset < start;
            if !begins_before && (!unreadable || segment.next_offset <= end) {
                largest = largest.max(Some(segment.max_timestamp_ms));
                continue;
            }
            let limit = log.file_limit(segment.base_offset);
            let index = segment.index.as_ref();
            let from = match index {
                Some(index) if begins_before => u64::from(index.position_for(start)),
                Some(index) => {
                    let mut entries = index.entries().iter().rev();
                    let known = entries.find(|entry| u64::from(entry.position) < limit);
                    largest = largest.max(known.map(|entry| entry.max_timestamp_ms));
                    known.map_or(0, |entry| u64::from(entry.position))
                }
                None => 0,
            };
            parts.push((segment.base_offset, from, limit));
        }
        (start, largest, parts)
    })?;
    // Of the others, what is in the file is readable too, but for records before the start.
    for (segment_base, from, limit) in partly {
        let mut straddling = None;
        let visit = |batch: Passed| {
            if batch.base_offset >= start {
                largest = largest.max(Some(batch.max_timestamp_ms));
            } else if batch.last_offset >= start {
                straddling = Some(batch);
            }
            true
        };
        files.walk(segment_base, from, limit, visit).await?;
        if let Some(batch) = straddling {
            let content = files.read(segment_base, batch.position, batch.size).await?;
            largest = largest.max(newest_from(&content, start));
        }
    }
    Ok((start, largest))
}

/// The largest timestamp of a stored batch's records from an offset on.
fn newest_from(batch: &[u8], start: Offset) -> Option<i64> {
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    let records = Records::of(batch, &mut buffer, DECOMPRESSED_BYTES_MAX, &mut scratch).ok()?;
    let kept = records
        .map_while(Result::ok)
        .filter(|record| record.offset >= start);
    kept.map(|record| record.timestamp_ms).max()
}

/// The first record at or after a time.
async fn by_time(
    files: &PartitionFiles<'_>,
    timestamp_ms: i64,
) -> Result<Option<FoundOffset>, ColdError> {
    let mut behind = Offset(-1);
    loop {
        let candidate = files.partition(|partition| {
            let start = partition.log.log_start();
            let mut segments = partition.log.segments().iter();
            let candidate = segments.find(|segment| {
                segment.base_offset > behind
                    && segment.next_offset > start
                    && segment.max_timestamp_ms >= timestamp_ms
            });
            candidate.map(|segment| segment.base_offset)
        })?;
        let Some(segment_base) = candidate else {
            return Ok(None);
        };
        match in_segment(files, segment_base, timestamp_ms).await {
            Ok(None) => behind = segment_base,
            // Retention was faster: the next segment has what is asked for.
            Err(ColdError::Deleted) => {}
            found => return found,
        }
    }
}

async fn in_segment(
    files: &PartitionFiles<'_>,
    segment_base: Offset,
    timestamp_ms: i64,
) -> Result<Option<FoundOffset>, ColdError> {
    files.restore_tail().await?;
    files.load_index(segment_base).await?;
    let from = files.partition(|partition| {
        let segment = partition.log.segment(segment_base);
        let index = segment.and_then(|segment| segment.index.as_ref());
        index.map_or(0, |index| index.position_for_time(timestamp_ms))
    })?;
    let mut behind = u64::from(from);
    loop {
        // Looked at anew each time: meanwhile batches move from the tail to the file.
        let limit = files.partition(|partition| partition.log.file_limit(segment_base))?;
        if behind >= limit {
            return files.state(|state, key| in_tail(state, key, segment_base, timestamp_ms));
        }
        let mut candidate = None;
        let visit = |batch: Passed| {
            if batch.max_timestamp_ms >= timestamp_ms {
                candidate = Some(batch);
            }
            candidate.is_none()
        };
        files.walk(segment_base, behind, limit, visit).await?;
        let Some(batch) = candidate else {
            behind = limit;
            continue;
        };
        let content = files.read(segment_base, batch.position, batch.size).await?;
        let found = files.state(|state, key| {
            let start = state.partitions[key].log.log_start();
            let end = state.readable_end(key);
            in_batch(&content, timestamp_ms, start).map(|found| (found, found.offset < end))
        })?;
        if let Some((found, is_readable)) = found {
            return Ok(is_readable.then_some(found));
        }
        behind = batch.position + batch.size;
    }
}

/// The first record at or after a time among those of a segment that are in memory.
fn in_tail(
    state: &State,
    key: usize,
    segment_base: Offset,
    timestamp_ms: i64,
) -> Option<FoundOffset> {
    let log = &state.partitions[key].log;
    let end = state.readable_end(key);
    let start = log.log_start();
    let mut batches = log.tail().filter(|batch| {
        batch.segment_base == segment_base
            && batch.last_offset < end
            && batch.max_timestamp_ms >= timestamp_ms
    });
    batches.find_map(|batch| in_batch(&batch.bytes, timestamp_ms, start))
}

/// The first record of a stored batch at or after a time and an offset.
fn in_batch(batch: &[u8], timestamp_ms: i64, start: Offset) -> Option<FoundOffset> {
    let header = BatchHeader::peek(batch)?;
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    let records = Records::of(batch, &mut buffer, DECOMPRESSED_BYTES_MAX, &mut scratch).ok()?;
    // A batch was walked before it was let in; what cannot be read now has no record to offer.
    let mut records = records.map_while(Result::ok);
    let record =
        records.find(|record| record.timestamp_ms >= timestamp_ms && record.offset >= start)?;
    Some(FoundOffset {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        leader_epoch: Some(header.leader_epoch()),
    })
}
