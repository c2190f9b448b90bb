use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

use sillon_buffer::Pool;
use sillon_buffer::planted::{self, Bug};
use sillon_controller::Image;
use sillon_group::GroupConfig;
use sillon_journal::{ChainPoint, Gather, Incarnation, Writer};
use sillon_record::{PartitionIncarnation, TopicPartition};
use slab::Slab;

use crate::checkpoint::{encode, header, write_side_files};
use crate::checkpoint_file::store;
use crate::compaction::{CompactionState, compact};
use crate::group::Groups;
use crate::layout::ring_file;
use crate::lifecycle::remove_folder;
use crate::partition::Readiness;
use crate::procedure::{Io, Procedures, Signal, join_all};
use crate::recovery::{Recovered, RecoveryError, Source, empty_log, recover};
use crate::retention::retain;
use crate::state::{CheckpointState, Journal, Pending, Phase, RetentionState, Shared, State};
use crate::write_back::{WORKERS, write_back};
use crate::zeroing::zero_ring;
use crate::{
    Access, Action, DiskError, DiskOp, Event, FileId, Now, Request, ShardConfig, Ticket, owner,
};

/// One core's state machine. See the crate's documentation.
pub struct Shard {
    state: Shared,
    io: Io,
    procedures: Procedures,
}

impl Shard {
    /// Begins to open a shard: its journal is recovered first. Takes requests at once; they are
    /// refused until [`Action::Opened`].
    pub fn open(config: ShardConfig, image: Image, now: Now, actions: &mut Vec<Action>) -> Shard {
        let io = Io::new(0);
        let state = Rc::new_cyclic(|shared: &Weak<RefCell<State>>| {
            let pool = Pool::with_budget(config.memory.chunk_bytes as usize);
            RefCell::new(State {
                groups: Groups::new(GroupConfig {
                    memory_bytes_max: config.memory.groups_bytes,
                    ..config.groups
                }),
                shared: shared.clone(),
                config,
                now,
                image,
                pool,
                partitions: Slab::new(),
                by_id: BTreeMap::new(),
                requests: Slab::new(),
                deadlines: BTreeSet::new(),
                journal: None,
                stalled: VecDeque::new(),
                woken: Vec::new(),
                dirty_bytes: 0,
                clean_bytes: 0,
                evictable: VecDeque::new(),
                recently_read: VecDeque::new(),
                cold_requests: 0,
                dirty: BTreeSet::new(),
                retention: RetentionState::default(),
                compaction: CompactionState::default(),
                space: Default::default(),
                removals: 0,
                checkpoint: CheckpointState::default(),
                phase: Phase::Opening,
                stop_is_wanted: false,
                actions: Vec::new(),
                changed: Signal::default(),
                ticked: Signal::default(),
            })
        });
        io.spawn(open(state.clone(), io.clone()));
        let mut shard = Shard {
            state,
            io,
            procedures: Procedures::default(),
        };
        shard.settle(actions);
        shard
    }

