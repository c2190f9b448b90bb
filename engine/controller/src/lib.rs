//! Cluster metadata as a log of records and the pure function that applies them.
//!
//! Every shard holds an [`Image`] and applies the same records in the same order; the controller
//! alone decides which records there are. No I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod record;

pub use record::*;
