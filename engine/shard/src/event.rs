use std::sync::Arc;

use sillon_controller::MetadataRecord;
use sillon_log::compaction::Compaction;

use crate::{DiskResult, OpId, Request, Ticket};

/// The time, as the runtime or the simulator sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment, never going back, in nanoseconds.
    pub mono_ns: u64,
    /// Wall clock, in ms since the Unix epoch. No decision about safety rests on it.
    pub wall_ms: i64,
}

/// Longest time between two [`Event::Tick`]s of a shard that has something to do, in ms.
pub const TICK_MS: u64 = 10;

/// What happens to a shard.
#[derive(Debug)]
pub enum Event {
    /// A request for partitions that this shard owns.
    Request {
        /// Where its answer goes.
        ticket: Ticket,
        /// What is asked.
        request: Request,
    },
    /// Nobody waits for this answer any more.
    Cancel {
        /// Whose.
        ticket: Ticket,
    },
    /// Cluster metadata has grown by these records, which are durable. Every shard gets all of
    /// them, in order.
    Metadata(Arc<[MetadataRecord]>),
    /// A disk operation has completed.
    Disk {
        /// Which.
        op: OpId,
        /// How.
        result: DiskResult,
    },
    /// Work has been run.
    Computed {
        /// Which.
        op: OpId,
        /// The work, with what came of it.
        work: Box<Compaction>,
    },
    /// Time has passed. Comes at least every [`crate::TICK_MS`] while anything waits, and more
    /// slowly on a shard that has nothing to do.
    Tick,
    /// Finish what is in flight, write back, checkpoint, then [`crate::Action::Stopped`].
    Stop,
}
