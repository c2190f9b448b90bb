use sillon_controller::{ControlReply, ControlRequest, Image};
use sillon_record::PartitionIncarnation;
use sillon_shard::{Event, Request, ShardConfig, ShardId};

use crate::{NodeError, Stopping};

/// What one executor gets from another, or from the node's main thread. Mails of one sender
/// arrive in order.
pub(crate) enum Mail {
    /// For the shard.
    Event(Event),
    /// The answer to a call of this executor.
    Reply {
        key: u64,
        outcome: Result<Request, Stopping>,
    },
    /// For the controller, at home on executor 0.
    Control {
        asker: ShardId,
        key: u64,
        request: ControlRequest,
    },
    /// The controller's answer.
    ControlReply {
        key: u64,
        outcome: Result<ControlReply, Stopping>,
    },
    /// For the controller: a partition is open, or cannot be.
    PartitionReady {
        incarnation: PartitionIncarnation,
        error: Option<String>,
    },
    /// From the main thread, or executor 0 during the start.
    Order(Order),
}

/// The steps of a node's life, each given when the one before it is done everywhere.
pub(crate) enum Order {
    /// Executor 0: find out what is in the data folder, and tell all executors to open.
    Boot,
    /// Open the shard.
    Open(Box<Opening>),
    /// Start the service.
    Serve,
    /// Tell the service to finish.
    Drain,
    /// Stop the shard.
    StopShard,
    /// End.
    Exit,
}

/// What a shard needs to open.
pub(crate) struct Opening {
    pub(crate) config: ShardConfig,
    pub(crate) image: Image,
    pub(crate) cluster_id: String,
}

/// What executors tell the main thread.
pub(crate) enum Report {
    /// The step that was ordered last is done on this executor.
    Done(ShardId, Step),
    /// Something is broken; the node has to stop.
    Failed(NodeError),
    /// The executor has ended, or never began.
    Gone(ShardId, NodeError),
    /// Somebody wants the node to stop.
    StopAsked,
}

/// What an executor has got done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its disk is there.
    DiskReady,
    /// Executor 0 has read the data folder.
    Booted { cluster_id: String },
    /// Its shard has recovered.
    Opened { replayed_bytes: u64 },
    /// Its service has ended.
    Drained,
    /// Its shard refuses everything: the log directory is offline.
    Broken,
    /// Its shard has stopped.
    Stopped,
}

/// Room for mails of one executor that it has not read: a megabyte's worth of requests would
/// take longer to work off than anybody wants to wait; beyond this, senders keep them and stop
/// reading from their connections.
pub(crate) const MAILBOX_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_takes_less_than_a_quarter_megabyte() {
        assert!(size_of::<Mail>() * MAILBOX_CAPACITY <= 256 << 10);
    }
}
