//! Produce, versions 3 to 13: what a producer sends and what it is answered.
//!
//! Records are neither copied nor looked into: a decoded request holds parts of its frame, and a
//! writer leaves a gap where the records go, which their owner sends from where they are.

mod request;
mod response;

pub use request::{ProduceHead, ProducePartition, ProduceRequest, ProduceRequestWriter};
pub use response::{PartitionProduced, ProduceResponse, ProduceResponseWriter, RecordError};

/// First version whose topics go by id (KIP-516).
pub const FIRST_VERSION_BY_ID: i16 = 13;

/// First version that names the current leader (KIP-951).
const FIRST_VERSION_WITH_LEADER: i16 = 10;

/// First version that says which records are wrong (KIP-467).
const FIRST_VERSION_WITH_RECORD_ERRORS: i16 = 8;

fn is_flexible(version: i16) -> bool {
    crate::Api::Produce.spec().is_flexible(version)
}

fn is_by_id(version: i16) -> bool {
    version >= FIRST_VERSION_BY_ID
}
