//! Checkpoints: what a shard knows becomes one durable file, so that the journal before it can be
//! used again and a restart replays only what came after.

use sillon_buffer::planted::{self, Bug};
use sillon_journal::ChainPoint;
use sillon_log::partition::{CHECKPOINT_INDEX_ENTRIES_MAX, PartitionLog};
use sillon_log::{
    CheckpointBuilder, CheckpointHeader, LEADER_EPOCH_FILE, LeaderEpochs, PartitionCheckpointRef,
    SegmentIndex, encode_partition,
};
use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation, TopicPartition};

use crate::checkpoint_file::store;
use crate::procedure::{Call, Io, done, yield_now};
use crate::small_file::write_file;
use crate::state::{Phase, Shared, State};
use crate::{DiskError, DiskOp, DiskResult, FileId, ShardConfig, reserve};

/// A checkpoint begins at the latest this long after the last one, in ns.
const AFTER_NS: u64 = 30_000_000_000;

/// One that found no space is tried again after this long, in ns.
const AGAIN_AFTER_NS: u64 = 1_000_000_000;

/// Kafka's `producer.id.expiration.ms`: a day.
const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

/// fdatasyncs in flight: measured, 1,000 segments take 9-14 ms this way and 49-61 ms one by one.
const SYNCS_MAX: usize = 16;

/// Partitions whose state is copied between two other events.
const COPIES_PER_SLICE: usize = 32;

impl State {
    /// Begins a checkpoint when one is due.
    pub(crate) fn checkpoint_if_due(&mut self, io: &Io) {
        let now_ns = self.now.mono_ns;
        let (ended_ns, is_wanted) = (self.checkpoint.ended_ns, self.checkpoint.is_wanted);
        let recovery_bytes_max = self.config.recovery_bytes_max;
        if self.checkpoint.is_running
            || self.checkpoint.waits_for_seal
            || now_ns < self.checkpoint.not_before_ns
        {
            return;
        }
        let Some(journal) = self.journal.as_ref() else {
            return;
        };
        let used = journal.writer.used_bytes();
        let is_due = is_wanted
            || used > journal.writer.capacity_bytes() / 2
            || used > recovery_bytes_max / 2
            || (used > 0 && now_ns.saturating_sub(ended_ns) > AFTER_NS);
        if !is_due || matches!(self.phase, Phase::Failed(_) | Phase::Opening) {
            return;
        }
        let last = journal.writer.last_sequence();
        if journal.gather.is_empty() {
            self.begin_checkpoint(io, last);
        } else {
            self.checkpoint.waits_for_seal = true;
        }
    }

    /// Everything through round `through`, the last one sealed, and nothing else, goes into the
    /// next checkpoint. The gather must be empty.
    pub(crate) fn begin_checkpoint(&mut self, io: &Io, through: u64) {
        self.checkpoint.generation += 1;
        self.checkpoint.is_gathering = true;
        self.checkpoint.is_running = true;
        self.checkpoint.is_wanted = false;
        self.checkpoint.parts.clear();
        for (_, partition) in &mut self.partitions {
            partition.image_is_due = partition.log.ends_within_a_block();
        }
        self.limit_producers();
        let chain = self.journal().writer.chain_point();
        let shared = self.shared.upgrade().expect("a shard owns its state");
        io.spawn(checkpoint(shared, io.clone(), through, chain));
    }

    /// Forgets producers that have rested for a day, and, when there are too many, those that
    /// have rested for longest.
    fn limit_producers(&mut self) {
        let now_ms = self.now.wall_ms;
        let mut count = 0;
        for (_, partition) in &mut self.partitions {
            let producers = partition.log.producers_mut();
            producers.expire(now_ms, PRODUCER_EXPIRATION_MS);
            count += producers.len();
        }
        let count_max = self.config.memory.producers_max;
        if count <= count_max {
            return;
        }
        let mut forgotten = 0;
        for (_, partition) in &mut self.partitions {
            let producers = partition.log.producers_mut();
            forgotten += producers.limit(producers.len() * count_max / count);
        }
        self.log(
            crate::LogLevel::Warn,
            format!(
                "{count} idempotent producers are more than the {count_max} that --memory has \
                 room for: the {forgotten} that were idle for longest are forgotten"
            ),
        );
    }

