use std::io;
use std::path::PathBuf;

use sillon_shard::{BootError, DiskError};

use crate::{Finding, FolderLockError};

/// What a service reports when it cannot go on.
pub type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder could not be made.
    #[error(
        "cannot make the data folder {}: {source}; give one that the broker's user may write with \
         --data-dir", path.display()
    )]
    DataFolder {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The data folder is another's.
    #[error(transparent)]
    Lock(#[from] FolderLockError),
    /// The host lacks something.
    #[error("this host lacks what a broker needs: {}", sentence(.0))]
    Host(Vec<Finding>),
    /// SIGTERM and SIGINT cannot be watched.
    #[error("cannot watch signals: {0}")]
    Signals(io::Error),
    /// There is no thread to compact on.
    #[error("cannot start the thread that compacts: {0}")]
    Compactor(io::Error),
    /// The system gives no random numbers.
    #[error("cannot draw random numbers: {0}")]
    Entropy(String),
    /// An executor could not be started.
    #[error("cannot start shard {shard}: {message}")]
    Executor {
        /// Its shard.
        shard: u16,
        /// What is wrong.
        message: String,
    },
    /// An executor could not use the data folder.
    #[error("shard {shard} cannot use the data folder: {source}")]
    Disk {
        /// Its shard.
        shard: u16,
        /// What went wrong.
        source: DiskError,
    },
    /// What is in the data folder does not allow a start.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A shard's log directory is offline.
    #[error("shard {shard} cannot go on: {reason}")]
    Shard {
        /// Which.
        shard: u16,
        /// Its words: the place, and the way out.
        reason: String,
    },
    /// The metadata log could not be written: what became of the change shows at the next start.
    #[error("the metadata log cannot be written: {0}")]
    Metadata(DiskError),
    /// A service could not go on.
    #[error("shard {shard}: {source}")]
    Service {
        /// Its shard.
        shard: u16,
        /// Its words.
        source: ServiceError,
    },
    /// A bug: the thread's words are in the log.
    #[error("the thread of shard {shard} panicked; please report this with the log")]
    Panicked {
        /// Which.
        shard: u16,
    },
    /// Shards did not stop in time. Their data is safe; the next start replays their journals.
    #[error("shards {shards:?} did not stop within {waited_ms} ms; the next start recovers them")]
    StopTimeout {
        /// Which.
        shards: Vec<u16>,
        /// How long they were given.
        waited_ms: u64,
    },
}

/// The node is stopping: whatever was asked may or may not have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker is stopping")]
pub struct Stopping;

fn sentence(findings: &[Finding]) -> String {
    let texts: Vec<String> = findings.iter().map(Finding::to_string).collect();
    texts.join(". ")
}
