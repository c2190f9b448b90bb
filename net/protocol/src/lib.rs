//! The Kafka protocol: which APIs are served in which versions and within which limits, frames
//! and headers, our own zero-copy codec for Produce and Fetch, and bounded generated messages for
//! everything else.
//!
//! No socket, no state, no clock: bytes in, values out, and back. A length that a peer names is
//! compared with the bytes that are there before anything is reserved for it.
#![forbid(unsafe_code)]

mod error;
pub mod fetch;
pub mod frame;
pub mod message;
pub mod produce;
mod topic;
mod topics;
pub mod versions;
mod wire;

pub use error::ErrorCode;
pub use topic::{CurrentLeader, NodeEndpoint, Text, Topic, TopicKey};
pub use versions::{Api, ApiSpec};
pub use wire::{Frame, WireError};