    /// A checkpoint found no space: a full ring holds producers back until there is some. Meanwhile
    /// no checkpoint runs, so that others see to making room.
    fn try_again(&mut self) {
        self.found_no_space();
        self.checkpoint.is_running = false;
        self.checkpoint.is_wanted = true;
        self.checkpoint.not_before_ns = self.now.mono_ns + AGAIN_AFTER_NS;
    }

    /// Copies a partition's state for the checkpoint that is being gathered, before it changes.
    pub(crate) fn copy_for_checkpoint(&mut self, key: usize) {
        let generation = self.checkpoint.generation;
        let partition = &mut self.partitions[key];
        if !self.checkpoint.is_gathering || partition.encoded_in == generation {
            return;
        }
        partition.encoded_in = generation;
        let mut encoded = Vec::new();
        encode(partition, &mut encoded);
        self.checkpoint.parts.insert(key, encoded);
    }

    fn unsynced_files(&mut self) -> Vec<(FileId, bool, std::sync::Arc<str>)> {
        let mut files = Vec::new();
        for (_, partition) in &mut self.partitions {
            for open in &mut partition.open {
                if open.is_unsynced || open.is_new {
                    files.push((open.file, open.is_new, partition.folder.clone()));
                    open.is_unsynced = false;
                    open.is_new = false;
                }
            }
        }
        files
    }

    /// Segments that are complete and written, but still open.
    fn segments_to_close(&mut self) -> Vec<(usize, PartitionIncarnation, Offset)> {
        let mut found = Vec::new();
        for (key, partition) in &self.partitions {
            let active = partition.log.active().base_offset;
            let written = partition.log.written_segment();
            for open in &partition.open {
                let base = open.base_offset;
                let is_written = base < written
                    || partition
                        .log
                        .segment(base)
                        .is_some_and(|s| partition.log.written_bytes(base) == s.size_bytes);
                if base < active && is_written && !open.is_allocating {
                    found.push((key, partition.incarnation, base));
                }
            }
        }
        found
    }
}

/// Appends what a checkpoint keeps of a partition.
pub(crate) fn encode(partition: &crate::partition::Partition, out: &mut Vec<u8>) {
    let place = Place {
        id: partition.id,
        incarnation: partition.incarnation,
        topic_name: &partition.topic_name,
        high_watermark: partition.high_watermark(),
        leader_epoch: partition.leader_epoch(),
        is_swapping: partition.swapping.is_some(),
    };
    encode_log(&place, &partition.log, out);
}

/// Which partition a log is of, and what is agreed on about it.
pub(crate) struct Place<'a> {
    pub(crate) id: TopicPartition,
    pub(crate) incarnation: PartitionIncarnation,
    pub(crate) topic_name: &'a str,
    pub(crate) high_watermark: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) is_swapping: bool,
}

/// Appends what a checkpoint keeps of a log.
pub(crate) fn encode_log(place: &Place<'_>, log: &PartitionLog, out: &mut Vec<u8>) {
    let index = log.active().index.as_ref();
    let index = index.map(|index| index.thinned(CHECKPOINT_INDEX_ENTRIES_MAX));
    encode_partition(
        &PartitionCheckpointRef {
            topic: place.id.topic,
            partition: place.id.partition,
            incarnation: place.incarnation,
            topic_name: place.topic_name,
            log_start: log.planned_start(),
            high_watermark: place.high_watermark,
            next_offset: log.next_offset(),
            compacted_to: log.compacted_to(),
            is_swapping: place.is_swapping,
            leader_epoch: place.leader_epoch,
            segments: &log.segment_infos(),
            active_index: &index.unwrap_or_default(),
            epochs: log.epochs(),
            producers: log.producers(),
        },
        out,
    );
}

/// The header of a checkpoint of rounds through `through`, after which the journal goes on at
/// `chain`.
pub(crate) fn header(
    config: &ShardConfig,
    through: u64,
    chain: ChainPoint,
    is_clean: bool,
) -> CheckpointHeader {
    CheckpointHeader {
        shard_count: config.shards,
        shard: config.shard.0,
        journal_id: config.journal.0,
        incarnation: config.incarnation.0,
        next_sequence: chain.next_sequence,
        file: chain.position.file,
        offset: chain.position.offset,
        previous_checksum: chain.previous_checksum,
        durable_through: chain.durable_through.max(through),
        applied_sequence: through,
        is_clean,
    }
}

