//! Runs shards on glommio: one executor a core, with the shard's state machine, its disk, its
//! mailbox, and whatever service is given (the Kafka server).
//!
//! [`run`] is a node from start to stop. A service sees its executor as a [`Core`]: it calls
//! shards, wherever they are, asks the controller, and looks at the metadata.
//!
//! What glommio does not do by itself is here, each thing in one place: reactor turns
//! ([`Core::reactor_turn`]), the heartbeat (`heartbeat`), mailboxes between cores (`mailbox`), and
//! threads for blocking calls that may run anywhere (`thread`).
#![forbid(unsafe_code)]

mod clock;
mod compactor;
mod control;
mod core;
mod cores;
mod entropy;
mod error;
mod executor;
mod folder_lock;
mod heartbeat;
mod home;
mod life;
mod local;
mod mail;
mod mailbox;
mod mount;
mod node;
mod options;
mod pending;
mod perform;
mod probe;
mod stop;
mod thread;
mod turn;
mod waiters;

pub use self::core::{Call, Core};
pub use clock::{Clock, SystemClock};
pub use cores::default_shards;
pub use error::{NodeError, ServiceError, Stopping};
pub use folder_lock::{FolderLock, FolderLockError, LOCK_FILE};
pub use node::{ServiceFuture, run};
pub use options::{NodeOptions, Ready};
pub use probe::{Finding, Needs, Verdict, io_memory_bytes, probe, raise_limits};
pub use sillon_shard::message_bytes_max;
pub use stop::StopHandle;
