//! Fetch, versions 4 to 18: what a consumer asks for and what it is answered.
//!
//! A response is `[bytes][records of a partition][bytes]...[bytes]`: the writer lays down the
//! bytes and says where the records go, and the broker sends them from where they are.

mod request;
mod response;

pub use request::{FetchHead, FetchPartition, FetchRequest, FetchRequestWriter};
pub use response::{
    AbortedTransaction, DivergingEpoch, FetchResponse, FetchResponseHead, FetchResponseWriter,
    PartitionFetched,
};

/// First version whose topics go by id (KIP-516).
pub const FIRST_VERSION_BY_ID: i16 = 13;

/// First version with fetch sessions (KIP-227).
const FIRST_VERSION_WITH_SESSION: i16 = 7;

/// First version in which the follower's last epoch reveals divergence (KIP-595).
const FIRST_VERSION_WITH_DIVERGENCE: i16 = 12;

/// First version in which node endpoints come with the current leader (KIP-951).
const FIRST_VERSION_WITH_ENDPOINTS: i16 = 16;

fn is_flexible(version: i16) -> bool {
    crate::Api::Fetch.spec().is_flexible(version)
}

fn is_by_id(version: i16) -> bool {
    version >= FIRST_VERSION_BY_ID
}