async fn checkpoint(shared: Shared, io: Io, through: u64, chain: ChainPoint) {
    let began_ns = shared.borrow().now.mono_ns;
    match run(&shared, &io, through, chain).await {
        Ok(reserve_is_spent) => {
            shared.borrow_mut().checkpoint.reserve_is_spent |= reserve_is_spent;
            restore_reserve(&shared, &io).await;
            let mut state = shared.borrow_mut();
            let now_ns = state.now.mono_ns;
            state.checkpoint.is_running = false;
            state.checkpoint.ended_ns = now_ns;
            state.checkpoint.count += 1;
            let took_ms = now_ns.saturating_sub(began_ns) / 1_000_000;
            state.log(
                crate::LogLevel::Debug,
                format!("checkpoint of rounds through {through}, {took_ms} ms after its beginning"),
            );
            state.resume_stalled(&io);
            state.wake_background(&io);
        }
        Err(DiskError::NoSpace) => shared.borrow_mut().try_again(),
        Err(error) => {
            let mut state = shared.borrow_mut();
            state.fail(format!(
                "a checkpoint cannot be written: {error}. Its log directory is offline; nothing \
                 acknowledged is lost: the journal has it. Mend the disk, then start again"
            ));
        }
    }
}

/// Sets space aside again when it was needed and there is some.
async fn restore_reserve(shared: &Shared, io: &Io) {
    let bytes = {
        let state = shared.borrow();
        if !state.checkpoint.reserve_is_spent {
            return;
        }
        reserve::reserve_bytes(state.config.ring, state.config.shards)
    };
    if reserve::set_aside(io, bytes).await == Ok(true) {
        shared.borrow_mut().checkpoint.reserve_is_spent = false;
    }
}

/// What is to be durable of a checkpoint. Whether that took the space that is set aside for a full
/// disk.
async fn run(shared: &Shared, io: &Io, through: u64, chain: ChainPoint) -> Result<bool, DiskError> {
    gather(shared, io).await;
    written_back_through(shared, io, through).await?;
    if !planted::is(Bug::CheckpointBeforeFlush) {
        sync_segments(shared, io).await?;
    }
    close_segments(shared, io).await?;
    if planted::is(Bug::RecycleBeforeCheckpoint) {
        shared.borrow_mut().journal().writer.recycle(through);
    }
    let (config, parts, is_clean) = {
        let mut state = shared.borrow_mut();
        let is_stopping = state.phase == Phase::Stopping;
        let journal = state.journal();
        // Nothing may come behind a clean checkpoint: replay is then skipped.
        let is_last = journal.gather.is_empty() && journal.writer.last_sequence() == through;
        let is_clean = is_stopping && is_last;
        let parts = std::mem::take(&mut state.checkpoint.parts);
        (state.config.clone(), parts, is_clean)
    };
    let mut builder = CheckpointBuilder::new(header(&config, through, chain, is_clean));
    for part in parts.values() {
        builder.push_encoded(part);
    }
    let reserve_is_spent = store(io, &config, &builder.finish()).await?;
    if !planted::is(Bug::RecycleBeforeCheckpoint) {
        shared.borrow_mut().journal().writer.recycle(through);
    }
    Ok(reserve_is_spent)
}

async fn gather(shared: &Shared, io: &Io) {
    let keys: Vec<usize> = {
        let state = shared.borrow();
        state.partitions.iter().map(|(key, _)| key).collect()
    };
    for slice in keys.chunks(COPIES_PER_SLICE) {
        {
            let mut state = shared.borrow_mut();
            for key in slice {
                if state.partitions.contains(*key) {
                    state.copy_for_checkpoint(*key);
                }
            }
        }
        if keys.len() > COPIES_PER_SLICE {
            yield_now(io).await;
        }
    }
    shared.borrow_mut().checkpoint.is_gathering = false;
}

/// Waits until every batch of rounds up to `through` is in its segment file.
async fn written_back_through(shared: &Shared, io: &Io, through: u64) -> Result<(), DiskError> {
    loop {
        let changed = {
            let mut state = shared.borrow_mut();
            if let Phase::Failed(reason) = &state.phase {
                return Err(DiskError::Io {
                    path: "".into(),
                    operation: "checkpoint",
                    message: reason.clone(),
                });
            }
            let is_new = state.checkpoint.target_round < through;
            state.checkpoint.target_round = state.checkpoint.target_round.max(through);
            let is_flushed = {
                let journal = state.journal();
                if journal.writer.durable_through() < through {
                    journal.flush_is_wanted = true;
                }
                journal.writer.durable_through() >= through
            };
            let is_written = state
                .dirty
                .first()
                .is_none_or(|(round, _)| *round > through);
            if is_flushed && is_written {
                return Ok(());
            }
            if is_new {
                state.wake_background(io);
            }
            state.changed.clone()
        };
        changed.wait(io).await;
    }
}