    /// Takes an event and appends what is to be done about it.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        self.state.borrow_mut().now = now;
        match event {
            Event::Disk { op, result } => {
                if op.0 < crate::procedure::FIRST_OPERATION {
                    let mut state = self.state.borrow_mut();
                    state.round_completed(&self.io, op, result);
                    state.resume_stalled(&self.io);
                } else {
                    self.io.complete(op, result);
                }
            }
            Event::Computed { op, work } => self.io.computed(op, work),
            Event::Request { ticket, request } => self.request(ticket, request),
            Event::Cancel { ticket } => self.state.borrow_mut().cancel(ticket),
            Event::Metadata(records) => self.state.borrow_mut().metadata(&self.io, &records),
            Event::Tick => {
                let mut state = self.state.borrow_mut();
                state.expire_fetches(&self.io);
                state.tick_groups(&self.io);
                state.ticked.raise(&self.io);
                if matches!(state.phase, Phase::Failed(_)) {
                    // Whoever waits for something that cannot come any more.
                    state.wake_background(&self.io);
                }
                state.retention_if_due(&self.io);
                state.compaction_if_due(&self.io);
            }
            Event::Stop => self.state.borrow_mut().stop(&self.io),
        }
        self.settle(actions);
    }

    /// The metadata as this shard has it.
    pub fn image(&self) -> Ref<'_, Image> {
        Ref::map(self.state.borrow(), |state| &state.image)
    }

    fn request(&mut self, ticket: Ticket, request: Request) {
        let mut state = self.state.borrow_mut();
        match request {
            Request::Produce(produce) => state.produce(&self.io, ticket, produce),
            Request::Fetch(fetch) => state.fetch(&self.io, ticket, fetch),
            Request::ListOffsets(list) => state.list_offsets(&self.io, ticket, list),
            Request::EpochEnds(questions) => state.epoch_ends(ticket, questions),
            Request::Describe(questions) => state.describe(ticket, questions),
            Request::DeleteRecords(wishes) => state.delete_records(&self.io, ticket, wishes),
            Request::Group(call) => state.group(&self.io, ticket, *call),
        }
    }

    /// Runs what became possible, and hands over what is to be done.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        self.procedures.run(&self.io);
        {
            let mut state = self.state.borrow_mut();
            state.settle_groups(&self.io);
            state.submit_round(&self.io);
            state.checkpoint_if_due(&self.io);
        }
        self.procedures.run(&self.io);
        let mut state = self.state.borrow_mut();
        state.settle_groups(&self.io);
        state.submit_round(&self.io);
        actions.append(&mut state.actions);
        self.io.drain(actions);
    }
}

impl State {
    fn cancel(&mut self, ticket: Ticket) {
        // Only a waiting fetch or group member holds anything that nobody needs; an append goes
        // on.
        let parked = self.deadlines.iter().find_map(|(_, key)| {
            let is_it = matches!(
                self.requests.get(*key),
                Some(Pending::Fetch { ticket: waiting, .. }) if *waiting == ticket
            );
            is_it.then_some(*key)
        });
        match parked {
            Some(key) => drop(self.unpark(key)),
            None => self.cancel_group_request(ticket),
        }
    }

    fn stop(&mut self, io: &Io) {
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Stopping;
                self.refuse_fetches(crate::Refusal::Stopping);
                self.close_groups();
                let shared = self.shared.upgrade().expect("a shard owns its state");
                io.spawn(stop(shared, io.clone()));
            }
            Phase::Failed(_) => {
                self.phase = Phase::Stopped;
                self.actions.push(Action::Stopped);
            }
            // Still opening: it stops as soon as it is open.
            _ => self.stop_is_wanted = true,
        }
    }
}

async fn open(shared: Shared, io: Io) {
    match try_open(&shared, &io).await {
        Ok(replayed_bytes) => {
            let mut state = shared.borrow_mut();
            state.phase = Phase::Open;
            state.checkpoint.ended_ns = state.now.mono_ns;
            state.actions.push(Action::Opened { replayed_bytes });
            for _ in 0..WORKERS {
                io.spawn(write_back(shared.clone(), io.clone()));
            }
            io.spawn(zero_ring(shared.clone(), io.clone()));
            io.spawn(retain(shared.clone(), io.clone()));
            io.spawn(compact(shared.clone(), io.clone()));
            state.open_groups(&io);
            for folder in std::mem::take(&mut state.config.leftovers) {
                io.spawn(remove_folder(shared.clone(), io.clone(), folder));
            }
            if state.stop_is_wanted {
                state.stop(&io);
            }
        }
        Err(error) => shared.borrow_mut().fail(error.to_string()),
    }
}

async fn try_open(shared: &Shared, io: &Io) -> Result<u64, RecoveryError> {
    let (config, image, now_ms) = {
        let state = shared.borrow();
        (state.config.clone(), state.image.clone(), state.now.wall_ms)
    };
    let recovered = recover(&Source {
        io,
        journal: config.journal,
        ring: config.ring,
        image: &image,
        folders: &config.folders,
        now_ms,
    })
    .await?;
    if planted::is(Bug::IncarnationReused) {
        shared.borrow_mut().config.incarnation = Incarnation(recovered.header.incarnation);
    }
    let unknown = shared.borrow().folders_without_log(&recovered);
    for folder in unknown {
        empty_log(io, folder, now_ms).await?;
    }
    let chain = recovered.chain;
    let replayed_bytes = recovered.replayed_bytes;
    shared.borrow_mut().take_recovered(io, recovered);
    begin_life(shared, io, chain).await?;
    Ok(replayed_bytes)
}

