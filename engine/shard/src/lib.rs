//! One core's state machine: [`Event`]s in, [`Action`]s out.
//!
//! A shard owns its partitions, one journal and their memory. It does no I/O, reads no clock and
//! draws no randomness: the runtime performs its actions against a real disk, the simulator
//! against a simulated one, and both run this very code.
#![forbid(unsafe_code)]

mod action;
mod boot;
mod checkpoint;
mod checkpoint_file;
mod cold;
mod compaction;
mod compaction_pass;
mod compaction_swap;
mod config;
mod describe;
mod event;
mod fetch;
mod group;
mod group_load;
mod io;
mod layout;
mod lifecycle;
mod lookup;
mod metadata_log;
mod node_config;
mod partition;
mod partition_files;
mod prepare;
mod procedure;
mod produce;
mod recovery;
mod request;
mod reserve;
mod retention;
mod round;
mod shard;
mod small_file;
mod space;
mod state;
mod write_back;
mod zeroing;

pub use action::{Action, LogLevel};
pub use boot::{Boot, BootError, Entropy, Opened};
pub use cold::{READ_INDEXES_BYTES_MAX, RECENTLY_READ_MAX};
pub use config::{CompactionConfig, ShardConfig, ShardMemory};
pub use event::{Event, Now, TICK_MS};
pub use group::group_partition;
pub use io::*;
pub use layout::{CHECKPOINT, METADATA_LOG, journal_folder, ring_file};
pub use metadata_log::{MetadataLog, MetadataLogError, read_metadata_log};
pub use node_config::{JOURNAL_BYTES, NodeConfig, message_bytes_max, ring_layout};
pub use request::*;
pub use reserve::reserve_bytes;
pub use shard::Shard;
pub use sillon_journal::ROUND_BYTES_MAX;
