//! Reference-counted chunks of memory that one owner fills and many readers share.
//!
//! A shard copies each record batch once into a [`ChunkWriter`] of the partition's tail; every
//! later stage (journal round, segment write, fetch response on any core) holds a [`Slice`] of it.
//! The writer only ever writes beyond the published length and a slice only ever sees published
//! bytes, so both can be used at the same time, from different threads, without a lock.
//! The last drop of a chunk gives its memory back to the [`Pool`] that made it.
#![allow(unsafe_code)]

mod chunk;
pub mod planted;
mod pool;

pub use chunk::{ChunkWriter, Slice};
pub use pool::{CLASSES_BYTES, POOL_IDLE_BYTES_MAX, Pool};

/// Size and alignment of a block: the unit of every O_DIRECT write, in bytes.
pub const BLOCK_BYTES: usize = 4096;
