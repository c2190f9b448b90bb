//! Questions about offsets: the ends of the log, offsets by time, and the ends of leader epochs.

use sillon_log::partition::Segment;
use sillon_record::{
    BatchHeader, DECOMPRESSED_BYTES_MAX, Offset, PartitionIncarnation, Records, Scratch,
};

use crate::cold::{ColdError, Passed, damaged, load_index, read_part, restore_tail, walk};
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
        let found = {
            let state = shared.borrow();
            let key = state.partition_key(question.partition);
            key.map(|key| (key, state.partitions[key].incarnation))
        };
        let Some((key, incarnation)) = found else {
            question.outcome = Some(Err(Refusal::UnknownPartition));
            continue;
        };
        let found = match question.target {
            OffsetTarget::AtOrAfter(timestamp_ms) => {
                by_time(&shared, &io, key, incarnation, timestamp_ms).await
            }
            _ => by_largest_time(&shared, &io, key, incarnation).await,
        };
        question.outcome = Some(match found {
            Ok(found) => Ok(found),
            Err(ColdError::Gone) => Err(Refusal::UnknownPartition),
            Err(error) => {
                damaged(&shared, key, incarnation, &error);
                Err(Refusal::Storage)
            }
        });
    }
    let mut state = shared.borrow_mut();
    state.cold_requests -= 1;
    state.reply(ticket, Request::ListOffsets(list));
}

/// The first record with the largest timestamp among those that may be read.
async fn by_largest_time(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
) -> Result<Option<FoundOffset>, ColdError> {
    restore_tail(shared, io, key, incarnation).await?;
    let (mut largest, partly) = {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let log = &state.partitions[key].log;
        let end = state.readable_end(key);
        // What is above the high watermark is in memory: leave it out there, and take segments
        // that are wholly below it at their word.
        let in_memory = log.tail().filter(|batch| batch.last_offset < end);
        let newest = in_memory.map(|batch| batch.max_timestamp_ms).max();
        let unreadable = log.tail().any(|batch| batch.last_offset >= end);
        let is_whole = |segment: &Segment| !unreadable || segment.next_offset <= end;
        let (whole, partly): (Vec<&Segment>, Vec<&Segment>) =
            log.segments().iter().partition(|segment| is_whole(segment));
        let stored = whole.iter().map(|segment| segment.max_timestamp_ms).max();
        let mut parts = Vec::new();
        for segment in partly {
            let limit = log.file_limit(segment.base_offset);
            let index = segment.index.as_ref();
            let entries = index.map_or(&[][..], |index| index.entries());
            let known = entries.iter().rev().find(|e| u64::from(e.position) < limit);
            parts.push((segment.base_offset, known.copied(), limit));
        }
        (newest.max(stored), parts)
    };
    // Of the others, what is in the file is below it too.
    for (segment_base, known, limit) in partly {
        let from = known.map_or(0, |entry| u64::from(entry.position));
        largest = largest.max(known.map(|entry| entry.max_timestamp_ms));
        let visit = |batch: Passed| {
            largest = largest.max(Some(batch.max_timestamp_ms));
            true
        };
        walk(
            shared,
            io,
            key,
            incarnation,
            segment_base,
            from,
            limit,
            visit,
        )
        .await?;
    }
    match largest {
        Some(largest) if largest >= 0 => by_time(shared, io, key, incarnation, largest).await,
        _ => Ok(None),
    }
}

/// The first record at or after a time.
async fn by_time(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    timestamp_ms: i64,
) -> Result<Option<FoundOffset>, ColdError> {
    let mut behind = Offset(-1);
    loop {
        let segment_base = {
            let state = shared.borrow();
            if !state.is_same(key, incarnation) {
                return Err(ColdError::Gone);
            }
            let mut segments = state.partitions[key].log.segments().iter();
            let candidate = segments.find(|segment| {
                segment.base_offset > behind && segment.max_timestamp_ms >= timestamp_ms
            });
            match candidate {
                Some(segment) => segment.base_offset,
                None => return Ok(None),
            }
        };
        let found = in_segment(shared, io, key, incarnation, segment_base, timestamp_ms).await?;
        if found.is_some() {
            return Ok(found);
        }
        behind = segment_base;
    }
}

async fn in_segment(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
    segment_base: Offset,
    timestamp_ms: i64,
) -> Result<Option<FoundOffset>, ColdError> {
    restore_tail(shared, io, key, incarnation).await?;
    load_index(shared, io, key, incarnation, segment_base).await?;
    let from = {
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let log = &state.partitions[key].log;
        let segment = log.segment(segment_base).ok_or(ColdError::Gone)?;
        let index = segment.index.as_ref();
        index.map_or(0, |index| index.position_for_time(timestamp_ms))
    };
    let mut behind = u64::from(from);
    loop {
        let limit = {
            let state = shared.borrow();
            if !state.is_same(key, incarnation) {
                return Err(ColdError::Gone);
            }
            // Looked at anew each time: meanwhile batches move from the tail to the file.
            let limit = state.partitions[key].log.file_limit(segment_base);
            if behind >= limit {
                return Ok(in_tail(&state, key, segment_base, timestamp_ms));
            }
            limit
        };
        let mut candidate = None;
        let visit = |batch: Passed| {
            if batch.max_timestamp_ms >= timestamp_ms {
                candidate = Some(batch);
            }
            candidate.is_none()
        };
        walk(
            shared,
            io,
            key,
            incarnation,
            segment_base,
            behind,
            limit,
            visit,
        )
        .await?;
        let Some(batch) = candidate else {
            behind = limit;
            continue;
        };
        let position = batch.position;
        let size = batch.size;
        let content = read_part(shared, io, key, incarnation, segment_base, position, size).await?;
        let state = shared.borrow();
        if !state.is_same(key, incarnation) {
            return Err(ColdError::Gone);
        }
        let start = state.partitions[key].log.log_start();
        if let Some(found) = in_batch(&content, timestamp_ms, start) {
            return Ok((found.offset < state.readable_end(key)).then_some(found));
        }
        behind = position + size;
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
