use sillon_record::TimestampType;

use crate::TopicConfig;
use crate::config::{CleanupPolicy, CompressionType};

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// Kafka's INT or LONG, from `min` to `max`.
    Number {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these.
    ListOf(&'static [&'static str]),
    /// Kafka's DOUBLE, from 0 to 1.
    Fraction,
    /// Replicas: `*` or `partition:broker` pairs, comma-separated.
    Replicas,
}

/// A key of topic configuration, by Kafka's name.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: ConfigKind,
    effect: Effect,
}

/// What a key does. A value is a number here: itself, 0 or 1, or the place in a list of choices
/// (for [`ConfigKind::ListOf`] a bit each).
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Kept and shown, so that tools find it; the broker does not act on it. With Kafka's default.
    Kept(&'static str),
    /// A field of [`TopicConfig`].
    Field {
        get: fn(&TopicConfig) -> i64,
        set: fn(&mut TopicConfig, i64),
    },
}

impl ConfigKind {
    /// Reads a value. The error says what is allowed.
    pub(crate) fn parse(self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        match self {
            ConfigKind::Number { min, max } => match text.parse() {
                Ok(number) if (min..=max).contains(&number) => Ok(number),
                _ => Err(format!("a whole number from {min} to {max} is needed")),
            },
            ConfigKind::Boolean if text.eq_ignore_ascii_case("true") => Ok(1),
            ConfigKind::Boolean if text.eq_ignore_ascii_case("false") => Ok(0),
            ConfigKind::Boolean => Err("true or false is needed".to_owned()),
            ConfigKind::OneOf(choices) => place_of(choices, text),
            ConfigKind::ListOf(choices) => {
                let mut bits = 0;
                for part in text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                {
                    bits |= 1 << place_of(choices, part)?;
                }
                Ok(bits)
            }
            ConfigKind::Fraction => match text.parse::<f64>() {
                Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(0),
                _ => Err("a number from 0 to 1 is needed".to_owned()),
            },
            ConfigKind::Replicas => match text {
                "" | "*" | "none" => Ok(0),
                pairs if pairs.split(',').all(is_replica) => Ok(0),
                _ => Err("*, none or a list of partition:broker is needed".to_owned()),
            },
        }
    }

    /// Writes a value as [`Self::parse`] reads it.
    fn render(self, value: i64) -> String {
        match self {
            ConfigKind::Boolean => (value == 1).to_string(),
            ConfigKind::OneOf(choices) => choices[value as usize].to_owned(),
            ConfigKind::ListOf(choices) => {
                let chosen = choices.iter().enumerate();
                let chosen: Vec<&str> = chosen
                    .filter(|(place, _)| value & (1 << place) != 0)
                    .map(|(_, name)| *name)
                    .collect();
                chosen.join(",")
            }
            _ => value.to_string(),
        }
    }
}

fn place_of(choices: &[&str], text: &str) -> Result<i64, String> {
    match choices.iter().position(|choice| *choice == text) {
        Some(place) => Ok(place as i64),
        None => Err(format!("one of {} is needed", choices.join(", "))),
    }
}

fn is_replica(pair: &str) -> bool {
    let is_number = |text: &str| text.trim().parse::<u32>().is_ok();
    let parts = pair.split_once(':');
    parts.is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

impl ConfigKey {
    /// The key of that name.
    pub fn named(name: &str) -> Option<&'static ConfigKey> {
        let place = KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
        Some(&KEYS[place])
    }

    /// All keys, by name.
    pub fn all() -> &'static [ConfigKey] {
        KEYS
    }

    pub(crate) fn store(&self, config: &mut TopicConfig, value: i64) {
        if let Effect::Field { set, .. } = self.effect {
            set(config, value);
        }
    }

    /// Its value in a configuration; the default of a key that the broker does not act on.
    pub fn value_in(&self, config: &TopicConfig) -> String {
        match self.effect {
            Effect::Kept(default) => default.to_owned(),
            Effect::Field { get, .. } => self.kind.render(get(config)),
        }
    }
}

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

/// Smallest `segment.bytes`, as in Kafka since 4.1: smaller segments would be more files than
/// data.
const SEGMENT_BYTES_MIN: i64 = 1 << 20;

const fn number(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Number { min, max }
}

const fn field(
    name: &'static str,
    kind: ConfigKind,
    get: fn(&TopicConfig) -> i64,
    set: fn(&mut TopicConfig, i64),
) -> ConfigKey {
    let effect = Effect::Field { get, set };
    ConfigKey { name, kind, effect }
}

const fn kept(name: &'static str, kind: ConfigKind, default: &'static str) -> ConfigKey {
    let effect = Effect::Kept(default);
    ConfigKey { name, kind, effect }
}

const POLICIES: &[&str] = &["delete", "compact"];
const CODECS: &[&str] = &["producer", "uncompressed", "zstd", "lz4", "snappy", "gzip"];
const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

