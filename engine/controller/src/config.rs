use std::collections::BTreeMap;

use sillon_record::TimestampType;

use crate::config_keys::{ConfigKey, DECOMPRESSED_MAX};

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go by time and size.
    pub delete: bool,
    /// Only the newest record of each key is kept.
    pub compact: bool,
}

/// `compression.type`. The broker stores batches as they were sent, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionType(pub(crate) u8);

impl CompressionType {
    /// As the producer sent it.
    pub const PRODUCER: CompressionType = CompressionType(0);
}

/// A share of 1, to a millionth: `min.cleanable.dirty.ratio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub(crate) u32);

impl Ratio {
    /// As a number from 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / RATIO_PARTS
    }
}

/// Parts that a [`Ratio`] is counted in.
pub(crate) const RATIO_PARTS: f64 = 1_000_000.0;

/// A topic's configuration, as far as the broker acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`
    pub compression_type: CompressionType,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `flush.messages`: 1 flushes before every acknowledgement. Sillon's default, unlike Kafka's.
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `max.decompressed.message.bytes`
    pub max_decompressed_message_bytes: u32,
    /// `max.message.bytes`: the largest batch as sent.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: Ratio,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: u32,
    /// `retention.bytes`; `None` (-1): without bound.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` (-1): for ever.
    pub retention_ms: Option<i64>,
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`
    pub segment_ms: i64,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig {
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            compression_type: CompressionType::PRODUCER,
            delete_retention_ms: 24 * 3_600_000,
            flush_messages: 1,
            flush_ms: i64::MAX,
            max_compaction_lag_ms: i64::MAX,
            max_decompressed_message_bytes: DECOMPRESSED_MAX as u32,
            // 1 MiB and the 12 bytes that `batchLength` does not count, as in Kafka.
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_after_max_ms: 3_600_000,
            timestamp_before_max_ms: i64::MAX,
            min_cleanable_dirty_ratio: Ratio(500_000),
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            retention_bytes: None,
            retention_ms: Some(7 * 24 * 3_600_000),
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
        }
    }
}

/// A configuration that cannot be. INVALID_CONFIG.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// There is no such key.
    #[error("unknown config name: {key}; `sillon config reference` lists those that are known")]
    UnknownKey {
        /// As sent.
        key: String,
    },
    /// The value does not fit the key.
    #[error("invalid value {value:?} for configuration {key}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// As sent.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// A value must be given.
    #[error("null value not supported for topic configs: {key}")]
    Null {
        /// The key.
        key: String,
    },
    /// The same key twice.
    #[error("configuration {key} is given twice")]
    Twice {
        /// The key.
        key: String,
    },
}

impl TopicConfig {
    /// Sets the key of Kafka's name.
    ///
    /// # Errors
    /// There is no such key, or it cannot have this value; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidConfig> {
        let known = ConfigKey::named(key).ok_or_else(|| InvalidConfig::UnknownKey {
            key: key.to_owned(),
        })?;
        let parsed = known
            .kind
            .parse(value)
            .map_err(|reason| InvalidConfig::Value {
                key: known.name,
                value: value.to_owned(),
                reason,
            })?;
        known.store(self, parsed);
        Ok(())
    }

    /// This configuration with a topic's own values. They were checked when they were set; one
    /// that this version does not know has no effect.
    pub(crate) fn overridden(&self, overrides: &BTreeMap<String, String>) -> TopicConfig {
        let mut config = *self;
        for (key, value) in overrides {
            let _ = config.set(key, value);
        }
        config
    }
}