impl State {
    /// The partitions that this shard owns, with the names of their folders.
    fn owned_partitions(&self) -> Vec<(TopicPartition, PartitionIncarnation, String)> {
        self.image
            .topics()
            .flat_map(|topic| {
                let of = |partition: &sillon_controller::Partition| {
                    let id = TopicPartition {
                        topic: topic.id,
                        partition: partition.partition,
                    };
                    let folder = sillon_log::partition_folder(&topic.name, partition.partition);
                    (id, partition.incarnation, folder)
                };
                topic.partitions().iter().map(of).collect::<Vec<_>>()
            })
            .filter(|(id, ..)| owner(*id, self.config.shards) == self.config.shard)
            .collect()
    }

    /// Folders of owned partitions of which the journal knows nothing.
    fn folders_without_log(&self, recovered: &Recovered) -> Vec<String> {
        let owned = self.owned_partitions().into_iter();
        owned
            .filter(|(_, incarnation, _)| !recovered.partitions.contains_key(incarnation))
            .map(|(_, _, folder)| folder)
            .filter(|folder| self.config.folders.contains(folder))
            .collect()
    }

    fn take_recovered(&mut self, io: &Io, recovered: Recovered) {
        let mut logs: BTreeMap<PartitionIncarnation, _> = recovered.partitions;
        let owned = self.owned_partitions();
        for (id, incarnation, folder) in owned {
            match logs.remove(&incarnation) {
                Some(found) => {
                    let (clean_bytes, clean_count) = found.log.clean_in_memory();
                    let key = self.insert(id, found.log, found.high_watermark);
                    if let Some(key) = key {
                        self.clean_bytes += clean_bytes;
                        self.evictable.push_back((key, incarnation, clean_count));
                    }
                    if let (Some(key), Some(reason)) = (key, found.offline) {
                        self.take_offline(key, reason);
                    }
                }
                None => {
                    let log = sillon_log::partition::PartitionLog::new(self.now.wall_ms);
                    let key = self.insert(id, log, sillon_record::Offset::ZERO);
                    if let Some(key) = key
                        && !self.config.folders.contains(&folder)
                    {
                        self.partitions[key].readiness = Readiness::Creating;
                        self.create(io, key);
                    }
                }
            }
        }
    }
}

/// Makes the recovered state the beginning of a new life: a checkpoint with a new incarnation is
/// durable before the first append.
async fn begin_life(shared: &Shared, io: &Io, chain: ChainPoint) -> Result<(), DiskError> {
    let through = chain.next_sequence - 1;
    let (config, content) = {
        let state = shared.borrow();
        let header = header(&state.config, through, chain, false);
        let mut builder = sillon_log::CheckpointBuilder::new(header);
        let mut encoded = Vec::new();
        for (_, partition) in &state.partitions {
            encoded.clear();
            encode(partition, &mut encoded);
            builder.push_encoded(&encoded);
        }
        (state.config.clone(), builder.finish())
    };
    let reserve_is_spent = store(io, &config, &content).await?;
    let mut files = Vec::new();
    for number in 0..config.ring.files {
        let path = ring_file(config.journal, number);
        let (file, _) = io.open(path, false, Access::Direct).await?;
        files.push(file);
    }
    let from = ChainPoint {
        durable_through: chain.durable_through.max(through),
        ..chain
    };
    let capacity = u64::from(config.ring.files) * config.ring.file_bytes;
    let mut state = shared.borrow_mut();
    state.checkpoint.reserve_is_spent = reserve_is_spent;
    let incarnation = state.config.incarnation;
    state.journal = Some(Journal {
        writer: Writer::new(config.ring, config.journal, incarnation, from),
        ring: config.ring,
        files,
        gather: Gather::new(),
        gathered: Vec::new(),
        gather_must_flush: false,
        in_flight: None,
        written: through,
        promised_submitted_ns: 0,
        unflushed_bytes: 0,
        unsynced_files: Vec::new(),
        flush_due_ns: None,
        flush_is_wanted: false,
        zeroed_bytes: config.ring_zeroed_bytes.unwrap_or(capacity),
        spare: Vec::new(),
    });
    Ok(())
}