/// Kafka 4's keys of topic configuration, by name.
pub(crate) const KEYS: &[ConfigKey] = &[
    field(
        "cleanup.policy",
        ConfigKind::ListOf(POLICIES),
        |c| i64::from(c.cleanup_policy.delete) | i64::from(c.cleanup_policy.compact) << 1,
        |c, bits| {
            c.cleanup_policy = CleanupPolicy {
                delete: bits & 1 != 0,
                compact: bits & 2 != 0,
            }
        },
    ),
    kept("compression.gzip.level", number(-1, 9), "-1"),
    kept("compression.lz4.level", number(1, 17), "9"),
    field(
        "compression.type",
        ConfigKind::OneOf(CODECS),
        |c| i64::from(c.compression_type.0),
        |c, place| c.compression_type = CompressionType(place as u8),
    ),
    kept("compression.zstd.level", number(-131_072, 22), "3"),
    kept("delete.retention.ms", number(0, LONG_MAX), "86400000"),
    kept("file.delete.delay.ms", number(0, LONG_MAX), "60000"),
    field(
        "flush.messages",
        number(1, LONG_MAX),
        |c| c.flush_messages,
        |c, value| c.flush_messages = value,
    ),
    field(
        "flush.ms",
        number(0, LONG_MAX),
        |c| c.flush_ms,
        |c, value| c.flush_ms = value,
    ),
    kept(
        "follower.replication.throttled.replicas",
        ConfigKind::Replicas,
        "",
    ),
    kept("index.interval.bytes", number(0, INT_MAX), "4096"),
    kept(
        "leader.replication.throttled.replicas",
        ConfigKind::Replicas,
        "",
    ),
    kept("local.retention.bytes", number(-2, LONG_MAX), "-2"),
    kept("local.retention.ms", number(-2, LONG_MAX), "-2"),
    kept(
        "max.compaction.lag.ms",
        number(1, LONG_MAX),
        "9223372036854775807",
    ),
    field(
        "max.message.bytes",
        number(0, INT_MAX),
        |c| i64::from(c.max_message_bytes),
        |c, value| c.max_message_bytes = value as u32,
    ),
    field(
        "message.timestamp.after.max.ms",
        number(0, LONG_MAX),
        |c| c.timestamp_after_max_ms,
        |c, value| c.timestamp_after_max_ms = value,
    ),
    field(
        "message.timestamp.before.max.ms",
        number(0, LONG_MAX),
        |c| c.timestamp_before_max_ms,
        |c, value| c.timestamp_before_max_ms = value,
    ),
    field(
        "message.timestamp.type",
        ConfigKind::OneOf(TIMESTAMP_TYPES),
        |c| i64::from(c.timestamp_type == TimestampType::LogAppendTime),
        |c, place| {
            c.timestamp_type = match place {
                0 => TimestampType::CreateTime,
                _ => TimestampType::LogAppendTime,
            }
        },
    ),
    kept("min.cleanable.dirty.ratio", ConfigKind::Fraction, "0.5"),
    kept("min.compaction.lag.ms", number(0, LONG_MAX), "0"),
    field(
        "min.insync.replicas",
        number(1, INT_MAX),
        |c| i64::from(c.min_insync_replicas),
        |c, value| c.min_insync_replicas = value as u32,
    ),
    kept("preallocate", ConfigKind::Boolean, "false"),
    kept("remote.log.copy.disable", ConfigKind::Boolean, "false"),
    kept("remote.log.delete.on.disable", ConfigKind::Boolean, "false"),
    // Tiered storage is not there: asking for it is refused rather than ignored.
    kept(
        "remote.storage.enable",
        ConfigKind::OneOf(&["false"]),
        "false",
    ),
    field(
        "retention.bytes",
        number(-1, LONG_MAX),
        |c| c.retention_bytes.map_or(-1, |bytes| bytes as i64),
        |c, value| c.retention_bytes = u64::try_from(value).ok(),
    ),
    field(
        "retention.ms",
        number(-1, LONG_MAX),
        |c| c.retention_ms.unwrap_or(-1),
        |c, value| c.retention_ms = (value >= 0).then_some(value),
    ),
    field(
        "segment.bytes",
        number(SEGMENT_BYTES_MIN, INT_MAX),
        |c| i64::from(c.segment_bytes),
        |c, value| c.segment_bytes = value as u32,
    ),
    kept("segment.index.bytes", number(4, INT_MAX), "10485760"),
    kept("segment.jitter.ms", number(0, LONG_MAX), "0"),
    field(
        "segment.ms",
        number(1, LONG_MAX),
        |c| c.segment_ms,
        |c, value| c.segment_ms = value,
    ),
    kept(
        "unclean.leader.election.enable",
        ConfigKind::Boolean,
        "false",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_every_default_reads_back_as_itself() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
        let defaults = TopicConfig::default();
        for key in KEYS {
            let value = key.value_in(&defaults);
            let mut config = defaults;
            config.set(key.name, &value).unwrap();
            assert_eq!(config, defaults, "{}", key.name);
        }
    }

    #[test]
    fn every_field_takes_another_value_and_shows_it() {
        for (name, value) in [
            ("cleanup.policy", "delete,compact"),
            ("compression.type", "zstd"),
            ("flush.messages", "1000"),
            ("flush.ms", "5"),
            ("max.message.bytes", "2000"),
            ("message.timestamp.after.max.ms", "1"),
            ("message.timestamp.before.max.ms", "2"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "2"),
            ("retention.bytes", "0"),
            ("retention.ms", "-1"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "1"),
        ] {
            let mut config = TopicConfig::default();
            config.set(name, value).unwrap();
            assert_ne!(config, TopicConfig::default(), "{name}");
            assert_eq!(ConfigKey::named(name).unwrap().value_in(&config), value);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_and_change_nothing() {
        for (name, value) in [
            ("no.such.key", "1"),
            ("cleanup.policy", "shred"),
            ("compression.type", "brotli"),
            ("flush.messages", "0"),
            ("max.message.bytes", "2147483648"),
            ("max.message.bytes", "1.5"),
            ("message.timestamp.type", "createtime"),
            ("min.cleanable.dirty.ratio", "1.1"),
            ("min.insync.replicas", ""),
            ("preallocate", "yes"),
            ("remote.storage.enable", "true"),
            ("retention.ms", "-2"),
            ("segment.bytes", "14"),
            ("leader.replication.throttled.replicas", "1:x"),
        ] {
            let mut config = TopicConfig::default();
            assert!(config.set(name, value).is_err(), "{name}={value}");
            assert_eq!(config, TopicConfig::default());
        }
    }
}
