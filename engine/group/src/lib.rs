//! The group coordinator: members, generations, assignments and committed offsets of consumer
//! groups in Kafka's classic protocol.
//!
//! A [`Coordinator`] serves the groups of those partitions of `__consumer_offsets` that its shard
//! owns. It does no I/O, reads no clock and draws no randomness: requests, the time and random ids
//! come in, [`Effect`]s go out. What must survive a crash (committed offsets, stable groups) is
//! appended to the group's partition first, in Kafka's own record formats, and counts when
//! [`Coordinator::appended`] says that it is durable. Memory is rebuilt from those records by
//! [`Coordinator::load`].
#![forbid(unsafe_code)]

mod admin;
mod config;
mod coordinator;
mod error;
mod expiry;
mod group;
mod heartbeat;
mod join;
mod leave;
mod load;
mod member;
mod memory;
mod offset_commit;
mod offsets;
mod partition;
mod rebalance;
pub mod records;
mod request;
mod response;
mod subscription;
mod sync;
mod turn;

pub use config::GroupConfig;
pub use coordinator::Coordinator;
pub use error::{AppendError, GroupError};
pub use group::GroupState;
pub use partition::partition_of;
pub use request::*;
pub use response::*;
pub use turn::{Effect, LogRecord, Now, RequestId};
