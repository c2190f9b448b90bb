use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

use sillon_buffer::Pool;
use sillon_controller::Image;
use sillon_journal::{Gather, RingLayout, Writer};
use sillon_record::{Offset, PartitionIncarnation, TopicPartition};
use slab::Slab;

use crate::compaction::CompactionState;
use crate::group::Groups;
use crate::partition::Partition;
use crate::procedure::{Io, Signal};
use crate::space::Space;
use crate::{Action, FileId, LogLevel, Now, Produce, Request, ShardConfig, Ticket};

/// Everything a shard knows. Procedures share it and never hold a borrow while they wait.
pub(crate) struct State {
    /// This very state, for procedures that it starts.
    pub(crate) shared: Weak<RefCell<State>>,
    pub(crate) config: ShardConfig,
    pub(crate) now: Now,
    pub(crate) image: Image,
    pub(crate) pool: Pool,
    pub(crate) partitions: Slab<Partition>,
    pub(crate) by_id: BTreeMap<TopicPartition, usize>,
    pub(crate) requests: Slab<Pending>,
    /// The coordinator of the groups whose records are in this shard's partitions.
    pub(crate) groups: Groups,
    /// Waiting fetches by deadline (ns).
    pub(crate) deadlines: BTreeSet<(u64, usize)>,
    pub(crate) journal: Option<Journal>,
    /// Partitions whose next append waits for room in the journal or in memory.
    pub(crate) stalled: VecDeque<usize>,
    /// Fetches that a higher watermark may complete. Reused.
    pub(crate) woken: Vec<usize>,
    /// Bytes of all tails that are not in segment files.
    pub(crate) dirty_bytes: u64,
    /// Bytes of all tails that are.
    pub(crate) clean_bytes: u64,
    /// Partitions in the order in which their batches became clean, with how many.
    pub(crate) evictable: VecDeque<(usize, PartitionIncarnation, usize)>,
    /// Requests that look into files.
    pub(crate) cold_requests: usize,
    /// Segments whose files were read, the latest last.
    pub(crate) recently_read: VecDeque<(usize, PartitionIncarnation, Offset)>,
    /// Partitions that may have dirty batches, oldest journal round first.
    pub(crate) dirty: BTreeSet<(u64, usize)>,
    pub(crate) checkpoint: CheckpointState,
    pub(crate) retention: RetentionState,
    pub(crate) compaction: CompactionState,
    pub(crate) space: Space,
    /// Procedures that remove files nobody needs. A stop waits for them, and they do not for it.
    pub(crate) removals: usize,
    pub(crate) phase: Phase,
    /// Stop as soon as recovery has ended.
    pub(crate) stop_is_wanted: bool,
    /// What the shard did besides I/O since the last event: replies, messages.
    pub(crate) actions: Vec<Action>,
    /// Something that background work waits for has changed.
    pub(crate) changed: Signal,
    /// Raised at every tick.
    pub(crate) ticked: Signal,
}

/// A state machine's state, shared with its procedures.
pub(crate) type Shared = Rc<RefCell<State>>;

/// The course of a shard's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Recovering.
    Opening,
    /// Taking requests.
    Open,
    /// Asked to stop: takes none, finishes what it has.
    Stopping,
    /// The log directory is offline; the text says why.
    Failed(String),
    /// Everything is closed.
    Stopped,
}