/// Writes back, checkpoints and closes everything.
async fn stop(shared: Shared, io: Io) {
    let mut tries_left = STOP_TRIES;
    while tries_left > 0 {
        let changed = {
            let mut state = shared.borrow_mut();
            if matches!(state.phase, Phase::Failed(_)) {
                state.actions.push(Action::Stopped);
                return;
            }
            for key in std::mem::take(&mut state.stalled) {
                if let Some(partition) = state.partitions.get_mut(key) {
                    partition.is_stalled = false;
                }
            }
            let keys: Vec<usize> = state.partitions.iter().map(|(key, _)| key).collect();
            for key in keys {
                state.refuse_blocked(key, crate::Refusal::Stopping);
            }
            let journal = state.journal();
            let is_journal_quiet = journal.in_flight.is_none() && journal.gather.is_empty();
            let mut open = state
                .partitions
                .iter()
                .flat_map(|(_, partition)| &partition.open);
            let is_quiet = is_journal_quiet
                && open.all(|open| !open.is_allocating)
                && state.cold_requests == 0
                && state.removals == 0;
            if is_quiet && !state.checkpoint.is_running {
                let through = state.journal().writer.last_sequence();
                let count = state.checkpoint.count;
                state.begin_checkpoint(&io, through);
                Err(count)
            } else {
                Ok(state.ticked.clone())
            }
        };
        match changed {
            Ok(ticked) => ticked.wait(&io).await,
            Err(count) => {
                if finish_checkpoint(&shared, &io, count).await {
                    break;
                }
                tries_left -= 1;
            }
        }
    }
    close_all(&shared, &io).await;
    let mut state = shared.borrow_mut();
    state.phase = Phase::Stopped;
    state.actions.push(Action::Stopped);
    state.wake_background(&io);
}

/// Checkpoints that a stop tries on a full disk. Without one the journal has everything, and the
/// next start replays it.
const STOP_TRIES: u32 = 3;

/// Waits for the end of the running checkpoint; whether it succeeded.
async fn finish_checkpoint(shared: &Shared, io: &Io, count: u64) -> bool {
    loop {
        let ticked = {
            let state = shared.borrow();
            if !state.checkpoint.is_running || matches!(state.phase, Phase::Failed(_)) {
                return state.checkpoint.count > count;
            }
            state.ticked.clone()
        };
        ticked.wait(io).await;
    }
}

/// Gives every active segment its real length and its indexes, and closes every file. What fails
/// here has nothing to lose any more: the checkpoint is durable.
async fn close_all(shared: &Shared, io: &Io) {
    let keys: Vec<usize> = {
        let state = shared.borrow();
        state.partitions.iter().map(|(key, _)| key).collect()
    };
    for group in keys.chunks(PARTITIONS_AT_ONCE) {
        let closing = group.iter().map(|key| close_partition(shared, io, *key));
        join_all(closing.collect()).await;
    }
    let files = std::mem::take(&mut shared.borrow_mut().journal().files);
    for file in files {
        let _ = io.call(DiskOp::Close { file }).await;
    }
}

/// Partitions that are closed at the same time.
const PARTITIONS_AT_ONCE: usize = 16;

async fn close_partition(shared: &Shared, io: &Io, key: usize) {
    let (open, reading, active) = {
        let mut state = shared.borrow_mut();
        let partition = &mut state.partitions[key];
        let active_file = partition.active_file().map(|open| open.file);
        let open: Vec<FileId> = partition.open.drain(..).map(|open| open.file).collect();
        let log = &partition.log;
        let segment = log.active();
        let active = (
            active_file,
            partition.folder.clone(),
            segment.size_bytes,
            segment.index.clone(),
            log.epochs().clone(),
        );
        (open, partition.reading.take(), active)
    };
    let (active_file, folder, len, index, epochs) = active;
    if let Some(file) = active_file {
        let _ = io.call(DiskOp::Truncate { file, len }).await;
        let _ = write_side_files(io, &folder, index.as_ref(), &epochs).await;
    }
    for file in open.into_iter().chain(reading.map(|(_, file)| file)) {
        let _ = io.call(DiskOp::Close { file }).await;
    }
}
