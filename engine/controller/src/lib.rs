//! Cluster metadata as a log of records and the pure function that applies them.
//!
//! Every shard holds an [`Image`] and applies the same records in the same order; the
//! [`Controller`] alone decides which records there are. No I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod append;
mod config;
mod config_keys;
mod controller;
mod create;
mod delete;
mod image;
mod name;
mod record;
mod request;

pub use append::{APPEND_BYTES_MAX, Append, AppendError, decode_append, encode_append};
pub use config::{CleanupPolicy, CompressionType, InvalidConfig, TopicConfig};
pub use config_keys::{ConfigKey, ConfigKind};
pub use controller::{
    Controller, ControllerAction, ControllerEvent, ControllerOptions, PRODUCER_ID_BLOCK,
};
pub use create::{CREATED_PARTITIONS_MAX, PARTITIONS_MAX};
pub use image::{Broker, Image, Partition, Topic};
pub use name::{NAME_BYTES_MAX, NameFault, check_topic_name};
pub use record::*;
pub use request::*;
