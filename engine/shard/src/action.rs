use sillon_log::compaction::Compaction;
use sillon_record::PartitionIncarnation;

use crate::{DiskOp, OpId, Request, Ticket};

/// What a shard wants done. Actions of one `handle` are performed in order; disk operations are
/// started in order and complete in any.
#[derive(Debug)]
pub enum Action {
    /// Start a disk operation; its end comes back as [`crate::Event::Disk`].
    Disk {
        /// Its name.
        op: OpId,
        /// What to do.
        io: DiskOp,
    },
    /// Run a piece of compaction's work away from the shard's thread; it comes back as
    /// [`crate::Event::Computed`].
    Compute {
        /// Its name.
        op: OpId,
        /// What to run.
        work: Box<Compaction>,
    },
    /// Hand a request back with its outcomes filled in.
    Reply {
        /// To whom.
        ticket: Ticket,
        /// The request as it came, outcomes filled in.
        request: Request,
    },
    /// A partition's folder is durable, or could not be made: the controller's topic creation
    /// waits for this.
    PartitionReady {
        /// Which.
        incarnation: PartitionIncarnation,
        /// What went wrong.
        error: Option<String>,
    },
    /// The shard has recovered and takes requests.
    Opened {
        /// How many bytes of journal were replayed.
        replayed_bytes: u64,
    },
    /// Something an operator should know, at this level.
    Log {
        /// How bad.
        level: LogLevel,
        /// What, where, and what to do.
        message: String,
    },
    /// The shard cannot go on: its log directory is offline. The text names the place and the way
    /// out.
    Failed(String),
    /// Everything is checkpointed and closed.
    Stopped,
}

/// Weight of a message to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What background work does, for those who look for its traces.
    Debug,
    /// Normal course.
    Info,
    /// Degraded, or soon to be.
    Warn,
    /// Something is lost or refused.
    Error,
}