async fn all_flushed(calls: &mut Vec<Call>) -> Result<(), DiskError> {
    let mut result = Ok(());
    for call in calls.drain(..) {
        let one = flushed(call.await);
        if result.is_ok() {
            result = one;
        }
    }
    result
}

async fn sync_segments(shared: &Shared, io: &Io) -> Result<(), DiskError> {
    let files = shared.borrow_mut().unsynced_files();
    let mut calls = Vec::new();
    for (file, is_new, folder) in files {
        calls.push(io.call(DiskOp::Sync { file }));
        if is_new {
            calls.push(io.call(DiskOp::SyncFolder { path: folder }));
        }
        if calls.len() >= SYNCS_MAX {
            all_flushed(&mut calls).await?;
        }
    }
    all_flushed(&mut calls).await
}

/// Closes segments that are complete: real length, indexes, and no descriptor. Without space for
/// the indexes a segment keeps its descriptor until there is some.
async fn close_segments(shared: &Shared, io: &Io) -> Result<(), DiskError> {
    let segments = shared.borrow_mut().segments_to_close();
    for (key, incarnation, base) in segments {
        let (file, size, folder, index, epochs) = {
            let mut state = shared.borrow_mut();
            if !state.is_same(key, incarnation) {
                continue;
            }
            let partition = &mut state.partitions[key];
            let folder = partition.folder.clone();
            let Some(open) = partition.open_file(base) else {
                continue;
            };
            let file = open.file;
            let Some(segment) = partition.log.segment(base) else {
                continue;
            };
            let epochs = partition.log.epochs().clone();
            (
                file,
                segment.size_bytes,
                folder,
                segment.index.clone(),
                epochs,
            )
        };
        let closed = close_segment(io, file, size, &folder, index.as_ref(), &epochs).await;
        let mut state = shared.borrow_mut();
        if closed == Err(DiskError::NoSpace) {
            state.found_no_space();
            continue;
        }
        closed?;
        if state.is_same(key, incarnation) {
            let partition = &mut state.partitions[key];
            partition.open.retain(|open| open.base_offset != base);
            partition.log.set_index(base, None);
        }
    }
    Ok(())
}

/// Gives a complete segment its real length and writes its indexes, all durable, and closes it.
/// Without space for the indexes it stays open and has its length.
pub(crate) async fn close_segment(
    io: &Io,
    file: FileId,
    size: u64,
    folder: &str,
    index: Option<&SegmentIndex>,
    epochs: &LeaderEpochs,
) -> Result<(), DiskError> {
    // First, because it gives back space.
    done(io.call(DiskOp::Truncate { file, len: size }).await)?;
    flushed(io.call(DiskOp::Sync { file }).await)?;
    write_side_files(io, folder, index, epochs).await?;
    done(io.call(DiskOp::Close { file }).await)?;
    let path = folder.into();
    flushed(io.call(DiskOp::SyncFolder { path }).await)
}

/// Writes the files that Kafka keeps beside a segment. Sillon makes them again when they are
/// missing; tools that look at the folder want them.
pub(crate) async fn write_side_files(
    io: &Io,
    folder: &str,
    index: Option<&SegmentIndex>,
    epochs: &LeaderEpochs,
) -> Result<(), DiskError> {
    if let Some(index) = index {
        let base = index.base_offset();
        let offsets = sillon_log::encode_offset_index(index.entries());
        let times = sillon_log::encode_time_index(index);
        // In this order: both are needed, and of the second one a part does no harm.
        let offset_path = sillon_log::offset_index_path(folder, base);
        write_file(io, &sillon_log::time_index_path(folder, base), &times).await?;
        write_file(io, &offset_path, &offsets).await?;
    }
    let path = format!("{folder}/{LEADER_EPOCH_FILE}");
    write_file(io, &path, epochs.encode().as_bytes()).await
}

/// A flush that fails is final, whatever the reason: the system may have dropped what it was to
/// flush.
fn flushed(result: DiskResult) -> Result<(), DiskError> {
    match result {
        Ok(_) => Ok(()),
        Err(DiskError::NoSpace) => Err(DiskError::Io {
            path: "".into(),
            operation: "fdatasync",
            message: "no space left for what was written".into(),
        }),
        Err(error) => Err(error),
    }
}
