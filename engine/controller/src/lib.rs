//! Cluster metadata as a log of records and the pure function that applies them.
//!
//! Every shard holds an [`Image`] and applies the same records in the same order; the
//! [`Controller`] alone decides which records there are. No I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod alter_configs;
mod append;
mod broker_families;
mod broker_keys;
mod broker_table;
mod config;
mod config_keys;
mod config_kind;
mod configs_page;
mod controller;
mod create;
mod create_partitions;
mod delete;
mod effective;
mod image;
mod name;
mod record;
mod request;
mod topic_table;
mod treatments;

pub use append::{APPEND_BYTES_MAX, Append, AppendError, decode_append, encode_append};
pub use broker_keys::{BrokerKey, Family, Update};
pub use config::{CleanupPolicy, CompressionType, InvalidConfig, Ratio, TopicConfig};
pub use config_keys::{ConfigKey, Treatment};
pub use config_kind::{ConfigKind, VALUE_BYTES_MAX};
pub use configs_page::configs_page;
pub use controller::{
    Controller, ControllerAction, ControllerEvent, ControllerOptions, PRODUCER_ID_BLOCK,
};
pub use create::{CREATED_CONFIGS_MAX, CREATED_PARTITIONS_MAX, PARTITIONS_MAX};
pub use effective::{BrokerSettings, ConfigSource, ConfigSynonym, EffectiveConfig, Settings};
pub use image::{Broker, Image, Partition, Topic};
pub use name::{NAME_BYTES_MAX, NameFault, check_topic_name};
pub use record::*;
pub use request::*;