/// The live journal.
pub(crate) struct Journal {
    pub(crate) writer: Writer,
    pub(crate) ring: RingLayout,
    /// The open ring files.
    pub(crate) files: Vec<FileId>,
    /// Gathers while another round is in flight.
    pub(crate) gather: Gather,
    /// The appends in `gather`.
    pub(crate) gathered: Vec<RoundEntry>,
    /// `gather` must be flushed before its appends are acknowledged.
    pub(crate) gather_must_flush: bool,
    pub(crate) in_flight: Option<InFlight>,
    /// The last round that is written.
    pub(crate) written: u64,
    /// When that round was submitted, in ns.
    pub(crate) promised_submitted_ns: u64,
    /// What was written since the last flush, in bytes.
    pub(crate) unflushed_bytes: u64,
    /// Ring files that were written since their last flush.
    pub(crate) unsynced_files: Vec<u32>,
    /// When what was written or gathered must be flushed although no append waits for it, in ns.
    pub(crate) flush_due_ns: Option<u64>,
    /// A flush is wanted although no append asks for one.
    pub(crate) flush_is_wanted: bool,
    /// The ring may be written below this number of bytes, counted over its files: the rest is
    /// still being zeroed.
    pub(crate) zeroed_bytes: u64,
    /// A reused vector for the next `gathered`.
    pub(crate) spare: Vec<RoundEntry>,
}

/// The round that is being written or flushed.
pub(crate) struct InFlight {
    pub(crate) sequence: u64,
    pub(crate) entries: Vec<RoundEntry>,
    pub(crate) must_flush: bool,
    pub(crate) is_written: bool,
    pub(crate) syncs_left: usize,
    pub(crate) submitted_ns: u64,
}

/// An append in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundEntry {
    pub(crate) partition: usize,
    pub(crate) incarnation: PartitionIncarnation,
    pub(crate) end: Offset,
}

/// How far the current checkpoint is.
#[derive(Default)]
pub(crate) struct CheckpointState {
    /// Counts checkpoints; a partition's `encoded_in` is compared with it.
    pub(crate) generation: u64,
    /// Encoded partitions of the checkpoint that is being gathered.
    pub(crate) parts: BTreeMap<usize, Vec<u8>>,
    /// Whether appends must still copy their partition's state first.
    pub(crate) is_gathering: bool,
    /// A checkpoint runs.
    pub(crate) is_running: bool,
    /// Somebody asked for one.
    pub(crate) is_wanted: bool,
    /// Begin it as soon as the next round is sealed.
    pub(crate) waits_for_seal: bool,
    /// When the last one ended, in ns.
    pub(crate) ended_ns: u64,
    /// How many have ended.
    pub(crate) count: u64,
    /// None begins before this, in ns: the last one found no space.
    pub(crate) not_before_ns: u64,
    /// The space kept for a full disk may have been used.
    pub(crate) reserve_is_spent: bool,
    /// Rounds up to this one must be in the segments before write-back may rest.
    pub(crate) target_round: u64,
}

/// When segments are looked through for what may go.
#[derive(Default)]
pub(crate) struct RetentionState {
    /// The next look, in ns; 0 before the first.
    pub(crate) due_ns: u64,
    /// Raised when it is due.
    pub(crate) is_due: Signal,
}

/// A request that waits.
pub(crate) enum Pending {
    /// For the high watermark, or for room.
    Produce {
        /// Its asker.
        ticket: Ticket,
        /// The request.
        produce: Produce,
        /// Entries without an outcome.
        remaining: usize,
    },
    /// For records.
    Fetch {
        /// Its asker.
        ticket: Ticket,
        /// The request.
        fetch: crate::Fetch,
    },
}

impl State {
    pub(crate) fn partition_key(&self, id: TopicPartition) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: impl Into<String>) {
        self.actions.push(Action::Log {
            level,
            message: message.into(),
        });
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, request: Request) {
        self.actions.push(Action::Reply { ticket, request });
    }

    /// Whether the partition of that key is still the same one.
    pub(crate) fn is_same(&self, key: usize, incarnation: PartitionIncarnation) -> bool {
        self.partitions
            .get(key)
            .is_some_and(|partition| partition.incarnation == incarnation)
    }

    /// Tells background work to look again.
    pub(crate) fn wake_background(&self, io: &Io) {
        self.changed.raise(io);
    }

    pub(crate) fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("an open shard has a journal")
    }
}
