//! Replication of one partition, as one of its brokers sees it: leader and follower, in-sync
//! replicas, high watermark, leader epochs. No I/O: what is flushed, and where, arrives as calls.
#![forbid(unsafe_code)]

mod replicas;

pub use replicas::Replicas;
