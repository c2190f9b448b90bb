//! What the benchmarks and scenarios share: a node of one shard over any disk, the requests that
//! it gets, a raw io_uring baseline, an allocator that counts, and the reports.
//!
//! Nothing here is part of the broker.
#![deny(unsafe_code)]

pub mod exchange;
pub mod executor;
pub mod folder;
pub mod groups;
pub mod machine;
pub mod memory_disk;
pub mod node;
pub mod report;
#[allow(unsafe_code)]
pub mod sys;
pub mod workload;
